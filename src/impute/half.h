/* half.h -- values in half precision (IEEE binary16, NumPy's float16). Local. */
#ifndef HALF_H
#define HALF_H

#include <stdint.h>

/* The largest number that it has. */
#define TESS_HALF_MOST 65504

/* n floats, rounded to the nearest (ties to even), in their own place: the first 2 n bytes. Returns
 * the first finite one that became infinite, or -1. */
int64_t tess_half_from_floats(int64_t n, float *value);

#endif
