/* slices.h -- arrays that all ranks add to, and of which each looks after a slice. */
#ifndef TESSERA_SLICES_H
#define TESSERA_SLICES_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/* The first of n items that are `rank`'s; its slice ends where the next rank's begins. Local. */
static inline int64_t tess_slice_first(int64_t n, int rank, int n_ranks)
{
    return n / n_ranks * rank + n % n_ranks * rank / n_ranks;
}

/* Every rank has numbers for all n items, `width` of each: those of a slice go to the rank that
 * looks after it. out (n, width); in (n_ranks, items of this rank's slice, width), from rank 0 to
 * the last. Collective over comm; n and width are the same on every rank. */
void tess_slices_exchange(MPI_Comm comm, int64_t n, int64_t width, const double *out, double *in);
/* Every rank gets all of an array of which each byte was set by one rank, and is 0 on the others.
 * Collective over comm. */
void tess_slices_join(MPI_Comm comm, void *array, size_t bytes);

#endif
