/* shard.h -- the rows of one embedding table that this rank owns.
 *
 * A table is (n_rows, dim) float32, row-major, cut into one contiguous block of rows per rank; a
 * rank may own none. Beside it lies its optimiser state: two moments, and the step that each row
 * last moved at (optimizer.h: rows are caught up when a step touches them, and only then written).
 */
#ifndef TESSERA_SHARD_H
#define TESSERA_SHARD_H

#include "tessera/network.h"
#include "tessera/optimizer.h"
#include "tessera/state.h"

#include <mpi.h>
#include <stdint.h>

struct tess_shard {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks, dim;
    int64_t n_rows; /* of the whole table */
    int64_t *first; /* (n_ranks + 1) first row of each rank; own */
    int64_t n_local;
    struct tess_row_state rows; /* (n_local) own */
    /* Rows that the current step touches, and their gradients. */
    int32_t *mark; /* (n_local) place in touched, or -1; own */
    int64_t n_touched, room_touched;
    int64_t *touched; /* local rows, in order of first mention; own */
    float *gradient; /* (room_touched, dim); own */
};

/* Zeroed rows. TESS_EOS if the memory is not there. Local. */
struct tess_error;
int tess_shard_init(struct tess_shard *shard, MPI_Comm comm, int64_t n_rows, int dim,
                    struct tess_error *error);
/* Who owns which rows, for any rank of any number: no rows. Local. */
void tess_shard_divide(struct tess_shard *shard, int64_t n_rows, int rank, int n_ranks);
void tess_shard_release(struct tess_shard *shard);
/* Bytes that a rank needs for its part of such a table. */
int64_t tess_shard_bytes(int64_t n_rows, int dim, int n_ranks);

/* Rank that owns a row. Local. */
int tess_shard_owner(const struct tess_shard *shard, int64_t row);

/* A step touches a row of this rank (global number; any number of times): local. */
void tess_shard_touch(struct tess_shard *shard, int64_t row);
/* All touched rows caught up to `step`; then their gradients are zero. OpenMP. Local. */
void tess_shard_catch_up(struct tess_shard *shard, const struct tess_optimizer *optimizer,
                         int64_t step);
/* Adds dim floats to the gradient of the touched row that has this mark. Local. */
void tess_shard_add(struct tess_shard *shard, int32_t mark, const float *gradient);
/* The optimiser's current step for every touched row, gradients times scale; then none is touched.
 * The rows must be caught up to the step before. OpenMP. Local. */
void tess_shard_update(struct tess_shard *shard, const struct tess_optimizer *optimizer,
                       float scale);
/* Row `row` of this rank as it stands at `step`, without touching it. Local. */
void tess_shard_copy(const struct tess_shard *shard, const struct tess_optimizer *optimizer,
                     int64_t row, int64_t step, float *out);
/* The whole table as it stands at `step`, on every rank: out (n_rows, dim). For tables that fit.
 * Collective over comm. */
void tess_shard_gather(const struct tess_shard *shard, const struct tess_optimizer *optimizer,
                       int64_t step, float *out);

#endif
