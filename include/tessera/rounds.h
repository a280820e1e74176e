/* rounds.h -- rows streamed by all ranks: block i is rank i mod n_ranks's; a round is one block
 * a rank. Blocks are bounded, so memory is. */
#ifndef TESSERA_ROUNDS_H
#define TESSERA_ROUNDS_H

#include <mpi.h>
#include <stdint.h>

struct tess_rounds {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks;
    int64_t begin, n, size; /* the first row, rows in all, and of a block */
    int64_t n_rounds;
};

/* n rows of `row_values` values each; a block is a multiple of `multiple` rows. Local. */
struct tess_rounds tess_rounds_make(MPI_Comm comm, int64_t n, int64_t row_values, int64_t multiple);
/* Rows of a block that suit: 4 MiB of floats, at least `multiple`. Local. */
int64_t tess_rounds_rows(int64_t row_values, int64_t multiple);
/* Rows [begin, begin + n); a block is a multiple of `multiple` rows, and at most `most`, which is
 * at least `multiple`. Local. */
struct tess_rounds tess_rounds_part(MPI_Comm comm, int64_t begin, int64_t n, int64_t most,
                                    int64_t multiple);
/* This rank's rows [*first, *first + result) in a round; maybe none. Local. */
int64_t tess_rounds_take(const struct tess_rounds *rounds, int64_t round, int64_t *first);
/* The row up to which all ranks together have done after a round. Local. */
int64_t tess_rounds_done(const struct tess_rounds *rounds, int64_t round);

#endif
