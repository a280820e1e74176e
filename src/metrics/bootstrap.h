/* bootstrap.h -- the sums of a method in a tally, for its files. */
#ifndef BOOTSTRAP_H
#define BOOTSTRAP_H

#include "tessera/bootstrap.h"

enum { SUMS_OF_POOL = (int)(sizeof(struct tess_pool) / sizeof(double)) };
/* Of each score of single experiments; the last three of the experiments that both methods have. */
enum { SUM, COUNT, DIFFERENCE, BASE, BOTH, SUMS_OF_METRIC };
enum { SUMS_OF_METHOD = SUMS_OF_POOL + (TESS_METRICS - TESS_CHANGE) * SUMS_OF_METRIC };

static inline int64_t sum_at(int64_t method, int64_t metric)
{
    return method * SUMS_OF_METHOD + SUMS_OF_POOL + (metric - TESS_CHANGE) * SUMS_OF_METRIC;
}

/* The 2.5 and 97.5 percentiles of n values, which are reordered, as the interval of an estimate; or
 * why it has none. */
void tess_bootstrap_interval(int64_t n, double *x, int64_t n_groups,
                             struct tess_estimate *estimate);

#endif
