/* run.h -- filling a run directory while training (what lies where: rundir.h). */
#ifndef TESSERA_RUN_H
#define TESSERA_RUN_H

#include "tessera/config.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;
struct tess_trainer;

struct tess_run {
    MPI_Comm comm; /* borrowed */
    int rank;
    char *directory;        /* own */
    FILE *log;              /* rank 0 */
    int earlier;            /* rank 0: the directory held a run already */
    double interval, saved; /* seconds between checkpoints; when the last was made   */
    double longest_save;    /* seconds that one has taken                            */
    double deadline;        /* tess_clock() at which the run must be over; 0: none   */
    double looked;          /* when the file system was last asked for STOP          */
    int64_t keep;
};

/* A new or empty directory, or one with an earlier run (fresh: which is moved aside). TESS_ECREATE
 * if it holds other things. Collective. */
int tess_run_open(struct tess_run *run, const struct tess_config *config, int fresh, MPI_Comm comm,
                  struct tess_error *error);
void tess_run_close(struct tess_run *run);
/* Take over the newest intact checkpoint of an earlier run, if there is any; damaged ones are named
 * in warnings. TESS_EDATA if all are damaged, TESS_ECONFIG if it belongs to another store or to
 * other settings. Collective. */
int tess_run_resume(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error);

/* Appends one line and flushes it; takes `line`. Rank 0 only. */
int tess_run_log(struct tess_run *run, json_t *line, struct tess_error *error);
/* 1 on rank 0 when checkpoint.minutes have passed. Local. */
int tess_run_checkpoint_due(const struct tess_run *run);
/* The run must be over in `seconds` (0: no limit), or when the batch system says. Local. */
void tess_run_limit(struct tess_run *run, double seconds);
/* What asks this rank to stop now ("a signal", "the time limit", "the file STOP"), or NULL. Local.
 */
const char *tess_run_stop_wish(struct tess_run *run);

/* checkpoint-<step>.h5; then all but the newest `keep` go, and best ones that no longer are.
 * Collective. */
int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error);
/* best-<step>.h5. Collective. */
int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer,
                       struct tess_error *error);

#endif
