/* broadcast.h -- what rank 0 has, to all ranks, whatever its size. */
#ifndef TESSERA_BROADCAST_H
#define TESSERA_BROADCAST_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct tess_commit;
struct tess_strings;
struct tess_vocab;

/* Rank 0's block to all. `bytes` agrees. Collective over comm. */
void tess_broadcast(MPI_Comm comm, void *block, size_t bytes);

/* Rank 0's array of n elements to all: it is returned there, and on the others a new one, own of
 * the caller. `n` agrees; the others' pointer does not count. Collective over comm. */
void *tess_broadcast_array(MPI_Comm comm, void *array, int64_t n, size_t size);

/* Rank 0's text to all: *text is not NULL there, and allocated and own of the caller on the others.
 * Collective over comm. */
void tess_broadcast_text(MPI_Comm comm, char **text);

/* Rank 0's list of texts to all; the others' must be empty. Collective over comm. */
void tess_broadcast_strings(MPI_Comm comm, struct tess_strings *strings);

/* Rank 0's vocabulary to all; the others' must be empty. Collective over comm. */
void tess_broadcast_vocab(MPI_Comm comm, struct tess_vocab *vocab);

/* Rank 0's commit to all, who join it; after all agreed that rank 0 could open it. Collective over
 * comm. */
void tess_broadcast_commit(MPI_Comm comm, struct tess_commit *commit);

#endif
