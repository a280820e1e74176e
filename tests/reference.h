/* reference.h -- numbers from another language's program, kept as JSON in tests/data. */
#ifndef TESSERA_TESTS_REFERENCE_H
#define TESSERA_TESTS_REFERENCE_H

#include "tessera/alloc.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The array in tests/data/NAME; the program ends if there is none. */
static inline json_t *reference_load(const char *name)
{
    char *path = tess_format("%s/tests/data/%s", TESS_SOURCE_ROOT, name);
    json_error_t why;
    json_t *all = json_load_file(path, 0, &why);

    if (!all) {
        fprintf(stderr, "%s: %s\n", path, why.text);
        exit(1);
    }
    tess_free(path);
    return all;
}

static inline double reference_number(const json_t *from, const char *key)
{
    return json_number_value(json_object_get(from, key));
}

static inline int reference_int(const json_t *from, const char *key)
{
    return (int)json_integer_value(json_object_get(from, key));
}

/* The place of a text among the names; it is one of them. */
static inline int reference_named(const json_t *from, const char *key, const char *const *name)
{
    const char *text = json_string_value(json_object_get(from, key));
    int i = 0;

    while (strcmp(name[i], text) != 0)
        i++;
    return i;
}

/* null becomes NaN; own of the caller. */
static inline double *reference_doubles(const json_t *from, const char *key)
{
    const json_t *list = json_object_get(from, key);
    size_t n = json_array_size(list);
    double *out = TESS_NEW(double, n);

    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);

        out[i] = json_is_null(item) ? (double)NAN : json_number_value(item);
    }
    return out;
}

static inline float *reference_floats(const json_t *from, const char *key)
{
    size_t n = json_array_size(json_object_get(from, key));
    double *wide = reference_doubles(from, key);
    float *out = TESS_NEW(float, n);

    for (size_t i = 0; i < n; i++)
        out[i] = (float)wide[i];
    tess_free(wide);
    return out;
}

static inline int32_t *reference_ints(const json_t *from, const char *key)
{
    size_t n = json_array_size(json_object_get(from, key));
    double *wide = reference_doubles(from, key);
    int32_t *out = TESS_NEW(int32_t, n);

    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)wide[i];
    tess_free(wide);
    return out;
}

static inline int64_t *reference_int64s(const json_t *from, const char *key)
{
    size_t n = json_array_size(json_object_get(from, key));
    double *wide = reference_doubles(from, key);
    int64_t *out = TESS_NEW(int64_t, n);

    for (size_t i = 0; i < n; i++)
        out[i] = (int64_t)wide[i];
    tess_free(wide);
    return out;
}

/* Largest |got - want| over the largest |want| (at least `floor`). */
static inline double reference_error(int64_t n, const float *got, const double *want, double floor)
{
    double worst = 0, largest = floor;

    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]);

        worst = error > worst || isnan(error) ? (isnan(error) ? INFINITY : error) : worst;
        largest = fabs(want[i]) > largest ? fabs(want[i]) : largest;
    }
    return worst / largest;
}

#endif
