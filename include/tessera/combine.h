/* combine.h -- a perturbation's vector from its components' (mean, sum or maximum), and back.
 * Rows have D columns; combination i has members member[first[i] .. first[i + 1]). Local, pure. */
#ifndef TESSERA_COMBINE_H
#define TESSERA_COMBINE_H

#include <stdint.h>

/* out (n, D) from rows (·, D) */
void tess_combine(int rule, int dim, int n, const int32_t *first, const int32_t *member,
                  const float *row, float *out);
/* drow (n_rows, D) = gradient of the components from dout (n, D); drow is cleared first. */
void tess_combine_back(int rule, int dim, int n, const int32_t *first, const int32_t *member,
                       const float *row, const float *dout, int n_rows, float *drow);

#endif
