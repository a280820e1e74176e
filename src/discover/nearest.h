/* nearest.h -- the candidates that are most alike. Local to the folder. */
#ifndef NEAREST_H
#define NEAREST_H

#include "likeness.h"

struct tess_near {
    double likeness;
    int64_t number; /* of the perturbation; -1: none */
};

/* How many queries at a time, of n, keep to a bounded memory: their lists take k each. Local. */
int64_t tess_nearest_batch(const struct tess_likeness *likeness, int64_t k, int64_t n);
/* The k nearest candidates of each query but itself, into near (queries, k) on rank 0, the nearest
 * first, of equal ones that of the smaller number; without length none has or is one. Collective
 * over likeness->comm. */
int tess_nearest_find(const struct tess_likeness *likeness,
                      const struct tess_likeness_queries *queries, int64_t k,
                      struct tess_near *near, struct tess_error *error);

#endif
