/* median.h -- medians and normal quantiles. Local. */
#ifndef TESSERA_MEDIAN_H
#define TESSERA_MEDIAN_H

#include <stdint.h>

/* Reorders n numbers: x[k], which is returned, becomes the k-th smallest (from 0 on), none before
 * it is larger, none behind it smaller. */
double tess_median_place(int64_t n, double *x, int64_t k);
/* Of n numbers, which are left in another order; the mean of the middle two if n is even; NaN if n
 * is 0. */
double tess_median(int64_t n, double *x);
/* The z above which a standard normal variable lies with probability `tail` (0 < tail < 1). */
double tess_median_upper(double tail);

#endif
