/* profiles_read.c -- the values of units: rows of the store, averaged. */
#include "tessera/profiles.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdlib.h>
#include <string.h>

#define READ_VALUES ((int64_t)1 << 20) /* at a time */
#define PART_VALUES ((int64_t)1 << 18) /* a part has at least so many, if there are several */
#define PARTS       120 /* at most: every number of ranks up to 6 divides it */

/* The panel's readouts are some of the context's, both ascending. */
void tess_profiles_spread(const struct tess_profiles *profiles, int64_t experiment,
                          const float *value, float *out)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t context = index->context_of[experiment], panel = index->panel[experiment];
    const int64_t *to = profiles->readout + profiles->readout_first[context];
    const int64_t *from = index->panel_readout + index->panel_first[panel];
    int64_t n = index->panel_first[panel + 1] - index->panel_first[panel], k = 0;

    for (int64_t r = 0; r < tess_profiles_width(profiles, context); r++)
        out[r] = k < n && from[k] == to[r] ? value[k++] : NAN;
}

struct row { /* an experiment, and the place of its unit among those that are read */
    int64_t experiment, place;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *u = a, *v = b;

    return (u->experiment > v->experiment) - (u->experiment < v->experiment);
}

struct reader {
    struct tess_profiles *profiles;
    int64_t context, width, n;
    const int64_t *unit; /* (n) */
    float *out; /* (n, width) */
    float *row; /* (width) */
    int64_t *averaged; /* (n) number among the units of several rows, or -1 */
    double *sum, *weight; /* (those units, width) */
};

/* The only row of a unit keeps its bits; several are averaged, weighed by their replicates. */
static void take_row(struct reader *reader, const struct row *row, const float *value)
{
    int64_t number = reader->averaged[row->place], at = number * reader->width;
    double replicates = (double)reader->profiles->store->index.n_replicates[row->experiment];

    if (number < 0) {
        tess_profiles_spread(reader->profiles, row->experiment, value,
                             reader->out + row->place * reader->width);
        return;
    }
    tess_profiles_spread(reader->profiles, row->experiment, value, reader->row);
    for (int64_t r = 0; r < reader->width; r++)
        if (!isnan(reader->row[r])) {
            reader->sum[at + r] += replicates * (double)reader->row[r];
            reader->weight[at + r] += replicates;
        }
}

static void finish_sums(const struct reader *reader)
{
    for (int64_t i = 0; i < reader->n; i++)
        for (int64_t r = 0; reader->averaged[i] >= 0 && r < reader->width; r++) {
            int64_t at = reader->averaged[i] * reader->width + r;

            reader->out[i * reader->width + r] =
                reader->weight[at] > 0 ? (float)(reader->sum[at] / reader->weight[at]) : NAN;
        }
}

/* Rows that follow each other in the file are read together. */
static int read_rows(struct reader *reader, int64_t n, const struct row *row,
                     struct tess_error *error)
{
    const struct tess_store *store = reader->profiles->store;
    const int64_t *first = store->index.value_first;

    for (int64_t i = 0, stop; i < n && error->code == TESS_OK; i = stop) {
        int64_t e = row[i].experiment;
        float *value;

        for (stop = i + 1; stop < n && row[stop].experiment == e + stop - i &&
                           first[e + stop - i + 1] - first[e] <= READ_VALUES;
             stop++)
            ;
        value = TESS_NEW(float, first[e + stop - i] - first[e]);
        if (tess_store_read_values(store, e, stop - i, value, error) == TESS_OK)
            for (int64_t k = i; k < stop; k++)
                take_row(reader, &row[k], value + (first[row[k].experiment] - first[e]));
        tess_free(value);
    }
    return error->code;
}

/* From the file. Rows in the order of the file, whatever units they belong to; sums take memory
 * only for units of several rows. */
static int read_units(struct tess_profiles *profiles, int64_t n, const int64_t *unit, float *out,
                      struct tess_error *error)
{
    struct reader reader = {.profiles = profiles, .n = n, .unit = unit, .out = out};
    int64_t n_rows = 0, n_averaged = 0, at = 0;
    struct row *row;

    reader.context = profiles->context_of[unit[0]];
    reader.width = tess_profiles_width(profiles, reader.context);
    reader.averaged = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = profiles->row_first[unit[i] + 1] - profiles->row_first[unit[i]];

        reader.averaged[i] = rows > 1 ? n_averaged++ : -1;
        n_rows += rows;
    }
    row = TESS_NEW(struct row, n_rows);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = profiles->row_first[unit[i]]; k < profiles->row_first[unit[i] + 1]; k++)
            row[at++] = (struct row){profiles->row[k], i};
    qsort(row, (size_t)n_rows, sizeof *row, compare_rows);
    reader.row = TESS_NEW(float, reader.width);
    reader.sum = tess_alloc_large((size_t)(n_averaged * reader.width), sizeof(double),
                                  "replicates of profiles", error);
    reader.weight = tess_alloc_large((size_t)(n_averaged * reader.width), sizeof(double),
                                     "replicates of profiles", error);
    if (error->code == TESS_OK && read_rows(&reader, n_rows, row, error) == TESS_OK)
        finish_sums(&reader);
    tess_free(reader.sum);
    tess_free(reader.weight);
    tess_free(reader.row);
    tess_free(reader.averaged);
    tess_free(row);
    return error->code;
}

/* A whole context, which stays. */
static int keep(struct tess_profiles *profiles, int64_t context, struct tess_error *error)
{
    int64_t first = profiles->context_first[context],
            width = tess_profiles_width(profiles, context);
    int64_t n = profiles->context_first[context + 1] - first, step = 1 + READ_VALUES / (width + 1);
    int64_t *unit = TESS_NEW(int64_t, n);
    float *value = tess_alloc_large((size_t)(n * width), sizeof *value, "profiles", error);

    for (int64_t i = 0; i < n; i++)
        unit[i] = first + i;
    for (int64_t i = 0; i < n && error->code == TESS_OK; i += step)
        read_units(profiles, step < n - i ? step : n - i, unit + i, value + i * width, error);
    if (error->code == TESS_OK)
        profiles->value[context] = value;
    else
        tess_free(value);
    tess_free(unit);
    return error->code;
}

const float *tess_profiles_row(struct tess_profiles *profiles, int64_t unit, float *room,
                               struct tess_error *error)
{
    int64_t context = profiles->context_of[unit];

    if (!profiles->keeps)
        return read_units(profiles, 1, &unit, room, error) == TESS_OK ? room : NULL;
    if (!profiles->value[context] && keep(profiles, context, error) != TESS_OK)
        return NULL;
    return profiles->value[context] +
           (unit - profiles->context_first[context]) * tess_profiles_width(profiles, context);
}

int tess_profiles_read(struct tess_profiles *profiles, int64_t n, const int64_t *unit, float *out,
                       struct tess_error *error)
{
    int64_t width = n ? tess_profiles_width(profiles, profiles->context_of[unit[0]]) : 0;
    int64_t step = 1 + READ_VALUES / (width + 1);

    for (int64_t i = 0; !profiles->keeps && i < n && error->code == TESS_OK; i += step)
        read_units(profiles, step < n - i ? step : n - i, unit + i, out + i * width, error);
    for (int64_t i = 0; profiles->keeps && i < n && error->code == TESS_OK; i++) {
        const float *row = tess_profiles_row(profiles, unit[i], NULL, error);

        if (row)
            memcpy(out + i * width, row, (size_t)width * sizeof *out);
    }
    return error->code;
}

static int64_t values_of(const struct tess_profiles *profiles, int64_t context)
{
    return (profiles->context_first[context + 1] - profiles->context_first[context]) *
           tess_profiles_width(profiles, context);
}

static int64_t all_values(const struct tess_profiles *profiles)
{
    int64_t n = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++)
        n += values_of(profiles, c);
    return n;
}

int64_t tess_profiles_n_parts(const struct tess_profiles *profiles)
{
    int64_t n = 1 + all_values(profiles) / PART_VALUES;

    return n < PARTS ? n : PARTS;
}

int64_t tess_profiles_part(const struct tess_profiles *profiles, int64_t part)
{
    int64_t n_parts = tess_profiles_n_parts(profiles), all = all_values(profiles);
    int64_t before = all / n_parts * part + all % n_parts * part / n_parts, c = 0;

    if (part == n_parts)
        return profiles->n_units;
    while (values_of(profiles, c) <= before && c + 1 < profiles->n_contexts)
        before -= values_of(profiles, c++);
    return profiles->context_first[c] + (before ? before / tess_profiles_width(profiles, c) : 0);
}

/* One batch: training units of one context among [*at, end); moves *at on. */
static int scan_batch(struct tess_profiles *profiles, int64_t *at, int64_t end,
                      const struct tess_profile_visitor *visitor, struct tess_error *error)
{
    int64_t context = profiles->context_of[*at], width = tess_profiles_width(profiles, context);
    int64_t of_row = visitor->row_values > width ? visitor->row_values : width;
    int64_t most = 1 + READ_VALUES / (of_row + 1), n = 0;
    int64_t stop = profiles->context_first[context + 1];
    int64_t *unit = TESS_NEW(int64_t, most);
    float *value;

    for (stop = stop < end ? stop : end; *at < stop && n < most; ++*at)
        if (profiles->split[*at] == TESS_TRAIN)
            unit[n++] = *at;
    value = tess_alloc_large((size_t)(n * width), sizeof *value, "profiles", error);
    if (n > 0 && value && tess_profiles_read(profiles, n, unit, value, error) == TESS_OK)
        visitor->take(visitor->closure, &(struct tess_profile_rows){context, n, unit, value},
                      error);
    tess_free(value);
    tess_free(unit);
    return error->code;
}

int tess_profiles_scan(struct tess_profiles *profiles, int64_t part,
                       const struct tess_profile_visitor *visitor, struct tess_error *error)
{
    int64_t at = tess_profiles_part(profiles, part), end = tess_profiles_part(profiles, part + 1);

    while (at < end && error->code == TESS_OK)
        scan_batch(profiles, &at, end, visitor, error);
    return error->code;
}
