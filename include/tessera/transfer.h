/* transfer.h -- what the other contexts gave each context: beside the model of a run stands one of
 * that context alone, of the same settings and seed, trained on the same split of which all other
 * contexts are left unused.
 *
 *     RUN/transfer/3-NAME/      the training of context 3 of the store alone: a run like any other
 *     RUN/transfer/3-NAME.json  says that it is over
 *     RUN/transfer/transfer.tsv the table */
#ifndef TESSERA_TRANSFER_H
#define TESSERA_TRANSFER_H

#include "tessera/config.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_evaluation;
struct tess_model;
struct tess_store;
struct tess_strings;

struct tess_transfer_options {
    const char *run; /* its directory; borrowed */
    const struct tess_strings *contexts; /* names, patterns, files; none: all; borrowed */
    int split; /* that is scored: contexts without such an experiment are none of it */
    int64_t groups; /* of ranks that train side by side, at most */
    int dry_run; /* all is checked and said, nothing trained */
    double time_limit; /* seconds until training must have stopped; 0: none */
};

struct tess_transfer_context {
    int64_t context; /* number of the store */
    int64_t n_train, n_held_out; /* experiments but control */
    int64_t state; /* 0: not done; 1: done; 2: its numbers did not stay finite */
};

struct tess_transfer {
    const struct tess_store *store; /* borrowed */
    struct tess_transfer_options options;
    MPI_Comm comm; /* borrowed */
    int rank;
    struct tess_config config; /* of the run */
    char *directory; /* RUN/transfer; own */
    uint64_t settings; /* hash of all that changes bits */
    int64_t n;
    struct tess_transfer_context *context; /* (n) own */
};

/* Which contexts, and how their trainings stand. TESS_EDATA if the run has no used.yaml, or began
 * from another model, which others shaped; or if no context is left; TESS_EUSAGE, TESS_EDATA for
 * contexts that there are not. Whatever comes of it must be released. Collective over comm. */
int tess_transfer_init(struct tess_transfer *transfer, const struct tess_store *store,
                       const struct tess_transfer_options *options, MPI_Comm comm,
                       struct tess_error *error);
/* Says what it takes, then trains what is not done, each as tess_train does: with the same bits on
 * any number of ranks and groups. TESS_EINTERRUPTED when asked to stop, after complete checkpoints:
 * what is done stays done, the rest is gone on with. Codes as of tess_train. Collective. */
int tess_transfer_train(struct tess_transfer *transfer, struct tess_error *error);
/* Opens one trained model after the other, with `precision` as of tess_model_open, and puts their
 * pairs into the evaluation, which takes the run's model; rank 0 writes the table. Collective. */
int tess_transfer_score(const struct tess_transfer *transfer, int precision,
                        struct tess_evaluation *evaluation, struct tess_error *error);
void tess_transfer_release(struct tess_transfer *transfer); /* may run twice; local */

#endif
