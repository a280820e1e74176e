/* agree.c -- one vote over the result codes of all ranks. */
#include "tessera/agree.h"

#include "tessera/error.h"

/* The highest code wins; of equal ones MPI_MAXLOC takes the lowest rank (MPI 3.1, 5.9.4). */
int tess_agree(MPI_Comm comm, struct tess_error *error)
{
    int mine[2] = {error->code, 0}, worst[2];

    MPI_Comm_rank(comm, &mine[1]);
    error->rank = mine[1];
    MPI_Allreduce(mine, worst, 1, MPI_2INT, MPI_MAXLOC, comm);
    if (worst[0] != TESS_OK) /* no pointers inside: the struct travels as bytes */
        MPI_Bcast(error, (int)sizeof *error, MPI_BYTE, worst[1], comm);
    return worst[0];
}
