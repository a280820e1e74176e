/* share.h -- blocks of any size from one rank to all, and from all to rank 0. */
#ifndef TESSERA_SHARE_H
#define TESSERA_SHARE_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct tess_commit;
struct tess_strings;
struct tess_vocab;

/* Rank 0's block to all. `bytes` agrees. Collective over comm. */
void tess_share(MPI_Comm comm, void *block, size_t bytes);

/* Rank 0's text to all: *text is not NULL there, and allocated and own of the caller on the others.
 * Collective over comm. */
void tess_share_text(MPI_Comm comm, char **text);

/* n items of `size` bytes from every rank, n may differ, into `all` on rank 0, in rank order.
 * Collective over comm; size agrees. */
void tess_share_gather(MPI_Comm comm, const void *mine, int64_t n, size_t size, void *all);

/* The texts of all ranks to rank 0, in rank order; the others' lists are emptied. Collective over
 * comm. */
void tess_share_strings(MPI_Comm comm, struct tess_strings *strings);

/* Rank 0's vocabulary to all. Collective over comm. */
void tess_share_vocab(MPI_Comm comm, struct tess_vocab *vocab);

/* Rank 0's commit to all, who join it; after all agreed that rank 0 could open it. Collective over
 * comm. */
void tess_share_commit(MPI_Comm comm, struct tess_commit *commit);

#endif
