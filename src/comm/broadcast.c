/* broadcast.c -- in pieces that MPI's 32-bit counts can tell. */
#include "tessera/broadcast.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/text.h"
#include "tessera/vocab.h"

#include <string.h>

#define PIECE_BYTES ((size_t)1 << 28)

void tess_broadcast(MPI_Comm comm, void *block, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE_BYTES)
        MPI_Bcast((char *)block + at, (int)(bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES),
                  MPI_BYTE, 0, comm);
}

void *tess_broadcast_array(MPI_Comm comm, void *array, int64_t n, size_t size)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank != 0)
        array = tess_alloc((size_t)n, size);
    tess_broadcast(comm, array, (size_t)n * size);
    return array;
}

void tess_broadcast_vocab(MPI_Comm comm, struct tess_vocab *vocab)
{
    int64_t head[2] = {vocab->n, vocab->width};
    int rank;

    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(head, 2, MPI_INT64_T, 0, comm);
    if (rank != 0)
        tess_vocab_reserve(vocab, head[0], (int)head[1]);
    tess_broadcast(comm, vocab->text, (size_t)(head[0] * (head[1] + 1)));
}

void tess_broadcast_text(MPI_Comm comm, char **text)
{
    int64_t n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    n = rank == 0 ? (int64_t)strlen(*text) + 1 : 0;
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, comm);
    *text = tess_broadcast_array(comm, *text, n, 1);
}

void tess_broadcast_strings(MPI_Comm comm, struct tess_strings *strings)
{
    int64_t n = (int64_t)strings->n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, comm);
    for (int64_t i = 0; i < n; i++) {
        char *text = rank == 0 ? strings->item[i] : NULL;

        tess_broadcast_text(comm, &text);
        if (rank != 0) {
            tess_strings_add(strings, text);
            tess_free(text);
        }
    }
}

void tess_broadcast_commit(MPI_Comm comm, struct tess_commit *commit)
{
    char *path = commit->path, *aside = commit->aside;
    int kept = commit->kept, rank;

    MPI_Comm_rank(comm, &rank);
    tess_broadcast_text(comm, &path);
    tess_broadcast_text(comm, &aside);
    MPI_Bcast(&kept, 1, MPI_INT, 0, comm);
    if (rank == 0)
        return;
    tess_commit_join(commit, path, aside, kept);
    tess_free(path);
    tess_free(aside);
}
