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
/* z = a + bias (NULL: none); a = z / (1 + exp(-z)), and slope, unless NULL, its derivative. The
 * exponential is within 2 units in the last place; a NaN stays. (n, H) */
void tess_fused_silu(int n, int H, const float *bias, float *a, float *slope);
/* After dropout: slope times scale where a is not 0, else 0; n numbers. */
void tess_fused_drop_slope(int64_t n, const float *a, float scale, float *slope);
/* out[i] = a[i] · w + bias */
void tess_fused_output(int n, int H, const float *a, const float *w, float bias, float *out);
/* The output layer backwards, from dout (n) and the activations a (n, H) that went into it:
 * dz[i] = dout[i] · w where a[i] > 0, times scale, else 0;  dw += Σ dout[i] a[i];  db += Σ dz[i] */
struct tess_fused_output {
    int n, H;
    const float *a, *w, *dout;
    float scale;
    const float *slope; /* (n, H) or NULL; if given, dz[i] = dout[i] · w · slope[i] */
};
void tess_fused_output_back(const struct tess_fused_output *output, float *dz, float *dw,
                            float *db);
/* dz[i] = dz[i] · scale where a[i] > 0, else 0;  db += Σ dz[i] */
void tess_fused_hidden_back(int n, int H, const float *a, float scale, float *dz, float *db);
/* dz[i] = dz[i] · slope[i];  db += Σ dz[i] */
void tess_fused_slope_back(int n, int H, const float *slope, float *dz, float *db);
/* dleft[u[i]] += dz[i], dright[v[i]] += dz[i] */
void tess_fused_input_back(const struct tess_pairs *pairs, const float *dz, float *dleft,
                           float *dright);
/* Of the output s, a logarithm of a variance (network.h): exp(-s), s within ±TESS_FUSED_LOG. */
#define TESS_FUSED_LOG 30.0f
float tess_fused_precision(float s);
/* The gradient of w (s + d² exp(-s)) by s, for an error d, twice the negative logarithm of a normal
 * likelihood. An error of more than ten deviations counts as one of ten. */
static inline float tess_fused_noise(float w, float d, float precision)
{
    float q = d * d * precision;

    return w * (1.0f - (q < 100.0f ? q : 100.0f));
}
/* s is a multiple of w · a + b, so that an optimiser whose steps have a length of their own moves
 * it so much faster: it is linear in what it learns, and its reason, f's errors, comes late. */
#define TESS_FUSED_GAIN 10.0f
/* s[i] = TESS_FUSED_GAIN (w · a[i] + bias), a (n, H) */
void tess_fused_noise_output(int n, int H, const float *a, const float *w, float bias, float *s);
/* dw += TESS_FUSED_GAIN Σ ds[i] a[i]; db += TESS_FUSED_GAIN Σ ds[i] */
void tess_fused_noise_back(int n, int H, const float *ds, const float *a, float *dw, float *db);

/* x += y, n floats */
void tess_fused_add(int64_t n, const float *y, float *x);

/* Of the factorised kinds (factor.h); K columns. x (n, K) = (x + bias) * scale; bias may be NULL.
 */
void tess_fused_affine(int n, int K, const float *bias, float scale, float *x);

/* Projected rows of cp: of perturbations, of contexts through the gate, of contexts. */
struct tess_fused_gate {
    const float *p, *gate, *c;
};
struct tess_fused_gate_grad {
    float *p, *gate, *c;
};
/* a[i] = p[u[i]] ⊙ (1 + gate[v[i]]) + c[v[i]] */
void tess_fused_gate(const struct tess_pairs *pairs, const struct tess_fused_gate *rows, float *a);
/* The gradients of those rows from dz (n, H): added to. */
void tess_fused_gate_back(const struct tess_pairs *pairs, const struct tess_fused_gate *rows,
                          const float *dz, const struct tess_fused_gate_grad *grad);

/* exp(-s) of left and right rows (network.h), and the gradients of their s. */
struct tess_fused_sides {
    float *left, *right, *dleft, *dright;
};

/* Targets y[e][column[t]] of E rows, y[e][t] if column is NULL; NaN: not measured. */
struct tess_fused_targets {
    int E, T;
    const float *const *y;
    const int32_t *column;
    const int32_t *u; /* (E) row e's weight is weight[u[e]]; weight NULL: all are 1 */
    const float *weight;
};
/* out (E, T) becomes the gradient of w (out - y)²; loss and count are added to. The difference is
 * rounded to float before it is squared in double. */
void tess_fused_loss(const struct tess_fused_targets *targets, float *out,
                     struct tess_tile_grad *grad);

/* The gradients of s of rows targets->u[e] and v[t], added to, from outputs (E, T) that are not yet
 * gradients. */
void tess_fused_noise_dense(const struct tess_fused_targets *targets, const float *out,
                            const int32_t *v, const struct tess_fused_sides *sides);

/* x · y of K numbers each. */
float tess_fused_dot(int K, const float *x, const float *y);

/* n observations of left row u[i] and right row v[i], or, where `left_of` is not NULL, of rows
 * left_of[u[i]] and right_of[u[i]]. */
struct tess_fused_pairs {
    int64_t n;
    int K;
    const int32_t *u, *v, *left_of, *right_of;
    const float *y, *left, *right;
    float *dleft, *dright;
    const float *weight; /* of observation i: weight[u[i]]; NULL: all are 1 */
    const struct tess_fused_sides *sides; /* NULL: no output s; gradients are added to */
};
/* out = left · right; loss and count, and the gradients of both rows, are added to. */
void tess_fused_pairs(const struct tess_fused_pairs *pairs, struct tess_tile_grad *grad);

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
