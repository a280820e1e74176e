/* run_save.c -- when to save and when to stop; which checkpoints stay. */
#include "run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checksums.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/groups.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/rundir.h"
#include "tessera/trainer.h"

#include <stdio.h>
#include <unistd.h>

int tess_run_checkpoint_due(const struct tess_run *run)
{
    return run->rank == 0 && run->interval > 0 && tess_clock() - run->saved >= run->interval;
}

/* What must still fit before the deadline: a checkpoint, counted twice to be safe, and the best one
 * if it waits in memory. */
static int out_of_time(struct tess_run *run)
{
    return tess_deadline_over(&run->deadline, (run->best.full ? 3 : 2) * run->longest_save);
}

/* Is there a file STOP in the directory? Renamed, not only seen: the run that goes on from here
 * must not stop for it again. */
static int stop_is_there(const char *directory)
{
    char *path = tess_format("%s/STOP", directory), *done = tess_format("%s/STOPPED", directory);
    int there = rename(path, done) == 0;

    tess_free(done);
    tess_free(path);
    return there;
}

const char *tess_run_stop_reason(struct tess_run *run)
{
    double now = tess_clock();
    int late = out_of_time(run), stop;

    if (tess_preempt_signal())
        return "a signal";
    if (run->rank != 0)
        return NULL;
    if (late)
        return "the time limit";
    if (run->member && tess_groups_heard(run->member->groups))
        return "another group of ranks";
    if (now - run->asked < 1) /* the file system is asked once a second */
        return NULL;
    run->asked = now;
    stop = stop_is_there(run->directory);
    for (const struct tess_member *m = run->member; m && !stop; m = m->of)
        stop = stop_is_there(m->directory);
    return stop ? "the file STOP" : NULL;
}

/* Remove files of a kind, but for the newest `keep` and one more. */
static void prune(const struct tess_run *run, const char *kind, int64_t keep, int64_t spare)
{
    int64_t *step, n = tess_rundir_list(run->directory, kind, &step);

    for (int64_t i = keep; i < n; i++) {
        char *path = tess_rundir_name(run->directory, kind, step[i]);

        if (step[i] != spare)
            tess_checksums_remove(path);
        tess_free(path);
    }
    tess_free(step);
}

/* The newest checkpoint from which a missing best one can be made again; -1: the best is there, or
 * there is no such. Rank 0. */
static int64_t way_back(const struct tess_run *run, const struct tess_trainer *trainer)
{
    static const char *const kind[] = {TESS_RUN_CHECKPOINT, TESS_RUN_BEST};
    int64_t best = trainer->progress.best_epoch > 0 ? trainer->progress.best_step : 0, way = -1;

    if (tess_rundir_has_best(run->directory, best))
        return -1;
    for (int k = 0; k < 2; k++) {
        int64_t *step, n = tess_rundir_list(run->directory, kind[k], &step);

        for (int64_t i = 0; i < n; i++)
            way = step[i] < best && step[i] > way ? step[i] : way;
        tess_free(step);
    }
    return way;
}

/* Written, and its time taken. Collective. */
static int write_state(struct tess_run *run, struct tess_trainer *trainer, const char *kind,
                       struct tess_error *error)
{
    char *path = tess_rundir_name(run->directory, kind, trainer->optimizer.step);
    double started = tess_clock(), spent;

    if (run->rank == 0)
        tess_run_renew(run, error);
    if (tess_agree(run->comm, error) == TESS_OK)
        tess_trainer_save(trainer, path, error);
    spent = tess_clock() - started;
    run->saving += spent;
    run->longest_save = spent > run->longest_save ? spent : run->longest_save;
    if (error->code == TESS_OK)
        tess_debug("%s: written in %.3f s", path, spent);
    tess_free(path);
    return error->code;
}

void tess_run_forget_blend(const struct tess_run *run)
{
    char *path = tess_format("%s/%s", run->directory, TESS_RUN_BLEND);

    if (run->rank == 0)
        unlink(path);
    tess_free(path);
}

/* Earlier best ones go only when the new one is there, and the weight that belongs to them. */
static int write_best(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    if (write_state(run, trainer, TESS_RUN_BEST, error) == TESS_OK) {
        tess_run_forget_blend(run);
        if (run->rank == 0)
            prune(run, TESS_RUN_BEST, 0, trainer->optimizer.step);
    }
    return error->code;
}

int tess_run_flush_best(struct tess_run *run, struct tess_trainer *trainer,
                        struct tess_error *error)
{
    if (!run->best.full)
        return error->code;
    tess_kept_exchange(&run->best, trainer);
    write_best(run, trainer, error);
    tess_kept_exchange(&run->best, trainer);
    run->best.full = error->code != TESS_OK;
    return error->code;
}

/* The best one first: a checkpoint speaks of the best one that must be found beside it. */
int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    if (tess_run_flush_best(run, trainer, error) == TESS_OK &&
        write_state(run, trainer, TESS_RUN_CHECKPOINT, error) == TESS_OK && run->rank == 0)
        prune(run, TESS_RUN_CHECKPOINT, run->keep, way_back(run, trainer));
    run->saved = tess_clock(); /* also after a failure: the next try comes in its turn */
    return error->code;
}

int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    run->best.full = 0;
    if (trainer->kept_bytes == 0)
        return write_best(run, trainer, error);
    tess_kept_take(&run->best, trainer);
    return error->code;
}

int tess_run_check_best(struct tess_run *run, const struct tess_trainer *trainer,
                        struct tess_error *error)
{
    int64_t best = trainer->progress.best_epoch > 0 ? trainer->progress.best_step : 0;
    int64_t way = run->rank == 0 ? way_back(run, trainer) : -1;

    if (run->rank == 0 && way < 0 && !tess_rundir_has_best(run->directory, best))
        tess_warn(
            "%s: the best checkpoint, of step %lld, is not there: a better one took its place "
            "and was then damaged; the newest checkpoint holds the last epoch's state",
            run->directory, (long long)best);
    if (way >= 0)
        tess_error_set(error, TESS_EIO,
                       "%s: the best checkpoint, of step %lld, could not be written: make room and "
                       "run the same command again, which goes back to step %lld and makes it",
                       run->directory, (long long)trainer->progress.best_step, (long long)way);
    return tess_agree(run->comm, error);
}
