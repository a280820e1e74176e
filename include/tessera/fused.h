/* fused.h -- the elementwise passes between the matrix products, each one sweep over its data.
 *
 * Compiled for several instruction sets and chosen at start by the loader; the arithmetic is the
 * same in each (no contraction, sums over 16 fixed partial sums), so the bits are too. All matrices
 * are row-major with H columns. Local, pure. */
#ifndef TESSERA_FUSED_H
#define TESSERA_FUSED_H

#include <stdint.h>

/* a[i] = relu(left[u[i]] + right[v[i]]); relu 0: no relu. (n, H) */
void tess_fused_input(int n, int H, const float *left, const int32_t *u, const float *right,
                      const int32_t *v, int relu, float *a);
/* a[i] = relu(a[i] + bias) */
void tess_fused_hidden(int n, int H, const float *bias, float *a);
/* a[h] = random[h] < threshold ? 0 : a[h] * scale, one row */
void tess_fused_drop(int H, const uint16_t *random, uint32_t threshold, float scale, float *a);
/* out[i] = a[i] · w + bias */
void tess_fused_output(int n, int H, const float *a, const float *w, float bias, float *out);
/* dz[i] = dout[i] · w where a[i] > 0, times scale, else 0;  dw += Σ dout[i] a[i];  db += Σ dz[i] */
void tess_fused_output_back(int n, int H, const float *a, const float *w, const float *dout,
                            float scale, float *dz, float *dw, float *db);
/* dz[i] = dz[i] · scale where a[i] > 0, else 0;  db += Σ dz[i] (db may be NULL) */
void tess_fused_hidden_back(int n, int H, const float *a, float scale, float *dz, float *db);
/* dleft[u[i]] += dz[i], dright[v[i]] += dz[i] */
void tess_fused_input_back(int n, int H, const float *dz, const int32_t *u, const int32_t *v,
                           float *dleft, float *dright);
/* x += y, n floats */
void tess_fused_add(int64_t n, const float *y, float *x);
/* 16-bit random numbers 0 … n-1 of row (i, j): Philox4x32-7 of Random123, counters (i + k, j). */
struct tess_random;
void tess_fused_random(struct tess_random stream, uint64_t i, uint64_t j, int n, uint16_t *out);

#endif
