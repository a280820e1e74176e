/* agree.c -- every rank ends with the sentence of the worst one. */
#include "tessera/agree.h"

#include "tessera/error.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    int rank, n_ranks, bad = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    bad |= tess_agree(MPI_COMM_WORLD, &error) != TESS_OK;
    if (rank == n_ranks - 1)
        tess_error_set(&error, TESS_EDATA, "row 7 of rank %d", rank);
    bad |= tess_agree(MPI_COMM_WORLD, &error) != TESS_EDATA;
    bad |= error.rank != n_ranks - 1 || strncmp(error.text, "row 7 of rank", 13) != 0;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s\n", bad ? "FAILED" : "ok");
    MPI_Finalize();
    return bad;
}
