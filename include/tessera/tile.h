/* tile.h -- forward and backward of a model over many observations that share few rows.
 *
 * mlp: an observation is a pair (u, v): a left row, W_p·p + W_c·c + b1 of one (perturbation,
 * context), and a right row, W_r·r of one readout. (One readout for all, and many pairs of few
 * perturbations and contexts: W_p·p on the left, the rest on the right.) Projections are computed
 * once a row, not once an observation: z_1 = U[u] + V[v],  a_1 = drop(g(z_1)),  a_l =
 * drop(g(W_l a_{l-1} + b_l)), out = w_o · a_L + b_o          (no hidden layer: out = z_1, one
 * unit wide) Observations are worked on in blocks of TESS_TILE_ROWS, so that a block's activations
 * stay in the second-level cache. dot, cp (network.h): vectors of all left rows at once, then the
 * values, each a dot product: dense blocks by one product of matrices, or pair by pair. Pure and
 * local: one thread, BLAS with one thread, fixed order, same bits. Letters: E left rows, T right
 * rows, D columns of a row, H width, L layers; dx is x's gradient. */
#ifndef TESSERA_TILE_H
#define TESSERA_TILE_H

#include "tessera/gemm.h"
#include "tessera/network.h"
#include "tessera/random.h"
#include "tessera/workspace.h"

#include <stddef.h>
#include <stdint.h>

struct tess_dropout {
    double rate; /* 0: none */
    struct tess_random stream;
    uint64_t lane; /* tells apart what one stream serves */
};

/* n pairs of a left and a right row, which have H columns. Borrowed. */
struct tess_pairs {
    int n, H;
    const int32_t *u, *v; /* (n) the left row, the right row */
};
/* Left rows × right rows, each pair once. Borrowed. */
struct tess_dense {
    int E, T;
    const int32_t *u, *v; /* (E) left rows, (T) right rows: no row twice */
    const float *const *y; /* (E) targets of a left row: y[e][column[t]]; NaN: not measured */
    const int32_t *column; /* (T), or NULL: 0 … T - 1 */
};
/* What one lane computes at one step. Index arrays are borrowed. */
struct tess_tile {
    int64_t n; /* observations: pairs, or places of dense blocks */
    const int32_t *u, *v; /* (n) left row, right row */
    const float *y; /* (n) target; NaN: not measured, ignored */
    int n_p, n_r, n_c; /* distinct rows */
    const float *p, *r, *c; /* (n_p, D), (n_r, D), (n_c, D) */
    int n_u; /* left rows: an experiment each */
    const int32_t *u_p, *u_c; /* (n_u) their perturbation and context row */
    int n_dense; /* 0: pairs, the only form of mlp */
    const struct tess_dense *dense;
    const float *weight; /* (n_u) of left rows' observations; NULL: all 1 */
};

/* Results of a tile: gradients are written, not added to; the sums of loss and count are. */
struct tess_tile_grad {
    struct tess_mlp mlp;
    float *dp, *dr, *dc; /* (n_p, D), (n_r, D), (n_c, D) */
    double loss; /* Σ w (out - y)² */
    int64_t n_measured;
};

/* Rows of each block but the last: as many in each, whole strips, at most TESS_TILE_ROWS. */
int tess_tile_rows(const struct tess_workspace *work, int64_t n);

/* Loss of the tile, by the kind of model, and gradient of Σ w (out - y)² (not the mean: the caller
 * divides by the number of observations of the whole step) with respect to everything. dropout
 * NULL: none. Local. */
void tess_tile_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                     const struct tess_dropout *dropout, struct tess_workspace *work,
                     struct tess_tile_grad *grad);

/* out[i] for at most TESS_TILE_ROWS pairs of projected rows: left (·, H) holds W_p·p + W_c·c + b1,
 * right (·, H) holds W_r·r. No dropout. With model.noise the outputs s come to work->dout. */
void tess_tile_forward(const struct tess_mlp *mlp, const struct tess_pairs *pairs,
                       const float *left, const float *right, struct tess_workspace *work,
                       float *out);

#endif
