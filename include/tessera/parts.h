/* parts.h -- a sum of parts that are dealt out to the ranks and added in their own order: the same
 * bits on any number of ranks. */
#ifndef TESSERA_PARTS_H
#define TESSERA_PARTS_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_parts {
    MPI_Comm comm; /* borrowed */
    int64_t n; /* parts; which these are must not depend on the ranks */
    void *closure;
    /* Where part `part` is added: total[*first … *first + *n). The same on every rank. Local. */
    void (*place)(void *closure, int64_t part, int64_t *first, int64_t *n);
    /* The part, out (*n of `place`), zero before. Local. */
    int (*compute)(void *closure, int64_t part, double *out, struct tess_error *error);
};

/* total += the parts, one after the other, on all ranks. n_total numbers, which must be the same on
 * every rank before; undefined after an error. Collective over comm. */
int tess_parts_sum(const struct tess_parts *parts, int64_t n_total, double *total,
                   struct tess_error *error);

#endif
