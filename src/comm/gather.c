/* gather.c -- to rank 0 and back, rank after rank, in pieces that MPI's 32-bit counts can tell. */
#include "tessera/gather.h"

#include "tessera/alloc.h"
#include "tessera/text.h"

#include <string.h>

/* 256 MiB: MPI counts are int */
#define PIECE_BYTES ((size_t)1 << 28)

static void move(int sends, MPI_Comm comm, int other, char *block, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
        int n = (int)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES);

        if (sends)
            MPI_Send(block + at, n, MPI_BYTE, other, 0, comm);
        else
            MPI_Recv(block + at, n, MPI_BYTE, other, 0, comm, MPI_STATUS_IGNORE);
    }
}

/* One rank after the other: counts are 64-bit, those of MPI_Gatherv are not. For a rank with
 * nothing no message is sent, and rank 0, which knows the counts, awaits none. */
void tess_gather(MPI_Comm comm, const void *mine, int64_t n, size_t size, void *all)
{
    int rank, n_ranks;
    int64_t *count;
    size_t at = (size_t)n * size;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    count = TESS_NEW(int64_t, n_ranks);
    MPI_Gather(&n, 1, MPI_INT64_T, count, 1, MPI_INT64_T, 0, comm);
    if (rank > 0)
        move(1, comm, 0, (char *)(uintptr_t)mine, at);
    else if (at > 0)
        memcpy(all, mine, at);
    for (int r = 1; rank == 0 && r < n_ranks; r++) {
        move(0, comm, r, (char *)all + at, (size_t)count[r] * size);
        at += (size_t)count[r] * size;
    }
    tess_free(count);
}

void tess_gather_strings(MPI_Comm comm, struct tess_strings *strings)
{
    int64_t n = 0, total;
    char *mine, *all = NULL;
    int rank;

    MPI_Comm_rank(comm, &rank);
    for (size_t i = 0; i < strings->n; i++)
        n += (int64_t)strlen(strings->item[i]) + 1;
    mine = TESS_NEW(char, n);
    for (size_t i = 0, at = 0; i < strings->n; at += strlen(strings->item[i++]) + 1)
        memcpy(mine + at, strings->item[i], strlen(strings->item[i]) + 1);
    MPI_Reduce(&n, &total, 1, MPI_INT64_T, MPI_SUM, 0, comm);
    if (rank == 0)
        all = TESS_NEW(char, total);
    tess_gather(comm, mine, n, 1, all);
    /* from n on: rank 0 has its own already */
    for (int64_t at = n; rank == 0 && at < total; at += (int64_t)strlen(all + at) + 1)
        tess_strings_add(strings, all + at);
    if (rank != 0)
        tess_strings_release(strings);
    tess_free(mine);
    tess_free(all);
}

char *tess_scatter(MPI_Comm comm, char *const *block, const int64_t *bytes)
{
    int rank, n_ranks;
    int64_t n;
    char *mine;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    MPI_Scatter(bytes, 1, MPI_INT64_T, &n, 1, MPI_INT64_T, 0, comm);
    mine = TESS_NEW(char, n);
    for (int r = 1; rank == 0 && r < n_ranks; r++)
        move(1, comm, r, block[r], (size_t)bytes[r]);
    if (rank > 0)
        move(0, comm, 0, mine, (size_t)n);
    else
        memcpy(mine, block[0], (size_t)n);
    return mine;
}
