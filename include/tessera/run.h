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
    double interval, saved; /* seconds between checkpoints; when the last was begun */
    int64_t keep;
};

/* A new or empty directory; writes used.yaml. TESS_ECREATE if it holds anything. Collective. */
int tess_run_open(struct tess_run *run, const struct tess_config *config, MPI_Comm comm,
                  struct tess_error *error);
void tess_run_close(struct tess_run *run);
/* Appends one line and flushes it; takes `line`. Rank 0 only. */
int tess_run_log(struct tess_run *run, json_t *line, struct tess_error *error);
/* 1 on rank 0 when checkpoint.minutes have passed. Local. */
int tess_run_checkpoint_due(const struct tess_run *run);
/* checkpoint-<step>.h5; then all but the newest `keep` are removed. Collective. */
int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error);
/* best.h5. Collective. */
int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer,
                       struct tess_error *error);

#endif
