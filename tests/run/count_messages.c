/* count_messages.c -- loaded before MPI (LD_PRELOAD): writes down what each rank hands to it, a
 * line a call, into $COUNT_MESSAGES.RANK. Of exchanges the bytes for other ranks, and how many of
 * them get any. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static FILE *record;

static FILE *out(void)
{
    char path[4096];
    int rank;

    if (!record) {
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        snprintf(path, sizeof path, "%s.%d", getenv("COUNT_MESSAGES"), rank);
        record = fopen(path, "w");
        if (!record)
            abort();
    }
    return record;
}

static long long size_of(MPI_Datatype type)
{
    int size;

    MPI_Type_size(type, &size);
    return size;
}

int MPI_Alltoall(const void *send, int n, MPI_Datatype type, void *receive, int m, MPI_Datatype as,
                 MPI_Comm comm)
{
    int size;

    MPI_Comm_size(comm, &size);
    fprintf(out(), "alltoall %lld %lld %lld %d\n", (size - 1) * n * size_of(type),
            n > 0 ? size - 1LL : 0, size_of(type), n);
    return PMPI_Alltoall(send, n, type, receive, m, as, comm);
}

int MPI_Alltoallv(const void *send, const int *n, const int *first, MPI_Datatype type,
                  void *receive, const int *m, const int *begin, MPI_Datatype as, MPI_Comm comm)
{
    long long bytes = 0, messages = 0;
    int rank, size;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    for (int r = 0; r < size; r++)
        if (r != rank && n[r] > 0) {
            bytes += n[r] * size_of(type);
            messages++;
        }
    fprintf(out(), "alltoallv %lld %lld %lld 0\n", bytes, messages, size_of(type));
    return PMPI_Alltoallv(send, n, first, type, receive, m, begin, as, comm);
}

int MPI_Isend(const void *send, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    fprintf(out(), "isend %lld 1 %lld 0\n", n * size_of(type), size_of(type));
    return PMPI_Isend(send, n, type, to, tag, comm, request);
}

int MPI_Allgatherv(const void *send, int n, MPI_Datatype type, void *receive, const int *m,
                   const int *begin, MPI_Datatype as, MPI_Comm comm)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    fprintf(out(), "allgatherv %lld 1 %lld 0\n",
            send == MPI_IN_PLACE ? m[rank] * size_of(as) : n * size_of(type), size_of(as));
    return PMPI_Allgatherv(send, n, type, receive, m, begin, as, comm);
}

int MPI_Allreduce(const void *send, void *receive, int n, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm)
{
    fprintf(out(), "allreduce %lld 1 %lld %d\n", n * size_of(type), size_of(type), op == MPI_MAX);
    return PMPI_Allreduce(send, receive, n, type, op, comm);
}

int MPI_Finalize(void)
{
    if (record)
        fclose(record);
    return PMPI_Finalize();
}
