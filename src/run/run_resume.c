/* run_resume.c -- which checkpoint an earlier run goes on from, and what goes or is set aside. */
#include "run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/checksums.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES_PER_SECOND 2e8 /* a slow disk's, until the first checkpoint is measured */

struct candidate {
    int64_t step, best; /* best: its kind */
    int64_t damaged; /* found out */
};

/* All checkpoints, newest first, merged from two sorted lists; of one step the checkpoint before
 * the best one, which is_validated_later counts on. Own of the caller. Collective. */
static struct candidate *list(const struct tess_run *run, int64_t *n)
{
    int64_t *step[2] = {NULL, NULL}, m[2] = {0, 0}, at[2] = {0, 0};
    struct candidate *candidate;

    if (run->rank == 0 && run->earlier) {
        m[0] = tess_rundir_list(run->directory, TESS_RUN_CHECKPOINT, &step[0]);
        m[1] = tess_rundir_list(run->directory, TESS_RUN_BEST, &step[1]);
    }
    *n = m[0] + m[1];
    MPI_Bcast(n, 1, MPI_INT64_T, 0, run->comm);
    candidate = TESS_NEW(struct candidate, *n);
    for (int64_t i = 0; run->rank == 0 && i < *n; i++) {
        int best = at[0] == m[0] || (at[1] < m[1] && step[1][at[1]] > step[0][at[0]]);

        candidate[i] = (struct candidate){step[best][at[best]], best, 0};
        at[best]++;
    }
    MPI_Bcast(candidate, tess_int(3 * *n), MPI_INT64_T, 0, run->comm);
    tess_free(step[0]);
    tess_free(step[1]);
    return candidate;
}

static char *path_of(const struct tess_run *run, const struct candidate *candidate)
{
    return tess_rundir_name(run->directory, candidate->best ? TESS_RUN_BEST : TESS_RUN_CHECKPOINT,
                            candidate->step);
}

/* Collective. */
static int take(struct tess_run *run, struct tess_trainer *trainer,
                const struct candidate *candidate, struct tess_error *error)
{
    char *path = path_of(run, candidate);

    if (tess_checksums_verify(path, run->comm, NULL, error) == TESS_OK)
        tess_trainer_resume(trainer, path, error);
    tess_free(path);
    return error->code;
}

/* Is the best checkpoint there, and intact, that the state speaks of? Collective. */
static int best_is_there(const struct tess_run *run, const struct tess_trainer *trainer)
{
    int64_t step = trainer->progress.best_epoch > 0 ? trainer->progress.best_step : 0;
    char *path = tess_rundir_name(run->directory, TESS_RUN_BEST, step);
    int there = run->rank == 0 && tess_rundir_has_best(run->directory, step);
    struct tess_error damage = TESS_ERROR_INIT; /* is named when its turn comes */

    MPI_Bcast(&there, 1, MPI_INT, 0, run->comm);
    if (there && step > 0)
        there = tess_checksums_verify(path, run->comm, NULL, &damage) == TESS_OK;
    tess_free(path);
    return there;
}

/* Is the state from before a validation that found it the best so far? Its own best one was then
 * superseded by the file of this very step, which the validation will make again. */
static int is_validated_later(const struct tess_trainer *trainer, const struct candidate *candidate,
                              int64_t i, int64_t n)
{
    return !candidate[i].best && i + 1 < n && candidate[i + 1].best &&
           candidate[i + 1].step == candidate[i].step &&
           trainer->progress.best_step != candidate[i].step;
}

/* The newest intact checkpoint, with a warning for each damaged one before it. A refusal (another
 * store, other settings) is no damage: it stands. If the newest is intact but its best one could
 * not be written or is damaged, an older one leads to both again. (After damage no such thing
 * follows from a best one missing: it was superseded.) Returns the chosen one, or -1. Collective.
 */
static int64_t choose(struct tess_run *run, struct tess_trainer *trainer,
                      struct candidate *candidate, int64_t n, struct tess_error *error)
{
    int64_t without_best = -1, best = 0, n_damaged = 0;
    struct tess_error mine = TESS_ERROR_INIT;

    for (int64_t i = 0; i < n; i++) {
        mine = (struct tess_error)TESS_ERROR_INIT;
        if (take(run, trainer, &candidate[i], &mine) == TESS_OK) {
            if (without_best < 0 ? n_damaged > 0 || is_validated_later(trainer, candidate, i, n) ||
                                       best_is_there(run, trainer)
                                 : candidate[i].step < best)
                return i;
            if (without_best < 0) {
                without_best = i;
                best = trainer->progress.best_step;
            }
            continue;
        }
        if (mine.code != TESS_EDATA) {
            *error = mine;
            return -1;
        }
        candidate[i].damaged = 1;
        n_damaged += without_best < 0;
        if (i + 1 < n)
            tess_warn("%s; trying an older checkpoint", mine.text);
    }
    if (without_best >= 0 && take(run, trainer, &candidate[without_best], error) == TESS_OK) {
        tess_warn("%s: the best checkpoint, of step %lld, is missing or damaged, and no other "
                  "from before it is left",
                  run->directory, (long long)trainer->progress.best_step);
        return without_best;
    }
    if (n > 0 && error->code == TESS_OK)
        tess_error_set(error, TESS_EDATA,
                       "%s; no intact checkpoint is left in %s: --fresh starts over and moves this "
                       "run aside",
                       mine.text, run->directory);
    return -1;
}

/* Damaged checkpoints are kept under another name, out of the way of new ones; intact ones from
 * beyond the resumed step are made again. Rank 0. */
static void set_aside(const struct tess_run *run, const struct candidate *candidate, int64_t n,
                      int64_t now)
{
    for (int64_t i = 0; i < n; i++) {
        char *path = path_of(run, &candidate[i]), *aside = tess_format("%s.damaged", path);

        if (candidate[i].damaged && access(path, F_OK) == 0 &&
            tess_checksums_rename(path, aside) == 0)
            tess_info("the damaged file is now %s", aside);
        else if (candidate[i].damaged || candidate[i].step > now)
            tess_checksums_remove(path);
        tess_free(path);
        tess_free(aside);
    }
}

/* Lines of the log that the resumed run will write again, and a line cut off by a kill, go. */
static void cut_log(struct tess_run *run, int64_t epochs, struct tess_error *error)
{
    char *path = tess_format("%s/log.jsonl", run->directory), *kept = tess_strdup(""), *line = NULL;
    FILE *file = fopen(path, "r");
    size_t room = 0, length = 0, space = 1;
    int64_t n;

    while (file && (n = getline(&line, &room, file)) > 0) {
        json_t *entry = json_loadb(line, (size_t)n, 0, NULL); /* none of one with a zero byte */

        if (entry && json_integer_value(json_object_get(entry, "epoch")) <= epochs) {
            kept = tess_grow(kept, &space, length + strlen(line) + 2, 1);
            memcpy(kept + length, line, strlen(line) + 1);
            length += strlen(line);
        }
        json_decref(entry);
    }
    if (file)
        fclose(file);
    free(line);
    tess_commit_text(path, kept, error);
    tess_free(kept);
    tess_free(path);
}

int tess_run_resume(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    struct candidate *candidate;
    double started = tess_clock();
    int64_t n, chosen;

    candidate = list(run, &n);
    if (n == 0 && run->rank == 0 && run->earlier)
        tess_info("%s holds a run without a checkpoint: starting from the beginning",
                  run->directory);
    chosen = choose(run, trainer, candidate, n, error);
    if (error->code == TESS_OK && chosen >= 0) {
        char *path = path_of(run, &candidate[chosen]);

        tess_info("resuming from %s: step %lld, epoch %lld", path,
                  (long long)trainer->optimizer.step, (long long)trainer->progress.epoch + 1);
        tess_debug("%s: verified and read in %.3f s", path, tess_clock() - started);
        tess_free(path);
    }
    /* So that the first checkpoint, too, is begun in time before a deadline. */
    run->longest_save = tess_trainer_save_bytes(trainer) / BYTES_PER_SECOND;
    run->config.model.kind = trainer->config.model.kind;
    run->config.model.combination = trainer->config.model.combination;
    run->config.train.sampling = trainer->config.train.sampling;
    run->config.train.precision = trainer->config.train.precision;
    if (error->code == TESS_OK && run->rank == 0 && run->earlier) {
        set_aside(run, candidate, n, trainer->optimizer.step);
        cut_log(run, trainer->progress.epoch, error);
        tess_run_open_log(run, error);
    }
    if (error->code == TESS_OK && run->rank == 0)
        tess_rundir_write_used(run->directory, &run->config, error);
    tess_free(candidate);
    return tess_agree(run->comm, error);
}
