/* halt.c -- empty messages between the leaders of groups. */
#include "tessera/halt.h"

#include "tessera/alloc.h"

#define TAG 1 /* nothing else is sent from one rank to another among leaders */

void tess_halt_init(struct tess_halt *halt, int leads, MPI_Comm comm)
{
    int n;

    *halt = (struct tess_halt){.leaders = MPI_COMM_NULL};
    MPI_Comm_split(comm, leads ? 0 : MPI_UNDEFINED, 0, &halt->leaders);
    if (halt->leaders == MPI_COMM_NULL)
        return;
    MPI_Comm_size(halt->leaders, &n);
    halt->request = TESS_NEW(MPI_Request, n);
    for (int r = 0; r < n; r++)
        halt->request[r] = MPI_REQUEST_NULL;
}

void tess_halt_call(struct tess_halt *halt)
{
    int rank, n;

    if (halt->leaders == MPI_COMM_NULL || halt->called)
        return;
    halt->called = 1;
    MPI_Comm_rank(halt->leaders, &rank);
    MPI_Comm_size(halt->leaders, &n);
    for (int r = 0; r < n; r++)
        if (r != rank)
            MPI_Isend(NULL, 0, MPI_BYTE, r, TAG, halt->leaders, &halt->request[r]);
}

/* The message stays where it is: who asks again hears it again. */
int tess_halt_heard(struct tess_halt *halt)
{
    int heard = 0;

    if (halt->leaders != MPI_COMM_NULL)
        MPI_Iprobe(MPI_ANY_SOURCE, TAG, halt->leaders, &heard, MPI_STATUS_IGNORE);
    halt->followed |= heard;
    return heard;
}

void tess_halt_release(struct tess_halt *halt)
{
    int rank, n, *called;

    if (halt->leaders == MPI_COMM_NULL)
        return;
    MPI_Comm_rank(halt->leaders, &rank);
    MPI_Comm_size(halt->leaders, &n);
    called = TESS_NEW(int, n);
    MPI_Allgather(&halt->called, 1, MPI_INT, called, 1, MPI_INT, halt->leaders);
    for (int r = 0; r < n; r++)
        if (called[r] && r != rank)
            MPI_Recv(NULL, 0, MPI_BYTE, r, TAG, halt->leaders, MPI_STATUS_IGNORE);
    MPI_Waitall(n, halt->request, MPI_STATUSES_IGNORE);
    tess_free(called);
    tess_free(halt->request);
    halt->request = NULL;
    MPI_Comm_free(&halt->leaders);
}
