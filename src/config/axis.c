/* axis.c -- one setting of a sweep: a list, or a range with or without steps. */
#include "axis.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MOST_STEPS 1000

static const struct tess_param *param_of(const struct tess_axis *axis)
{
    return &tess_params[axis->param];
}

/* Is it a value that the setting takes? */
static int check_value(const struct tess_axis *axis, const char *value, const char *where,
                       struct tess_error *error)
{
    struct tess_config any;

    tess_config_init(&any);
    return tess_config_set(&any, param_of(axis)->name, value, where, error);
}

static int take_part(struct tess_axis *axis, const char *part, const char *value, const char *where,
                     struct tess_error *error)
{
    if (param_of(axis)->type != TESS_PARAM_INT && param_of(axis)->type != TESS_PARAM_REAL)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: '%s' is no number: give it a list of values", where,
                              param_of(axis)->name);
    if (strcmp(part, "from") == 0 || strcmp(part, "to") == 0) {
        char **end = part[0] == 'f' ? &axis->from : &axis->to;

        if (check_value(axis, value, where, error) == TESS_OK) {
            tess_free(*end);
            *end = tess_strdup(value);
        }
    } else if (strcmp(part, "steps") == 0) {
        if (!tess_text_int64(value, &axis->steps) || axis->steps < 2 || axis->steps > MOST_STEPS)
            tess_error_set(error, TESS_ECONFIG,
                           "%s: 'steps' of %s is '%.60s', but takes a whole number from 2 to %d",
                           where, param_of(axis)->name, value, MOST_STEPS);
    } else {
        axis->log = strcmp(value, "log") == 0;
        if (!axis->log && strcmp(value, "linear") != 0)
            tess_error_set(error, TESS_ECONFIG,
                           "%s: 'scale' of %s is '%.60s', but takes one of linear, log", where,
                           param_of(axis)->name, value);
    }
    return error->code;
}

int tess_axis_take(struct tess_axis *axis, const char *part, const char *value, const char *where,
                   struct tess_error *error)
{
    int is_range = axis->from || axis->to || axis->steps || axis->log;

    if (!axis->where)
        axis->where = tess_strdup(where);
    if (part ? axis->value.n > 0 : is_range)
        return tess_error_set(error, TESS_ECONFIG, "%s: '%s' has a list and a range: give one",
                              where, param_of(axis)->name);
    if (part)
        return take_part(axis, part, value, where, error);
    if (check_value(axis, value, where, error) == TESS_OK)
        tess_strings_add(&axis->value, value);
    return error->code;
}

/* The value at a share of the way; the ends are as they were given. */
static void point(const struct tess_axis *axis, double share, char out[TESS_AXIS_VALUE])
{
    double a = strtod(axis->from, NULL), b = strtod(axis->to, NULL);
    double x = axis->log ? exp(log(a) + share * (log(b) - log(a))) : a + share * (b - a);

    if (param_of(axis)->type == TESS_PARAM_INT)
        snprintf(out, TESS_AXIS_VALUE, "%lld", llrint(x));
    else
        snprintf(out, TESS_AXIS_VALUE, "%.4g", x);
    if (share <= 0 || strtod(out, NULL) < a)
        snprintf(out, TESS_AXIS_VALUE, "%.63s", axis->from);
    else if (share >= 1 || strtod(out, NULL) > b)
        snprintf(out, TESS_AXIS_VALUE, "%.63s", axis->to);
}

static int check_range(const struct tess_axis *axis, int random, struct tess_error *error)
{
    const char *name = param_of(axis)->name;
    double a, b;

    if (!axis->from || !axis->to)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: the range of '%s' has no '%s': give {from: A, to: B, steps: N}",
                              axis->where, name, axis->from ? "to" : "from");
    a = strtod(axis->from, NULL);
    b = strtod(axis->to, NULL);
    if (!(a < b))
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: the range of '%s' is from %s to %s: 'to' must be the larger one",
                              axis->where, name, axis->from, axis->to);
    if (axis->log && !(a > 0))
        return tess_error_set(
            error, TESS_ECONFIG,
            "%s: the range of '%s' is logarithmic and begins at %s: begin above 0", axis->where,
            name, axis->from);
    if (axis->steps == 0 && !random)
        return tess_error_set(
            error, TESS_ECONFIG,
            "%s: the range of '%s' has no 'steps', which a grid needs: give them, "
            "or 'method: random'",
            axis->where, name);
    return TESS_OK;
}

int tess_axis_finish(struct tess_axis *axis, int random, struct tess_error *error)
{
    char text[TESS_AXIS_VALUE];

    if (axis->value.n > 0 || check_range(axis, random, error) != TESS_OK)
        return error->code;
    for (int64_t k = 0; k < axis->steps; k++) {
        point(axis, (double)k / (double)(axis->steps - 1), text);
        tess_strings_add(&axis->value, text);
    }
    return TESS_OK;
}

/* Whole numbers of a linear range are all as likely, its ends too. */
void tess_axis_draw(const struct tess_axis *axis, int64_t seed, int64_t i,
                    char out[TESS_AXIS_VALUE], const char **value)
{
    const char *name = param_of(axis)->name;
    struct tess_random stream =
        tess_random_stream((uint64_t)seed, TESS_RANDOM_SWEEP, XXH3_64bits(name, strlen(name)));

    *value = out;
    if (axis->value.n > 0)
        *value = axis->value.item[tess_random_below(stream, (uint64_t)i, (int64_t)axis->value.n)];
    else if (param_of(axis)->type == TESS_PARAM_INT && !axis->log) {
        long long a = strtoll(axis->from, NULL, 10), b = strtoll(axis->to, NULL, 10);

        snprintf(out, TESS_AXIS_VALUE, "%lld",
                 a + (long long)tess_random_below(stream, (uint64_t)i, b - a + 1));
    } else
        point(axis, tess_random_uniform(stream, (uint64_t)i), out);
}

void tess_axis_release(struct tess_axis *axis)
{
    tess_strings_release(&axis->value);
    tess_free(axis->where);
    tess_free(axis->from);
    tess_free(axis->to);
    *axis = (struct tess_axis){.param = 0};
}
