/* run.h -- filling a run directory while training (what lies where: rundir.h). */
#ifndef RUN_H
#define RUN_H

#include "tessera/config.h"
#include "tessera/kept.h"
#include "tessera/preempt.h"
#include "tessera/run.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_trainer;

struct tess_run {
    MPI_Comm comm; /* borrowed */
    int rank;
    char *directory; /* own */
    struct tess_config config; /* as given, then with what `auto` chose (tess_run_resume) */
    int lock, log; /* rank 0: open files; -1: none */
    char *unlogged; /* what could not be written to the log yet; own */
    int earlier; /* rank 0: the directory held a run already */
    double interval, saved; /* seconds between checkpoints; when the last was made */
    double longest_save, saving; /* seconds that one takes; that all took */
    struct tess_deadline deadline;
    double asked; /* when the file system was asked for STOP */
    int64_t keep;
    const struct tess_member *member; /* options.of */
    int is_part; /* one context's alone: not blended */
    struct tess_kept best; /* not on disk yet */
};

/* Of a run that has members there is no log: they have.
 * A new or empty directory, or one with an earlier run (fresh: which is moved aside). TESS_ECREATE
 * if it holds other things, or if another run works in it and does not end within a minute;
 * TESS_EINTERRUPTED if a signal comes while waiting for it; TESS_ECONFIG if run.directory is not
 * set. Collective. */
int tess_run_open(struct tess_run *run, const struct tess_config *config, int fresh, MPI_Comm comm,
                  struct tess_error *error);
void tess_run_close(struct tess_run *run);
/* Take over the newest intact checkpoint of an earlier run, if there is any; damaged ones are named
 * in warnings and renamed to NAME.damaged. One whose best checkpoint could not be written is passed
 * over if an older one can make that again. TESS_EDATA if all are damaged, TESS_ECONFIG if it
 * belongs to another store or to other settings. used.yaml then says what the trainer has chosen
 * where the settings leave it to the program. Collective. */
int tess_run_resume(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error);
/* A directory that was removed under the run is made anew, with a warning. TESS_ECREATE if another
 * run has taken its place: nothing may be written then. Rank 0 only. */
int tess_run_renew(struct tess_run *run, struct tess_error *error);

/* One training, from its first epoch to its last, in run.directory. Codes as of tess_train.
 * Collective. */
int tess_run_train(const struct tess_config *config, const struct tess_train_options *options,
                   MPI_Comm comm, struct tess_error *error);

/* log.jsonl, to append to, again if it was replaced. Rank 0 only. */
void tess_run_open_log(struct tess_run *run, struct tess_error *error);
/* Appends one line; takes `line`. What a full disk does not take is tried again with the next.
 * Rank 0 only. */
void tess_run_log(struct tess_run *run, json_t *line);
/* 1 on rank 0 when checkpoint.minutes have passed. Local. */
int tess_run_checkpoint_due(const struct tess_run *run);
/* What asks this rank to stop now ("a signal", "the time limit", "the file STOP"), or NULL. Local.
 */
const char *tess_run_stop_reason(struct tess_run *run);

/* The kept best one, then checkpoint-<step>.h5; then all but the newest `keep` go. Codes as of
 * tess_trainer_save. Collective. */
int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error);
/* The state is kept in memory if it is small, else written: best-<step>.h5; then earlier best ones
 * go. Collective. */
int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer,
                       struct tess_error *error);
/* Write the kept best one, if there is one. Collective. */
int tess_run_flush_best(struct tess_run *run, struct tess_trainer *trainer,
                        struct tess_error *error);
/* Removes blend.json, which belongs to another state of the run. Rank 0 does; any may call. */
void tess_run_forget_blend(const struct tess_run *run);
/* At the end: TESS_EIO if the best checkpoint could not be written but can be made again by running
 * once more. Collective. */
int tess_run_check_best(struct tess_run *run, const struct tess_trainer *trainer,
                        struct tess_error *error);

#endif
