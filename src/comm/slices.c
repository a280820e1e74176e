/* slices.c -- every rank's numbers to whom they belong, and a whole of everybody's part. */
#include "tessera/slices.h"

#include "tessera/alloc.h"

#define PIECE_BYTES ((size_t)1 << 28)

void tess_slices_exchange(MPI_Comm comm, int64_t n, int64_t width, const double *out, double *in)
{
    int rank, n_ranks, *count[2], *first[2];
    int64_t mine;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    mine = tess_slice_first(n, rank + 1, n_ranks) - tess_slice_first(n, rank, n_ranks);
    for (int way = 0; way < 2; way++) {
        count[way] = TESS_NEW(int, n_ranks);
        first[way] = TESS_NEW(int, n_ranks);
    }
    for (int r = 0; r < n_ranks; r++) {
        int64_t begin = tess_slice_first(n, r, n_ranks), end = tess_slice_first(n, r + 1, n_ranks);

        first[0][r] = tess_int(begin * width);
        count[0][r] = tess_int((end - begin) * width);
        first[1][r] = tess_int(r * mine * width);
        count[1][r] = tess_int(mine * width);
    }
    MPI_Alltoallv(out, count[0], first[0], MPI_DOUBLE, in, count[1], first[1], MPI_DOUBLE, comm);
    for (int way = 0; way < 2; way++) {
        tess_free(count[way]);
        tess_free(first[way]);
    }
}

/* By bits, not by a sum: -0 + 0 is +0, and a number's bits would depend on the number of ranks. */
void tess_slices_join(MPI_Comm comm, void *array, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE_BYTES)
        MPI_Allreduce(MPI_IN_PLACE, (char *)array + at,
                      (int)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES), MPI_BYTE, MPI_BOR,
                      comm);
}
