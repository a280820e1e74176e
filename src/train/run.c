/* run.c -- filling a run directory. */
#include "tessera/run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/rundir.h"
#include "tessera/sums.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_empty(const char *directory)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    int n = 0;

    while (folder && (entry = readdir(folder)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    return n == 0;
}

static void make_directory(const char *path, struct tess_error *error)
{
    char *part = tess_strdup(path);

    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
    if (mkdir(part, 0777) < 0 && errno != EEXIST)
        tess_error_set(error, TESS_ECREATE, "%s: cannot create the run directory: %s", path,
                       strerror(errno));
    tess_free(part);
}

/* An earlier run goes to DIRECTORY.old-1, -2 …: nothing is ever deleted. */
static void move_aside(const char *directory, struct tess_error *error)
{
    for (int i = 1; error->code == TESS_OK; i++) {
        char *aside = tess_format("%s.old-%d", directory, i);
        int there = access(aside, F_OK) == 0;

        if (!there && rename(directory, aside) < 0)
            tess_error_set(error, TESS_ECREATE, "%s: cannot be moved to %s: %s", directory, aside,
                           strerror(errno));
        else if (!there)
            tess_info("the earlier run is now %s", aside);
        tess_free(aside);
        if (!there)
            break;
    }
}

/* Half-written files, and word that an earlier session was told to stop. */
static void remove_leftovers(const char *directory)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (tess_text_match("*.part", entry->d_name) || strcmp(entry->d_name, "STOPPED") == 0) {
            char *name = tess_format("%s/%s", directory, entry->d_name);

            unlink(name);
            tess_free(name);
        }
    if (folder)
        closedir(folder);
}

/* used.yaml: the settings, with the store's full path, so that others find it from anywhere. */
static void write_used(const struct tess_run *run, const struct tess_config *config,
                       struct tess_error *error)
{
    struct tess_config used = *config;
    char *path = tess_format("%s/used.yaml", run->directory), *full, *yaml;

    full = realpath(config->data.store, NULL);
    if (full && strlen(full) < sizeof used.data.store)
        snprintf(used.data.store, sizeof used.data.store, "%s", full);
    yaml = tess_config_yaml(&used, 0, 1);
    tess_commit_text(path, yaml, error);
    free(full);
    tess_free(yaml);
    tess_free(path);
}

static int set_up(struct tess_run *run, const struct tess_config *config, int fresh,
                  struct tess_error *error)
{
    char *log = tess_format("%s/log.jsonl", run->directory);
    char *used = tess_format("%s/used.yaml", run->directory);

    if (fresh && access(run->directory, F_OK) == 0 && !is_empty(run->directory))
        move_aside(run->directory, error);
    if (error->code == TESS_OK)
        make_directory(run->directory, error);
    run->earlier = access(used, F_OK) == 0;
    if (error->code == TESS_OK && !run->earlier && !is_empty(run->directory))
        tess_error_set(error, TESS_ECREATE,
                       "%s: holds other things than a run: name another directory with "
                       "--set run.directory=DIR",
                       run->directory);
    remove_leftovers(error->code == TESS_OK ? run->directory : "");
    if (error->code == TESS_OK && !run->earlier)
        write_used(run, config, error);
    if (error->code == TESS_OK) {
        run->log = fopen(log, "a");
        if (!run->log)
            tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", log, strerror(errno));
    }
    tess_free(used);
    tess_free(log);
    return error->code;
}

int tess_run_open(struct tess_run *run, const struct tess_config *config, int fresh, MPI_Comm comm,
                  struct tess_error *error)
{
    *run = (struct tess_run){.comm = comm,
                             .directory = tess_strdup(config->run.directory),
                             .interval = 60 * config->checkpoint.minutes,
                             .saved = tess_clock(),
                             .looked = tess_clock(),
                             .keep = config->checkpoint.keep};
    MPI_Comm_rank(comm, &run->rank);
    if (run->directory[0] == '\0')
        tess_error_set(error, TESS_ECONFIG,
                       "run.directory is not set: give it in the configuration or with "
                       "--set run.directory=DIR");
    else if (run->rank == 0)
        set_up(run, config, fresh, error);
    return tess_agree(comm, error);
}

void tess_run_close(struct tess_run *run)
{
    if (run->log)
        fclose(run->log);
    tess_free(run->directory);
    *run = (struct tess_run){0};
}

/* The newest intact checkpoint, with a warning for each damaged one before it. A refusal (another
 * store, other settings) is no damage: it stands. Collective. */
static int resume_from(struct tess_run *run, struct tess_trainer *trainer, const int64_t *step,
                       int64_t n, struct tess_error *error)
{
    for (int64_t i = 0; i < n; i++) {
        struct tess_error mine = TESS_ERROR_INIT;
        char *path = tess_rundir_name(run->directory, TESS_RUN_CHECKPOINT, step[i]);

        if (tess_sums_verify(path, run->comm, &mine) == TESS_OK &&
            tess_trainer_resume(trainer, path, &mine) == TESS_OK)
            tess_info("resuming from %s: step %lld, epoch %lld", path, (long long)step[i],
                      (long long)trainer->progress.epoch + 1);
        tess_free(path);
        if (mine.code != TESS_EDATA || i + 1 == n) {
            *error = mine;
            return mine.code;
        }
        tess_warn("%s; trying an older checkpoint", mine.text);
    }
    return error->code;
}

/* Lines of the log that the resumed run will write again, and a line cut off by a kill, go. */
static void cut_log(struct tess_run *run, int64_t step, struct tess_error *error)
{
    char *path = tess_format("%s/log.jsonl", run->directory), *kept = tess_strdup(""), *line = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0, length = 0, space = 1;

    while (file && getline(&line, &room, file) > 0) {
        json_t *entry = json_loads(line, 0, NULL);

        if (entry && json_integer_value(json_object_get(entry, "step")) <= step) {
            kept = tess_grow(kept, &space, length + strlen(line) + 2, 1);
            memcpy(kept + length, line, strlen(line) + 1);
            length += strlen(line);
        }
        json_decref(entry);
    }
    if (file)
        fclose(file);
    free(line);
    if (tess_commit_text(path, kept, error) == TESS_OK) {
        fclose(run->log);
        run->log = fopen(path, "a");
        if (!run->log)
            tess_error_set(error, TESS_EIO, "%s: %s", path, strerror(errno));
    }
    tess_free(kept);
    tess_free(path);
}

/* Best checkpoints from beyond the resumed step are made again. */
static void remove_future_best(const struct tess_run *run, int64_t now)
{
    int64_t *step, n = tess_rundir_list(run->directory, TESS_RUN_BEST, &step);

    for (int64_t i = 0; i < n && step[i] > now; i++) {
        char *path = tess_rundir_name(run->directory, TESS_RUN_BEST, step[i]);

        tess_sums_remove(path);
        tess_free(path);
    }
    tess_free(step);
}

int tess_run_resume(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    int64_t *step = NULL, n = 0;

    if (run->rank == 0)
        n = run->earlier ? tess_rundir_list(run->directory, TESS_RUN_CHECKPOINT, &step) : 0;
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, run->comm);
    if (run->rank != 0)
        step = TESS_NEW(int64_t, n);
    MPI_Bcast(step, tess_int(n), MPI_INT64_T, 0, run->comm);
    if (n == 0 && run->rank == 0 && run->earlier)
        tess_info("%s holds a run without a checkpoint: starting from the beginning",
                  run->directory);
    resume_from(run, trainer, step, n, error);
    tess_free(step);
    if (error->code == TESS_OK && run->rank == 0 && run->earlier) {
        cut_log(run, trainer->optimizer.step, error);
        remove_future_best(run, trainer->optimizer.step);
        write_used(run, &trainer->config, error);
    }
    return tess_agree(run->comm, error);
}

int tess_run_log(struct tess_run *run, json_t *line, struct tess_error *error)
{
    if (json_dumpf(line, run->log, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0 ||
        fputc('\n', run->log) == EOF || fflush(run->log) != 0)
        tess_error_set(error, TESS_EIO, "%s/log.jsonl: cannot write: %s", run->directory,
                       strerror(errno));
    json_decref(line);
    return error->code;
}

int tess_run_checkpoint_due(const struct tess_run *run)
{
    return run->rank == 0 && run->interval > 0 && tess_clock() - run->saved >= run->interval;
}

void tess_run_limit(struct tess_run *run, double seconds)
{
    double scheduler = tess_preempt_scheduler_left();

    run->deadline = seconds > 0 ? tess_clock() + seconds : 0;
    if (scheduler >= 0 && (run->deadline <= 0 || tess_clock() + scheduler < run->deadline))
        run->deadline = tess_clock() + scheduler;
}

/* A checkpoint, twice over, must still fit before the deadline. */
static int out_of_time(const struct tess_run *run)
{
    double margin = 2 * run->longest_save + 5;

    return run->deadline > 0 && tess_clock() + margin >= run->deadline;
}

const char *tess_run_stop_wish(struct tess_run *run)
{
    double now = tess_clock();
    char *path, *done;
    int stop;

    if (tess_preempt_signal())
        return "a signal";
    if (run->rank != 0)
        return NULL;
    if (out_of_time(run))
        return "the time limit";
    if (now - run->looked < 1) /* the file system is asked once a second */
        return NULL;
    run->looked = now;
    path = tess_format("%s/STOP", run->directory);
    done = tess_format("%s/STOPPED", run->directory);
    stop = rename(path, done) == 0;
    tess_free(done);
    tess_free(path);
    return stop ? "the file STOP" : NULL;
}

/* Keep the newest of a kind. Rank 0. */
static void prune(const struct tess_run *run, const char *kind, int64_t keep, int64_t spare)
{
    int64_t *step, n = tess_rundir_list(run->directory, kind, &step);

    for (int64_t i = keep; i < n; i++) {
        char *path = tess_rundir_name(run->directory, kind, step[i]);

        if (step[i] != spare)
            tess_sums_remove(path);
        tess_free(path);
    }
    tess_free(step);
}

int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    char *path = tess_rundir_name(run->directory, TESS_RUN_CHECKPOINT, trainer->optimizer.step);
    double started = tess_clock(), spent;

    if (tess_checkpoint_write(trainer, path, error) == TESS_OK && run->rank == 0) {
        prune(run, TESS_RUN_CHECKPOINT, run->keep, -1);
        prune(run, TESS_RUN_BEST, 0, trainer->progress.best_step);
    }
    run->saved = tess_clock();
    spent = run->saved - started;
    run->longest_save = spent > run->longest_save ? spent : run->longest_save;
    tess_free(path);
    return error->code;
}

int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    char *path = tess_rundir_name(run->directory, TESS_RUN_BEST, trainer->optimizer.step);

    tess_checkpoint_write(trainer, path, error);
    tess_free(path);
    return error->code;
}
