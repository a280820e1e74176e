/* sweep.c -- the trials of a sweep, one after another or side by side on groups of ranks.
 *
 * Each is a training of its own in trial-<number>, made by the same code: its bits are those of
 * `tessera train` with its settings. */
#include "tessera/sweep.h"

#include "sweep.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/lock.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/run.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/trainings.h"
#include "tessera/trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_SECONDS 60 /* as of a run */

/* Trials that are trained in this session. */
struct session {
    struct tess_sweep *sweep;
    const struct tess_sweep_options *options;
    struct tess_trainings trainings;
    int64_t *todo; /* (trainings.n) places of trials; own */
    int lock; /* rank 0: open file; -1: none */
};

/* The directory, and which number each trial has in it. Collective. */
static int begin(struct tess_sweep *sweep, const struct tess_trials *trials, MPI_Comm comm,
                 struct tess_error *error)
{
    size_t length;

    *sweep = (struct tess_sweep){.trials = trials,
                                 .comm = comm,
                                 .directory = tess_strdup(trials->config[0].run.directory),
                                 .trial = TESS_NEW(struct tess_trial, trials->n)};
    MPI_Comm_rank(comm, &sweep->rank);
    for (length = strlen(sweep->directory); length > 1 && sweep->directory[length - 1] == '/';)
        sweep->directory[--length] = '\0';
    if (length == 0)
        tess_error_set(error, TESS_ECONFIG,
                       "run.directory is not set: give it in the configuration or with --set "
                       "run.directory=DIR; each trial has a directory in it");
    else if (sweep->rank == 0)
        tess_sweep_place(sweep, error);
    if (tess_agree(comm, error) == TESS_OK)
        tess_broadcast(comm, sweep->trial, (size_t)trials->n * sizeof *sweep->trial);
    return error->code;
}

static void end(struct tess_sweep *sweep)
{
    tess_free(sweep->directory);
    tess_free(sweep->trial);
}

/* Rank 0 looks at the files of all trials; all get what it saw. Collective. */
static void look(struct tess_sweep *sweep)
{
    for (int64_t i = 0; sweep->rank == 0 && i < sweep->trials->n; i++)
        tess_sweep_look(sweep, i);
    tess_broadcast(sweep->comm, sweep->trial, (size_t)sweep->trials->n * sizeof *sweep->trial);
}

/* Which store, and can trials be compared on it? Then how they stand. Collective. */
static int survey(struct tess_sweep *sweep, struct tess_error *error)
{
    const char *path = sweep->trials->config[0].data.store;
    struct tess_store store;

    if (!path[0])
        return tess_error_set(error, TESS_ECONFIG,
                              "data.store is not set: give it in the configuration or with --set "
                              "data.store=STORE");
    if (tess_store_open(&store, path, sweep->comm, error) != TESS_OK)
        return error->code;
    sweep->store_hash = store.index.hash;
    sweep->split_hash = store.index.split_hash;
    if (tess_index_observed(&store.index, TESS_VAL) == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: has nothing to validate with, by which trials could be compared: give "
                       "it a split with 'tessera split'",
                       path);
    tess_store_release(&store);
    if (error->code == TESS_OK)
        look(sweep);
    return error->code;
}

static int is_over(const struct tess_trial *trial)
{
    return trial->state == TESS_TRIAL_DONE || trial->state == TESS_TRIAL_DIVERGED;
}

/* What is left to do. */
static int choose(struct session *session, struct tess_error *error)
{
    const struct tess_sweep *sweep = session->sweep;
    int64_t wanted = session->options->trial, found = wanted == 0;

    session->todo = TESS_NEW(int64_t, sweep->trials->n);
    for (int64_t i = 0; i < sweep->trials->n; i++) {
        if (wanted != 0 && sweep->trial[i].number != wanted)
            continue;
        found = 1;
        if (!is_over(&sweep->trial[i]))
            session->todo[session->trainings.n++] = i;
    }
    if (!found)
        tess_error_set(error, TESS_EUSAGE,
                       "--trial %lld: there is no such trial; 'tessera sweep CONFIG --list' shows "
                       "the numbers",
                       (long long)wanted);
    return error->code;
}

/* As many groups as ranks and trials allow. Collective. */
static int make_groups(struct session *session, struct tess_error *error)
{
    const struct tess_sweep *sweep = session->sweep;
    int64_t groups = session->options->trial ? 1 : sweep->trials->groups;
    int ranks;

    MPI_Comm_size(sweep->comm, &ranks);
    if (tess_groups_check(groups, ranks, "sweep.groups", TESS_ECONFIG, error) != TESS_OK)
        return error->code;
    session->trainings.directory = sweep->directory;
    tess_trainings_init(&session->trainings, groups);
    return TESS_OK;
}

static int describe_trial(void *closure, int64_t k, struct tess_training *training,
                          struct tess_error *error)
{
    const struct session *session = closure;
    const struct tess_sweep *sweep = session->sweep;
    int64_t i = session->todo[k];

    training->name = tess_format("trial %lld", (long long)sweep->trial[i].number);
    training->words = tess_sweep_words(sweep, i);
    return tess_sweep_settings(sweep, i, &training->config, error);
}

static int finish_trial(void *closure, int64_t k, const struct tess_config *config, int diverged,
                        MPI_Comm group, struct tess_error *error)
{
    const struct session *session = closure;
    int own;

    MPI_Comm_rank(group, &own);
    if (!diverged && config->train.members > 1)
        tess_evaluate_calibrate(config->run.directory, group, error);
    if (error->code == TESS_OK && own == 0)
        tess_sweep_finish(session->sweep, session->todo[k],
                          diverged ? TESS_TRIAL_DIVERGED : TESS_TRIAL_DONE, error);
    return error->code;
}

static const struct tess_trainings_kind trials_kind = {"between two trials", describe_trial,
                                                       finish_trial};

static void announce(const struct session *session)
{
    const struct tess_sweep *sweep = session->sweep;
    const struct tess_trials *trials = sweep->trials;
    int groups = session->trainings.groups.n;

    if (trials->n_same > 0)
        tess_info("%lld trials have the settings of another one: they are one",
                  (long long)trials->n_same);
    if (sweep->n_strangers > 0)
        tess_info("%s: %lld trials in it are not of this configuration: left alone",
                  sweep->directory, (long long)sweep->n_strangers);
    tess_info("%lld trials of %d settings (%s), %lld of them left to train on %d group%s of ranks",
              (long long)trials->n, trials->n_swept,
              trials->method == TESS_TRIALS_GRID ? "grid" : "random",
              (long long)session->trainings.n, groups, groups == 1 ? "" : "s");
    tess_trainings_announce(&session->trainings);
}

/* Whole sweeps take the directory's lock; single trials have their runs'. Rank 0. */
static int claim(struct session *session, struct tess_error *error)
{
    struct tess_sweep *sweep = session->sweep;
    const struct tess_lock_words words = {sweep->directory, "the sweep that works in it",
                                          "another sweep works in it",
                                          "name another run.directory"};
    char *path = tess_format("%s/" TESS_RUN_LOCK, sweep->directory);

    if (tess_run_make_directory(sweep->directory, error) == TESS_OK && session->options->trial == 0)
        tess_lock_wait(&session->lock, path, &words, LOCK_SECONDS, tess_preempt_signal, error);
    for (int64_t k = 0; k < session->trainings.n && error->code == TESS_OK; k++)
        tess_sweep_record(sweep, session->todo[k], error);
    tess_free(path);
    return error->code;
}

/* Collective. */
static int train_all(struct session *session, struct tess_error *error)
{
    struct tess_sweep *sweep = session->sweep;

    if (sweep->rank == 0)
        claim(session, error);
    if (tess_agree(sweep->comm, error) == TESS_OK)
        tess_trainings_run(&session->trainings, error);
    tess_lock_release(&session->lock);
    return error->code;
}

/* What became of them. A single trial leaves the tables alone: others may be writing them. Rank 0.
 */
static int conclude(const struct session *session, struct tess_error *error)
{
    const struct tess_sweep *sweep = session->sweep;
    int64_t n_diverged = 0, n_over = 0;

    for (int64_t i = 0; i < sweep->trials->n; i++) {
        n_diverged += sweep->trial[i].state == TESS_TRIAL_DIVERGED;
        n_over += is_over(&sweep->trial[i]);
    }
    if (session->options->trial != 0)
        return TESS_OK;
    if (session->options->only_table && n_over == 0)
        return tess_error_set(error, TESS_EDATA, "%s: none of the %lld trials is done yet",
                              sweep->directory, (long long)sweep->trials->n);
    if (tess_sweep_tables(sweep, error) == TESS_OK && n_diverged == sweep->trials->n)
        tess_error_set(error, TESS_EDATA,
                       "%s: all %lld trials diverged: lower train.learning_rate, or look for "
                       "extreme values with 'tessera check'",
                       sweep->directory, (long long)n_diverged);
    return error->code;
}

/* Collective. */
static int run(struct session *session, struct tess_error *error)
{
    struct tess_sweep *sweep = session->sweep;

    if (choose(session, error) != TESS_OK)
        return error->code;
    if (!session->options->only_table) {
        if (make_groups(session, error) != TESS_OK)
            return error->code;
        if (tess_trainings_check(&session->trainings, error) == TESS_OK) {
            announce(session);
            if (!session->options->dry_run)
                train_all(session, error);
        }
        tess_trainings_release(&session->trainings);
        if (error->code != TESS_OK)
            return error->code;
        if (session->options->dry_run)
            return TESS_OK;
        if (session->trainings.n == 0)
            tess_info("nothing was left to train");
        look(sweep);
    }
    if (sweep->rank == 0)
        conclude(session, error);
    return tess_agree(sweep->comm, error);
}

int tess_sweep_run(const struct tess_trials *trials, const struct tess_sweep_options *options,
                   MPI_Comm comm, struct tess_error *error)
{
    struct tess_sweep sweep;
    struct session session = {.sweep = &sweep,
                              .options = options,
                              .trainings = {.kind = &trials_kind,
                                            .closure = &session,
                                            .comm = comm,
                                            .started = tess_clock(),
                                            .time_limit = options->time_limit},
                              .lock = -1};

    tess_preempt_install();
    if (begin(&sweep, trials, comm, error) == TESS_OK && survey(&sweep, error) == TESS_OK)
        run(&session, error);
    tess_free(session.todo);
    end(&sweep);
    return error->code;
}

int tess_sweep_list(const struct tess_trials *trials, MPI_Comm comm, struct tess_error *error)
{
    struct tess_sweep sweep;

    if (begin(&sweep, trials, comm, error) == TESS_OK && sweep.rank == 0)
        tess_sweep_print_list(&sweep, error);
    end(&sweep);
    return tess_agree(comm, error);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* "2,5-12" of ascending numbers. */
static void print_ranges(int64_t n, const int64_t *number)
{
    for (int64_t k = 0, last; k < n; k = last + 1) {
        for (last = k; last + 1 < n && number[last + 1] == number[last] + 1;)
            last++;
        printf("%s%lld", k ? "," : "", (long long)number[k]);
        if (last > k)
            printf("-%lld", (long long)number[last]);
    }
    printf("\n");
}

int tess_sweep_array(const struct tess_trials *trials, MPI_Comm comm, struct tess_error *error)
{
    int64_t *number = TESS_NEW(int64_t, trials->n), n = 0;
    struct tess_sweep sweep;

    if (begin(&sweep, trials, comm, error) == TESS_OK && survey(&sweep, error) == TESS_OK &&
        sweep.rank == 0) {
        for (int64_t i = 0; i < trials->n; i++)
            if (!is_over(&sweep.trial[i]))
                number[n++] = sweep.trial[i].number;
        qsort(number, (size_t)n, sizeof *number, compare);
        if (n > 0)
            print_ranges(n, number);
        else
            tess_info("all %lld trials are done", (long long)trials->n);
    }
    tess_free(number);
    end(&sweep);
    return tess_agree(comm, error);
}
