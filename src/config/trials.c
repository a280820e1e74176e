/* trials.c -- the section `sweep` of a configuration, and the trials that it stands for. */
#include "tessera/trials.h"

#include "axis.h"
#include "yaml.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/intern.h"

#include <stdio.h>
#include <string.h>

/* What is being read. Rank 0. */
struct reading {
    struct tess_trials *trials; /* borrowed */
    struct tess_config base;
    int overriding; /* by --set */
    size_t n, room;
    struct tess_axis *axis; /* (n) in the order of the file; own */
};

/* The place of the setting that the first `length` bytes name, or -1. */
static int find_param(const char *name, size_t length)
{
    for (int i = 0; i < tess_n_params; i++)
        if (strlen(tess_params[i].name) == length && memcmp(tess_params[i].name, name, length) == 0)
            return i;
    return -1;
}

/* "train.learning_rate" (a value) or "train.learning_rate.from" (*part: a part of a range): the
 * setting, or -1. */
static int find_axis(const char *key, const char **part)
{
    static const char *const parts[] = {"from", "to", "steps", "scale"};
    const char *dot = strrchr(key, '.');
    int param = find_param(key, strlen(key));

    *part = NULL;
    for (int i = 0; param < 0 && dot && i < 4; i++)
        if (strcmp(dot + 1, parts[i]) == 0) {
            *part = parts[i];
            param = find_param(key, (size_t)(dot - key));
        }
    return param;
}

/* Nothing but what changes results can win; stores cannot be compared, and each trial has a
 * directory of its own. */
static int check_param(const struct tess_param *param, const char *where, struct tess_error *error)
{
    if (strcmp(param->name, "data.store") == 0)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: errors on different stores cannot be compared: sweep over each "
                       "data.store by itself",
                       where);
    else if (!param->numeric)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: '%s' cannot be swept over, for it is no numeric setting "
                       "(docs/configuration.md): set it once, outside of the section 'sweep'",
                       where, param->name);
    return error->code;
}

static int take_axis(struct reading *reading, const char *key, const char *value, const char *where,
                     struct tess_error *error)
{
    const char *part;
    int param = find_axis(key, &part);
    size_t at = 0;

    if (param < 0) /* says what is near */
        return tess_config_set(&reading->base, key, value, where, error) == TESS_OK ? TESS_OK
                                                                                    : error->code;
    if (reading->overriding)
        return tess_error_set(error, TESS_ECONFIG,
                              "--set: values of 'sweep.%s' stand in the file alone", key);
    if (check_param(&tess_params[param], where, error) != TESS_OK)
        return error->code;
    while (at < reading->n && reading->axis[at].param != param)
        at++;
    if (at == reading->n) {
        reading->axis =
            tess_grow(reading->axis, &reading->room, reading->n + 1, sizeof *reading->axis);
        reading->axis[reading->n++] = (struct tess_axis){.param = param};
    }
    return tess_axis_take(&reading->axis[at], part, value, where, error);
}

static int take_int(int64_t *out, const char *name, double high, const char *value,
                    const char *where, struct tess_error *error)
{
    int64_t x = 0, low = strcmp(name, "seed") == 0 ? 0 : 1;

    if (!tess_text_int64(value, &x) || x < low || (double)x > high)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: 'sweep.%s' is '%.60s', but takes a whole number from %lld to "
                              "%.0f",
                              where, name, value, (long long)low, high);
    *out = x;
    return TESS_OK;
}

/* A key of the section, without its name. */
static int take_key(struct reading *reading, const char *key, const char *value, const char *where,
                    struct tess_error *error)
{
    struct tess_trials *trials = reading->trials;

    if (strcmp(key, "samples") == 0)
        return take_int(&trials->samples, key, TESS_TRIALS_MOST, value, where, error);
    if (strcmp(key, "seed") == 0)
        return take_int(&trials->seed, key, 4294967295.0, value, where, error);
    if (strcmp(key, "groups") == 0)
        return take_int(&trials->groups, key, 1e6, value, where, error);
    if (strcmp(key, "method") != 0)
        return take_axis(reading, key, value, where, error);
    trials->method = strcmp(value, "random") == 0 ? TESS_TRIALS_RANDOM : TESS_TRIALS_GRID;
    if (trials->method == TESS_TRIALS_GRID && strcmp(value, "grid") != 0)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: 'sweep.method' is '%.60s', but takes one of grid, random", where,
                       value);
    return error->code;
}

static int visit(void *state, const char *key, const char *value, const char *where,
                 struct tess_error *error)
{
    struct reading *reading = state;

    if (strcmp(key, TESS_YAML_SWEEP) == 0)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: 'sweep' is a section: settings with lists or ranges of values",
                              where);
    if (tess_yaml_is_sweep(key))
        return take_key(reading, key + strlen(TESS_YAML_SWEEP) + 1, value, where, error);
    for (size_t i = 0; reading->overriding && i < reading->n; i++)
        if (strcmp(tess_params[reading->axis[i].param].name, key) == 0)
            return tess_error_set(error, TESS_ECONFIG,
                                  "--set: '%s' is swept over (%s): take it out there", key,
                                  reading->axis[i].where);
    return tess_config_set(&reading->base, key, value, where, error);
}

static int is_setting(const char *name)
{
    return find_param(name, strlen(name)) >= 0;
}

/* How many there are to be, before any is made. */
static int count(const struct reading *reading, int64_t *n, struct tess_error *error)
{
    const struct tess_trials *trials = reading->trials;
    int64_t product = 1;

    *n = trials->method == TESS_TRIALS_RANDOM ? trials->samples : 1;
    if (trials->method == TESS_TRIALS_RANDOM && trials->samples == 0)
        return tess_error_set(error, TESS_ECONFIG,
                              "sweep.samples is not set: 'method: random' needs to know how many "
                              "trials to draw");
    if (trials->method == TESS_TRIALS_RANDOM)
        return TESS_OK;
    for (size_t i = 0; i < reading->n; i++) {
        product *= (int64_t)reading->axis[i].value.n;
        if (product > TESS_TRIALS_MOST)
            return tess_error_set(error, TESS_ECONFIG,
                                  "the grid of sweep has more than %d trials (with '%s', %s): give "
                                  "fewer values, or 'method: random' with so many 'samples'",
                                  TESS_TRIALS_MOST, tess_params[reading->axis[i].param].name,
                                  reading->axis[i].where);
    }
    *n = product;
    return TESS_OK;
}

/* Trial i of all, doubles among them; the values were checked one by one. */
static void make_trial(const struct reading *reading, int64_t i, struct tess_config *config)
{
    struct tess_error none = TESS_ERROR_INIT;
    int64_t rest = i;

    *config = reading->base;
    for (size_t k = reading->n; k-- > 0;) {
        const struct tess_axis *axis = &reading->axis[k];
        char made[TESS_AXIS_VALUE];
        const char *value = made;

        if (reading->trials->method == TESS_TRIALS_RANDOM)
            tess_axis_draw(axis, reading->trials->seed, i, made, &value);
        else {
            value = axis->value.item[rest % (int64_t)axis->value.n];
            rest /= (int64_t)axis->value.n;
        }
        TESS_BUG_IF(tess_config_set(config, tess_params[axis->param].name, value, "a trial",
                                    &none) != TESS_OK);
    }
}

/* The first of those that are alike stays. */
static int make_trials(const struct reading *reading, struct tess_error *error)
{
    struct tess_trials *trials = reading->trials;
    struct tess_intern seen = {0};
    int64_t all;

    if (count(reading, &all, error) != TESS_OK)
        return error->code;
    trials->config = TESS_NEW(struct tess_config, all);
    for (int64_t i = 0; i < all; i++) {
        struct tess_config *config = &trials->config[trials->n];

        make_trial(reading, i, config);
        if (tess_intern_add(&seen, (const char *)config, sizeof *config) == trials->n)
            trials->n++;
    }
    trials->n_same = all - trials->n;
    trials->n_swept = (int)reading->n;
    trials->swept = TESS_NEW(int, reading->n);
    for (size_t k = 0; k < reading->n; k++)
        trials->swept[k] = reading->axis[k].param;
    tess_intern_release(&seen);
    return TESS_OK;
}

/* The kinds of members, if they are named, take the place of model.kind. */
static void check_kinds(const struct reading *reading, struct tess_error *error)
{
    for (size_t i = 0; i < reading->n && reading->base.train.member_kinds[0]; i++)
        if (strcmp(tess_params[reading->axis[i].param].name, "model.kind") == 0)
            tess_error_set(error, TESS_ECONFIG,
                           "%s: 'model.kind' is swept over, but train.member_kinds names the "
                           "members' kinds: take one of both out",
                           reading->axis[i].where);
}

/* Rank 0. */
static void read_all(struct reading *reading, const char *path, const struct tess_strings *set,
                     struct tess_error *error)
{
    const struct tess_yaml_taker taker = {is_setting, visit, reading, tess_yaml_is_sweep};

    tess_yaml_read_file(path, &taker, error);
    reading->overriding = 1;
    for (size_t i = 0; set && i < set->n && error->code == TESS_OK; i++)
        tess_yaml_read_set(set->item[i], &taker, error);
    if (error->code == TESS_OK && reading->n == 0)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: has no section 'sweep' with settings to try, such as 'sweep: "
                       "{model.dropout: [0, 0.1]}'; a single training is 'tessera train'",
                       path);
    check_kinds(reading, error);
    for (size_t i = 0; i < reading->n && error->code == TESS_OK; i++)
        tess_axis_finish(&reading->axis[i], reading->trials->method == TESS_TRIALS_RANDOM, error);
    if (error->code == TESS_OK)
        make_trials(reading, error);
}

/* The structures hold no pointers but these two, and all ranks run the same program. */
static void share(struct tess_trials *trials, MPI_Comm comm)
{
    struct tess_config *config = trials->config;
    int *swept = trials->swept;

    tess_broadcast(comm, trials, sizeof *trials);
    trials->config = tess_broadcast_array(comm, config, trials->n, sizeof *config);
    trials->swept = tess_broadcast_array(comm, swept, trials->n_swept, sizeof *swept);
}

int tess_trials_read(struct tess_trials *trials, const char *path, const struct tess_strings *set,
                     MPI_Comm comm, struct tess_error *error)
{
    struct reading reading = {.trials = trials};
    int rank;

    *trials = (struct tess_trials){.groups = 1};
    MPI_Comm_rank(comm, &rank);
    tess_config_init(&reading.base);
    if (rank == 0)
        read_all(&reading, path, set, error);
    for (size_t i = 0; i < reading.n; i++)
        tess_axis_release(&reading.axis[i]);
    tess_free(reading.axis);
    if (tess_agree(comm, error) == TESS_OK)
        share(trials, comm);
    return error->code;
}

void tess_trials_release(struct tess_trials *trials)
{
    tess_free(trials->config);
    tess_free(trials->swept);
    *trials = (struct tess_trials){.n = 0};
}
