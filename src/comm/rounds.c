/* rounds.c -- blocks of rows dealt out to the ranks. */
#include "tessera/rounds.h"

/* of a block: 4 MiB of floats */
#define BLOCK_VALUES ((int64_t)1 << 20)

int64_t tess_rounds_rows(int64_t row_values, int64_t multiple)
{
    int64_t most = row_values > 0 ? BLOCK_VALUES / row_values : BLOCK_VALUES;

    return most > multiple ? most : multiple;
}

struct tess_rounds tess_rounds_make(MPI_Comm comm, int64_t n, int64_t row_values, int64_t multiple)
{
    return tess_rounds_part(comm, 0, n, tess_rounds_rows(row_values, multiple), multiple);
}

/* Blocks are alike in size, so that nobody waits for the last one. */
struct tess_rounds tess_rounds_part(MPI_Comm comm, int64_t begin, int64_t n, int64_t most,
                                    int64_t multiple)
{
    struct tess_rounds rounds = {.comm = comm, .begin = begin, .n = n};
    int64_t all;

    MPI_Comm_rank(comm, &rounds.rank);
    MPI_Comm_size(comm, &rounds.n_ranks);
    most = (most + multiple - 1) / multiple * multiple;
    rounds.n_rounds = (n + most * rounds.n_ranks - 1) / (most * rounds.n_ranks);
    all = rounds.n_rounds * rounds.n_ranks;
    rounds.size = all ? ((n + all - 1) / all + multiple - 1) / multiple * multiple : multiple;
    return rounds;
}

int64_t tess_rounds_take(const struct tess_rounds *rounds, int64_t round, int64_t *first)
{
    int64_t at = (round * rounds->n_ranks + rounds->rank) * rounds->size;

    at = at < rounds->n ? at : rounds->n;
    *first = rounds->begin + at;
    return rounds->n - at < rounds->size ? rounds->n - at : rounds->size;
}

int64_t tess_rounds_done(const struct tess_rounds *rounds, int64_t round)
{
    int64_t n = (round + 1) * rounds->n_ranks * rounds->size;

    return rounds->begin + (n < rounds->n ? n : rounds->n);
}
