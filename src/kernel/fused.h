/* fused.h -- the elementwise passes between the matrix products, each one sweep over its data.
 *
 * Compiled for several instruction sets and chosen at start by the loader; the arithmetic is the
 * same in each (no contraction, sums over 16 fixed partial sums), so the bits are too. All matrices
 * are row-major with H columns. Local, pure. */
#ifndef FUSED_H
#define FUSED_H

#include "tessera/random.h"
#include "tessera/tile.h"

#include <stdint.h>

/* a[i] = relu(left[u[i]] + right[v[i]]); relu 0: no relu. (n, H) */
void tess_fused_input(const struct tess_pairs *pairs, const float *left, const float *right,
                      int relu, float *a);
/* a[i] = relu(a[i] + bias) */
void tess_fused_hidden(int n, int H, const float *bias, float *a);
/* out[i] = a[i] · w + bias */
void tess_fused_output(int n, int H, const float *a, const float *w, float bias, float *out);
/* The output layer backwards, from dout (n) and the activations a (n, H) that went into it:
 * dz[i] = dout[i] · w where a[i] > 0, times scale, else 0;  dw += Σ dout[i] a[i];  db += Σ dz[i] */
struct tess_fused_output {
    int n, H;
    const float *a, *w, *dout;
    float scale;
};
void tess_fused_output_back(const struct tess_fused_output *output, float *dz, float *dw,
                            float *db);
/* dz[i] = dz[i] · scale where a[i] > 0, else 0;  db += Σ dz[i] */
void tess_fused_hidden_back(int n, int H, const float *a, float scale, float *dz, float *db);
/* dleft[u[i]] += dz[i], dright[v[i]] += dz[i] */
void tess_fused_input_back(const struct tess_pairs *pairs, const float *dz, float *dleft,
                           float *dright);
/* x += y, n floats */
void tess_fused_add(int64_t n, const float *y, float *x);

/* Dropout of a layer's activations, seen as one long array: entry f is dropped if its 16-bit random
 * number is below `threshold`, else multiplied by `scale`. With f = 128 q + 32 w + 16 s + k, that
 * number is half s (0: the lower) of word w of Philox4x32-7 of Random123 (Salmon et al. 2011: seven
 * rounds are the least that passes BigCrush) with counters (16 q + k, which), 64 bits each. */
#define TESS_FUSED_DRAW 128 /* entries of one draw */
struct tess_fused_dropout {
    struct tess_random stream;
    uint64_t which;
    uint32_t threshold; /* of 65536 */
    float scale;
};
/* a[0 … n) are entries first, first + 1 …; first is a multiple of TESS_FUSED_DRAW. */
void tess_fused_drop(const struct tess_fused_dropout *dropout, uint64_t first, int64_t n, float *a);

#endif
