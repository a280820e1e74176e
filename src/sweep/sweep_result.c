/* sweep_result.c -- how a trial went: out of its logs, and kept beside its run. */
#include "sweep.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/fitted.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/trials.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "tessera-trial 1"

/* of one run */
struct course {
    double score, seconds;
    int64_t epochs, best_epoch;
};

/* Lines of log.jsonl: a resumed training takes out those that it does again. */
static struct course read_log(const char *directory)
{
    struct course course = {.score = NAN};
    char *path = tess_format("%s/log.jsonl", directory);
    FILE *file = fopen(path, "r");
    json_t *line;

    while (file && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL))) {
        json_t *seconds = json_object_get(line, "seconds"),
               *val = json_object_get(line, "val_rmse");

        course.epochs = json_integer_value(json_object_get(line, "epoch"));
        course.seconds += json_number_value(json_object_get(seconds, "epoch")) +
                          json_number_value(json_object_get(seconds, "validation"));
        if (json_is_number(val) && !(json_number_value(val) >= course.score)) {
            course.score = json_number_value(val);
            course.best_epoch = course.epochs;
        }
        json_decref(line);
    }
    if (file)
        fclose(file);
    tess_free(path);
    return course;
}

/* The mean score of members, and all their seconds. */
static void read_logs(struct tess_trial *trial, const char *directory)
{
    int64_t *number, n = tess_rundir_members(directory, &number);
    int several = n > 0 && tess_rundir_holds_members(directory);
    double sum = 0;

    trial->seconds = 0;
    trial->epochs = trial->best_epoch = 0;
    for (int64_t k = 0; k < (several ? n : 1); k++) {
        char *member = several ? tess_rundir_member(directory, number[k]) : tess_strdup(directory);
        struct course course = read_log(member);

        sum += course.score;
        trial->seconds += course.seconds;
        trial->epochs = course.epochs > trial->epochs ? course.epochs : trial->epochs;
        trial->best_epoch =
            course.best_epoch > trial->best_epoch ? course.best_epoch : trial->best_epoch;
        tess_free(member);
    }
    trial->score = sum / (double)(several ? n : 1);
    tess_free(number);
}

static json_t *hash_of(const json_t *json, const char *key)
{
    return json_object_get(json, key);
}

static int same_hash(const json_t *json, const char *key, uint64_t hash)
{
    json_t *now = tess_fitted_hash(hash);
    int same = json_equal(hash_of(json, key), now);

    json_decref(now);
    return same;
}

/* A result that reads none says none. */
static int same_inputs(const json_t *json, const struct tess_config *config)
{
    uint64_t inputs = tess_sweep_inputs(config);

    return inputs ? same_hash(json, "inputs_hash", inputs) : !json_object_get(json, "inputs_hash");
}

/* Is the model of a run, or of its members, there? */
static int has_model(const char *directory)
{
    int64_t *step, n = tess_rundir_list(directory, TESS_RUN_BEST, &step);

    tess_free(step);
    return n > 0 || tess_rundir_holds_members(directory);
}

/* Does the result belong to this store, to as many members, and to a run that is still there? */
static int is_valid(const struct tess_sweep *sweep, int64_t i, const json_t *json,
                    const char *directory)
{
    const json_t *members = json_object_get(json, "members"),
                 *state = json_object_get(json, "state");
    int diverged = json_is_string(state) && strcmp(json_string_value(state), "diverged") == 0;

    return same_hash(json, "store_hash", sweep->store_hash) &&
           same_hash(json, "split_hash", sweep->split_hash) &&
           same_inputs(json, &sweep->trials->config[i]) && json_is_integer(members) &&
           json_integer_value(members) == sweep->trials->config[i].train.members &&
           json_is_string(state) && (diverged || has_model(directory));
}

void tess_sweep_look(struct tess_sweep *sweep, int64_t i)
{
    struct tess_trial *trial = &sweep->trial[i];
    char *directory = tess_sweep_path(sweep, i, ""), *path = tess_sweep_path(sweep, i, ".json");
    json_t *json = json_load_file(path, 0, NULL), *score = json_object_get(json, "val_rmse");
    struct stat about;

    trial->state = stat(directory, &about) == 0 ? TESS_TRIAL_BEGUN : TESS_TRIAL_NEW;
    trial->score = NAN;
    if (!json && access(path, F_OK) == 0)
        tess_warn("%s: is no JSON: the trial is looked at again", path);
    if (json && is_valid(sweep, i, json, directory)) {
        trial->state = strcmp(json_string_value(json_object_get(json, "state")), "done") == 0
                           ? TESS_TRIAL_DONE
                           : TESS_TRIAL_DIVERGED;
        trial->score = json_is_number(score) ? json_number_value(score) : NAN;
        trial->seconds = json_number_value(json_object_get(json, "seconds"));
        trial->epochs = json_integer_value(json_object_get(json, "epochs"));
        trial->best_epoch = json_integer_value(json_object_get(json, "best_epoch"));
    }
    json_decref(json);
    tess_free(path);
    tess_free(directory);
}

/* A diverged trial has no score: nobody should take it for a model. */
int tess_sweep_finish(struct tess_sweep *sweep, int64_t i, int64_t state, struct tess_error *error)
{
    struct tess_trial *trial = &sweep->trial[i];
    char *directory = tess_sweep_path(sweep, i, "");
    char *name = tess_format("trial-%lld.json", (long long)trial->number);
    json_t *json;

    read_logs(trial, directory);
    trial->state = state;
    if (state == TESS_TRIAL_DIVERGED)
        trial->score = NAN;
    json = json_pack("{s:s, s:s, s:o, s:I, s:I, s:f, s:I, s:o, s:o}", "format", FORMAT, "state",
                     state == TESS_TRIAL_DONE ? "done" : "diverged", "val_rmse",
                     isfinite(trial->score) ? json_real(trial->score) : json_null(), "best_epoch",
                     (json_int_t)trial->best_epoch, "epochs", (json_int_t)trial->epochs, "seconds",
                     trial->seconds, "members", (json_int_t)sweep->trials->config[i].train.members,
                     "store_hash", tess_fitted_hash(sweep->store_hash), "split_hash",
                     tess_fitted_hash(sweep->split_hash));
    if (tess_sweep_inputs(&sweep->trials->config[i]))
        json_object_set_new(json, "inputs_hash",
                            tess_fitted_hash(tess_sweep_inputs(&sweep->trials->config[i])));
    tess_fitted_write(sweep->directory, name, json, error);
    json_decref(json);
    tess_free(name);
    tess_free(directory);
    return error->code;
}
