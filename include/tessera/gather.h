/* gather.h -- what all ranks have, to rank 0, and back, whatever its size. */
#ifndef TESSERA_GATHER_H
#define TESSERA_GATHER_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct tess_strings;

/* n items of `size` bytes from every rank, n may differ, into `all` on rank 0, in rank order.
 * Collective over comm; size agrees. */
void tess_gather(MPI_Comm comm, const void *mine, int64_t n, size_t size, void *all);

/* The texts of all ranks to rank 0, in rank order; the others' lists are emptied. Collective over
 * comm. */
void tess_gather_strings(MPI_Comm comm, struct tess_strings *strings);

/* Rank 0's block for each rank, bytes[r] long: every rank gets its own, in memory that is its own.
 * Collective over comm; the arguments count on rank 0. */
char *tess_scatter(MPI_Comm comm, char *const *block, const int64_t *bytes);

#endif
