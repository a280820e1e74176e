/* sweep_table.c -- all trials side by side. */
#include "sweep.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/fitted.h"
#include "tessera/log.h"
#include "tessera/sheet.h"
#include "tessera/trials.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_PRINTED 20

static const char *const states[] = {"new", "begun", "done", "diverged"};
static const char *const results[] = {"val_rmse", "best_epoch", "epochs", "seconds", "state"};
enum { N_RESULTS = sizeof results / sizeof results[0] };

static const char *name_of(const struct tess_sweep *sweep, int k)
{
    return tess_params[sweep->trials->swept[k]].name;
}

static char *setting_of(const struct tess_sweep *sweep, int64_t i, int k)
{
    return tess_config_get(&sweep->trials->config[i], &tess_params[sweep->trials->swept[k]]);
}

char *tess_sweep_words(const struct tess_sweep *sweep, int64_t i)
{
    struct tess_strings part = {0};
    char *all;

    for (int k = 0; k < sweep->trials->n_swept; k++) {
        char *value = setting_of(sweep, i, k);
        char *one = tess_format("%s %s", name_of(sweep, k), value);

        tess_strings_add(&part, one);
        tess_free(one);
        tess_free(value);
    }
    all = tess_strings_join(&part, ", ", part.n);
    tess_strings_release(&part);
    return all;
}

/* The trial with the lowest score, the first of equal ones, or -1. */
static int64_t find_winner(const struct tess_sweep *sweep)
{
    int64_t best = -1;

    for (int64_t i = 0; i < sweep->trials->n; i++) {
        const struct tess_trial *one = &sweep->trial[i];

        if (one->state == TESS_TRIAL_DONE && isfinite(one->score) &&
            (best < 0 || one->score < sweep->trial[best].score ||
             (one->score == sweep->trial[best].score && one->number < sweep->trial[best].number)))
            best = i;
    }
    return best;
}

static void head(const struct tess_sweep *sweep, struct tess_sheet *sheet, int with_results)
{
    tess_sheet_text(sheet, "trial");
    for (int k = 0; k < sweep->trials->n_swept; k++)
        tess_sheet_text(sheet, name_of(sweep, k));
    for (int k = 0; with_results && k < N_RESULTS; k++)
        tess_sheet_text(sheet, results[k]);
    tess_sheet_end(sheet);
}

static void line(const struct tess_sweep *sweep, struct tess_sheet *sheet, int64_t i,
                 int with_results)
{
    const struct tess_trial *trial = &sweep->trial[i];

    tess_sheet_count(sheet, trial->number);
    for (int k = 0; k < sweep->trials->n_swept; k++) {
        char *value = setting_of(sweep, i, k);

        tess_sheet_text(sheet, value);
        tess_free(value);
    }
    if (with_results) {
        tess_sheet_number(sheet, trial->score, 0);
        tess_sheet_count(sheet, trial->best_epoch);
        tess_sheet_count(sheet, trial->epochs);
        tess_sheet_number(sheet, rint(10 * trial->seconds) / 10, 0);
        tess_sheet_text(sheet, states[trial->state]);
    }
    tess_sheet_end(sheet);
}

static int write_sheet(const struct tess_sweep *sweep, const char *path, int with_results,
                       struct tess_error *error)
{
    struct tess_sheet sheet;

    if (tess_sheet_open(&sheet, path, 1, error) == TESS_OK) {
        head(sweep, &sheet, with_results);
        for (int64_t i = 0; i < sweep->trials->n; i++)
            line(sweep, &sheet, i, with_results);
        tess_sheet_finish(&sheet, error);
    }
    tess_sheet_release(&sheet);
    return error->code;
}

int tess_sweep_print_list(const struct tess_sweep *sweep, struct tess_error *error)
{
    return write_sheet(sweep, NULL, 0, error);
}

/* A number where the setting is one. */
static json_t *value_json(const struct tess_sweep *sweep, int64_t i, int k)
{
    const struct tess_param *param = &tess_params[sweep->trials->swept[k]];
    char *text = setting_of(sweep, i, k);
    json_t *json = param->type == TESS_PARAM_INT    ? json_integer(strtoll(text, NULL, 10))
                   : param->type == TESS_PARAM_REAL ? json_real(strtod(text, NULL))
                                                    : json_string(text);

    tess_free(text);
    return json;
}

static json_t *trial_json(const struct tess_sweep *sweep, int64_t i)
{
    const struct tess_trial *trial = &sweep->trial[i];
    char *directory = tess_sweep_path(sweep, i, "");
    json_t *settings = json_object(), *json;

    for (int k = 0; k < sweep->trials->n_swept; k++)
        json_object_set_new(settings, name_of(sweep, k), value_json(sweep, i, k));
    json = json_pack("{s:I, s:s, s:o, s:o, s:I, s:I, s:f, s:s}", "trial", (json_int_t)trial->number,
                     "directory", directory, "settings", settings, "val_rmse",
                     isfinite(trial->score) ? json_real(trial->score) : json_null(), "best_epoch",
                     (json_int_t)trial->best_epoch, "epochs", (json_int_t)trial->epochs, "seconds",
                     trial->seconds, "state", states[trial->state]);
    tess_free(directory);
    return json;
}

static int write_json(const struct tess_sweep *sweep, int64_t winner, struct tess_error *error)
{
    const struct tess_trials *trials = sweep->trials;
    json_t *list = json_array(), *json;

    for (int64_t i = 0; i < trials->n; i++)
        json_array_append_new(list, trial_json(sweep, i));
    json = json_pack(
        "{s:s, s:o, s:o, s:o}", "method", trials->method == TESS_TRIALS_GRID ? "grid" : "random",
        "seed", trials->method == TESS_TRIALS_GRID ? json_null() : json_integer(trials->seed),
        "winner", winner < 0 ? json_null() : trial_json(sweep, winner), "trials", list);
    tess_fitted_write(sweep->directory, "sweep.json", json, error);
    json_decref(json);
    return error->code;
}

/* The link is replaced in one go; nothing fails for it. */
static void link_best(const struct tess_sweep *sweep, int64_t winner)
{
    char *path = tess_format("%s/best", sweep->directory);
    char *aside = tess_format("%s/best.%lld.link", sweep->directory, (long long)getpid());
    char *target = tess_format("trial-%lld", (long long)sweep->trial[winner].number);
    struct stat about;

    if (lstat(path, &about) == 0 && !S_ISLNK(about.st_mode))
        tess_warn("%s: is no link of a sweep, and left alone", path);
    else if (symlink(target, aside) < 0 || rename(aside, path) < 0) {
        tess_warn("%s: cannot be made a link to %s: %s", path, target, strerror(errno));
        unlink(aside);
    }
    tess_free(target);
    tess_free(aside);
    tess_free(path);
}

/* Of two trials: the lower score first, then the number; without a score last. */
static const struct tess_trial *sorted; /* qsort hands nothing on; rank 0 alone prints */

static int compare(const void *a, const void *b)
{
    const struct tess_trial *x = &sorted[*(const int64_t *)a], *y = &sorted[*(const int64_t *)b];
    double p = isfinite(x->score) ? x->score : INFINITY,
           q = isfinite(y->score) ? y->score : INFINITY;

    if (p != q)
        return p < q ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void print_line(const struct tess_sweep *sweep, int64_t i)
{
    const struct tess_trial *trial = &sweep->trial[i];
    char *words = tess_sweep_words(sweep, i), score[32] = "-";

    if (isfinite(trial->score))
        snprintf(score, sizeof score, "%.4f", trial->score);
    printf("%7lld  %10s  %10lld  %6lld  %8.1f  %-8s  %s\n", (long long)trial->number, score,
           (long long)trial->best_epoch, (long long)trial->epochs, trial->seconds,
           states[trial->state], words);
    tess_free(words);
}

static void print(const struct tess_sweep *sweep, int64_t winner)
{
    int64_t n = sweep->trials->n, *order = TESS_NEW(int64_t, n);
    char *words, *directory;

    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    sorted = sweep->trial;
    qsort(order, (size_t)n, sizeof *order, compare);
    printf("%7s  %10s  %10s  %6s  %8s  %-8s  %s\n", "trial", "val RMSE", "best epoch", "epochs",
           "seconds", "state", "settings");
    for (int64_t k = 0; k < n && k < MOST_PRINTED; k++)
        print_line(sweep, order[k]);
    if (n > MOST_PRINTED)
        printf("… %lld more in %s/sweep.tsv\n", (long long)(n - MOST_PRINTED), sweep->directory);
    if (winner >= 0) {
        words = tess_sweep_words(sweep, winner);
        directory = tess_sweep_path(sweep, winner, "");
        printf("best by validation: trial %lld (%s): %s\n", (long long)sweep->trial[winner].number,
               words, directory);
        tess_free(words);
        tess_free(directory);
    }
    tess_free(order);
}

int tess_sweep_tables(const struct tess_sweep *sweep, struct tess_error *error)
{
    char *path = tess_format("%s/sweep.tsv", sweep->directory);
    int64_t winner = find_winner(sweep);

    if (write_sheet(sweep, path, 1, error) == TESS_OK &&
        write_json(sweep, winner, error) == TESS_OK) {
        if (winner >= 0)
            link_best(sweep, winner);
        print(sweep, winner);
    }
    tess_free(path);
    return error->code;
}
