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
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/feature_file.h"
#include "tessera/groups.h"
#include "tessera/lock.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/run.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/trials.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_SECONDS 60 /* as of a run */

/* Trials that are trained in this session. */
struct session {
    struct tess_sweep *sweep;
    const struct tess_sweep_options *options;
    struct tess_groups groups;
    int64_t n, *todo; /* (n) places of trials; own */
    double started;
    int lock; /* rank 0: open file; -1: none */
    struct tess_train_need need; /* of the largest */
    double disk; /* of all of this group's, then of all */
    struct tess_feature_cache features; /* while all are checked */
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
            session->todo[session->n++] = i;
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
    if (groups > ranks)
        return tess_error_set(error, TESS_ECONFIG,
                              "sweep.groups is %lld, but there %s only %d rank%s: a group is of "
                              "one rank or more; start more ranks, or lower it",
                              (long long)groups, ranks == 1 ? "is" : "are", ranks,
                              ranks == 1 ? "" : "s");
    groups = groups > session->n ? session->n : groups;
    tess_groups_init(&session->groups, groups > 1 ? (int)groups : 1, sweep->comm, NULL);
    return TESS_OK;
}

/* Could it be trained, as far as that can be said without values? Collective over the group. */
static int check_trial(void *closure, int64_t k, struct tess_error *error)
{
    struct session *session = closure;
    int64_t i = session->todo[k];
    struct tess_train_need need = {0, 0};
    struct tess_train_options options = {
        .dry_run = 1, .need = &need, .features = &session->features};
    struct tess_config config;

    if (tess_sweep_settings(session->sweep, i, &config, error) == TESS_OK &&
        tess_train(&config, &options, session->groups.group, error) != TESS_OK) {
        struct tess_error cause = *error;

        *error = (struct tess_error)TESS_ERROR_INIT;
        tess_error_set(error, cause.code, "trial %lld: %.1900s",
                       (long long)session->sweep->trial[i].number, cause.text);
    }
    MPI_Allreduce(MPI_IN_PLACE, &need, 2, MPI_DOUBLE, MPI_MAX, session->groups.group);
    session->need.memory = fmax(session->need.memory, need.memory);
    session->disk +=
        need.checkpoint * (double)((config.checkpoint.keep + 1) * config.train.members);
    return error->code;
}

/* Nothing is trained unless all can be. Collective. */
static int check_all(struct session *session, struct tess_error *error)
{
    const struct tess_groups_work work = {session, "before anything was trained", check_trial};
    struct tess_sweep *sweep = session->sweep;
    enum tess_log_level level = tess_log_level;
    double disk;
    int own;

    /* What a trial has to say it says when it is trained. */
    tess_log_level = level > TESS_LOG_WARN ? TESS_LOG_WARN : level;
    tess_groups_run(&session->groups, session->n, &work, error);
    tess_log_level = level;
    tess_feature_cache_release(&session->features);
    if (tess_agree(sweep->comm, error) != TESS_OK)
        return error->code;
    MPI_Comm_rank(session->groups.group, &own);
    disk = own == 0 ? session->disk : 0;
    MPI_Allreduce(&disk, &session->disk, 1, MPI_DOUBLE, MPI_SUM, sweep->comm);
    MPI_Allreduce(MPI_IN_PLACE, &session->need.memory, 1, MPI_DOUBLE, MPI_MAX, sweep->comm);
    if (sweep->rank == 0)
        tess_commit_check_room(sweep->directory, session->disk, error);
    return tess_agree(sweep->comm, error);
}

static void announce(const struct session *session)
{
    const struct tess_sweep *sweep = session->sweep;
    const struct tess_trials *trials = sweep->trials;

    if (trials->n_same > 0)
        tess_info("%lld trials have the settings of another one: they are one",
                  (long long)trials->n_same);
    if (sweep->n_strangers > 0)
        tess_info("%s: %lld trials in it are not of this configuration: left alone",
                  sweep->directory, (long long)sweep->n_strangers);
    tess_info("%lld trials of %d settings (%s), %lld of them left to train on %d group%s of ranks",
              (long long)trials->n, trials->n_swept,
              trials->method == TESS_TRIALS_GRID ? "grid" : "random", (long long)session->n,
              session->groups.n, session->groups.n == 1 ? "" : "s");
    if (session->n > 0)
        tess_info("memory of each rank: at most %.1f MB; checkpoints of all: at most %.1f MB in %s",
                  session->need.memory / 1e6, session->disk / 1e6, sweep->directory);
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
    for (int64_t k = 0; k < session->n && error->code == TESS_OK; k++)
        tess_sweep_record(sweep, session->todo[k], error);
    tess_free(path);
    return error->code;
}

/* Its numbers did not stay finite: that is what came out of it. Collective over the group. */
static int is_diverged(const struct session *session, int diverged, int64_t i,
                       struct tess_error *error)
{
    MPI_Allreduce(MPI_IN_PLACE, &diverged, 1, MPI_INT, MPI_MAX, session->groups.group);
    if (error->code != TESS_EDATA || !diverged)
        return 0;
    tess_warn("trial %lld diverged: %s", (long long)session->sweep->trial[i].number, error->text);
    *error = (struct tess_error)TESS_ERROR_INIT;
    return 1;
}

/* Collective over the group. */
static int train_trial(void *closure, int64_t k, struct tess_error *error)
{
    struct session *session = closure;
    struct tess_sweep *sweep = session->sweep;
    int64_t i = session->todo[k];
    int diverged = 0, own;
    const struct tess_member member = {sweep->directory, &session->groups, NULL};
    struct tess_train_options options = {.of = &member, .diverged = &diverged};
    struct tess_config config;
    char *words = tess_sweep_words(sweep, i);

    tess_info("trial %lld (%lld of %lld): %s", (long long)sweep->trial[i].number, (long long)k + 1,
              (long long)session->n, words);
    tess_free(words);
    if (session->options->time_limit > 0)
        options.time_limit =
            fmax(session->options->time_limit - (tess_clock() - session->started), 1e-3);
    MPI_Comm_rank(session->groups.group, &own);
    if (tess_sweep_settings(sweep, i, &config, error) == TESS_OK &&
        tess_train(&config, &options, session->groups.group, error) == TESS_OK &&
        config.train.members > 1)
        tess_evaluate_calibrate(config.run.directory, session->groups.group, error);
    diverged = is_diverged(session, diverged, i, error);
    if (error->code == TESS_OK && own == 0)
        tess_sweep_finish(sweep, i, diverged ? TESS_TRIAL_DIVERGED : TESS_TRIAL_DONE, error);
    return tess_agree(session->groups.group, error);
}

/* Collective. */
static int train_all(struct session *session, struct tess_error *error)
{
    const struct tess_groups_work work = {session, "between two trials", train_trial};
    struct tess_sweep *sweep = session->sweep;

    if (sweep->rank == 0)
        claim(session, error);
    if (tess_agree(sweep->comm, error) == TESS_OK)
        tess_groups_run(&session->groups, session->n, &work, error);
    tess_agree(sweep->comm, error);
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
        if (check_all(session, error) == TESS_OK) {
            announce(session);
            if (!session->options->dry_run)
                train_all(session, error);
        }
        tess_groups_release(&session->groups);
        if (error->code != TESS_OK)
            return error->code;
        if (session->options->dry_run)
            return TESS_OK;
        if (session->n == 0)
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
    struct session session = {
        .sweep = &sweep, .options = options, .started = tess_clock(), .lock = -1};

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
