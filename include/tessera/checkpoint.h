/* checkpoint.h -- the whole state of a training in one HDF5 file, the same bits however many ranks
 * wrote it (layout: docs/formats.md). Nothing in it depends on time, host, paths or layout. */
#ifndef TESSERA_CHECKPOINT_H
#define TESSERA_CHECKPOINT_H

#include "tessera/config.h"
#include "tessera/h5.h"
#include "tessera/network.h"
#include "tessera/optimizer.h"
#include "tessera/vocab.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_trainer;
struct tess_error;

#define TESS_CHECKPOINT_FORMAT "tessera-checkpoint"
#define TESS_CHECK_FLOATS      4096 /* floats of the MLP under one checksum */

extern const char *const tess_table_names[TESS_N_TABLES]; /* "perturbation", "readout", "context" */

/* Checksum of one table row with its optimiser state. Local. */
uint64_t tess_checkpoint_row_sum(int dim, const float *value, const float *m, const float *v,
                                 int64_t last);

/* Is none of n numbers NaN or infinite? Local. */
int tess_checkpoint_finite(const float *x, int64_t n);

/* What is not a table: read by one rank. */
struct tess_checkpoint_head {
    struct tess_config config;
    struct tess_shape shape;
    struct tess_vocab vocab[TESS_N_TABLES]; /* own */
    uint8_t *trained[TESS_N_TABLES];        /* own */
    int64_t step, epoch, step_in_epoch, best_epoch, best_step;
    double best_score, epoch_loss, epoch_measured;
    uint64_t store_hash, split_hash;
    char blas_core[32], version[32];
    struct tess_optimizer optimizer; /* with all past learning rates; own */
};
/* Checks the sizes of everything else as well: what follows from the head may be allocated. */
int tess_checkpoint_read_head(const struct tess_h5 *h5, struct tess_checkpoint_head *head,
                              struct tess_error *error);
void tess_checkpoint_head_release(struct tess_checkpoint_head *head);

/* Step, scores, tables and settings as ordered JSON; NULL and an error if it cannot be read. Local.
 */
json_t *tess_checkpoint_info(const char *path, struct tess_error *error);

/* Rows of a table with their optimiser state, as they are stored; checksums verified. Local. */
struct tess_row_state {
    float *value, *m, *v; /* (n, D) borrowed                   */
    int64_t *last;        /* (n) the step each last moved at   */
};
int tess_checkpoint_read_state(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                               enum tess_table table, int64_t first, int64_t n,
                               struct tess_row_state out, struct tess_error *error);
/* Rows as they stand at the checkpoint's step. Local. */
int tess_checkpoint_read_rows(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                              enum tess_table table, int64_t first, int64_t n, float *out,
                              struct tess_error *error);
/* The MLP's block: part "value", or a moment, "m", "v"; checksums verified. Local. */
int tess_checkpoint_read_mlp(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                             const char *part, float *out, struct tess_error *error);

/* Everything that is in an intact file (sums.h) held against its checksums and what it must be:
 * what is wrong is added to `problems` of rank 0, one sentence each. Each rank its share.
 * Collective over comm. */
struct tess_strings;
int tess_checkpoint_verify(const char *path, MPI_Comm comm, struct tess_strings *problems,
                           struct tess_error *error);

#endif
