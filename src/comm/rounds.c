/* rounds.c -- blocks of rows dealt out to the ranks. */
#include "tessera/rounds.h"

/* of a block: 4 MiB of floats */
#define BLOCK_VALUES ((int64_t)1 << 20)

struct tess_rounds tess_rounds_make(MPI_Comm comm, int64_t n, int64_t row_values, int64_t multiple)
{
    struct tess_rounds rounds = {.comm = comm, .n = n};
    int64_t most = row_values > 0 ? BLOCK_VALUES / row_values : BLOCK_VALUES, all;

    MPI_Comm_rank(comm, &rounds.rank);
    MPI_Comm_size(comm, &rounds.n_ranks);
    most = most > multiple ? most : multiple;
    rounds.n_rounds = (n + most * rounds.n_ranks - 1) / (most * rounds.n_ranks);
    all = rounds.n_rounds * rounds.n_ranks; /* blocks, alike in size: nobody waits for the last */
    rounds.size = all ? ((n + all - 1) / all + multiple - 1) / multiple * multiple : multiple;
    return rounds;
}

int64_t tess_rounds_take(const struct tess_rounds *rounds, int64_t round, int64_t *first)
{
    int64_t at = (round * rounds->n_ranks + rounds->rank) * rounds->size;

    *first = at < rounds->n ? at : rounds->n;
    return rounds->n - *first < rounds->size ? rounds->n - *first : rounds->size;
}

int64_t tess_rounds_done(const struct tess_rounds *rounds, int64_t round)
{
    int64_t n = (round + 1) * rounds->n_ranks * rounds->size;

    return n < rounds->n ? n : rounds->n;
}
