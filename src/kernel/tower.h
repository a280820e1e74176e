/* tower.h -- rows through the hidden layers, forward and backward: what all kinds of models share.
 *
 * A row of the first layer is the sum of a left and a right one, each projected once:
 * z_1 = left[u] + right[v],  a_1 = drop(g(z_1)),  a_l = drop(g(W_l a_{l-1} + b_l)). The mlp
 * works through blocks of observations, dot through one of left rows. All of it is local: one
 * thread, fixed order, same bits. */
#ifndef TOWER_H
#define TOWER_H

#include "fused.h"

#include "tessera/tile.h"

/* Some rows on their way through the layers. Activations lie in work->a[l], (n, H) of layer l + 1;
 * the gradient of the last layer's sums (before g) in work->z. */
struct tess_block {
    const struct tess_mlp *mlp;
    struct tess_workspace *work;
    int n;
    const float *left, *right;
    const int32_t *u, *v;
    float *out; /* for `finish` */
    /* for training, else NULL */
    const struct tess_dropout *dropout; /* NULL also where nothing is dropped */
    int64_t first; /* of the block among all rows of the lane's step */
    const float *y;
    const int32_t *experiment; /* left rows, as the tile has them, for their weights */
    const float *weight; /* as the tile's */
    struct tess_tile_grad *grad;
    /* What becomes of rows i … i + n - 1 once their last activations are there, while they are in
     * the cache; NULL: nothing. */
    void (*finish)(const struct tess_block *block, int i, int n);
};

/* `dropout` if anything is dropped, else NULL. */
const struct tess_dropout *tess_tower_dropout(const struct tess_workspace *work,
                                              const struct tess_dropout *dropout);
/* By what the rest is multiplied; 1 without dropout. */
float tess_tower_scale(const struct tess_dropout *dropout);
/* Drops among rows i … i + n - 1 of x, which are activations of layer l + 1 or their gradient. */
void tess_tower_drop(const struct tess_block *block, int l, int i, int n, float *x);

/* Derivatives of rows from i on of layer l + 1's activations, dropout included; NULL where they
 * follow from the activations (relu), and in prediction. Of the last layer of blocks that
 * `finish`, a strip's are kept, no longer than until that has run. */
float *tess_tower_slope(const struct tess_block *block, int l, int i);
/* Rows i … i + n - 1 of layer l + 1: gradients dz of the activations become those of the sums
 * before; db += their sum. */
void tess_tower_activation_back(const struct tess_block *block, int l, int i, int n, float *dz,
                                float *db);

/* The matrices of the hidden layers as bfloat16, for mlp->packed; NULL where there are none. Own.
 */
struct tess_packed *tess_tower_pack(struct tess_shape shape, const struct tess_mlp *mlp);

void tess_tower_forward(const struct tess_block *block);
/* From work->z to the gradients of layers 2 … L and b_1; dz of the first layer is added to
 * work->dleft and work->dright. Matrices' gradients are written by the first block (first = 0) and
 * added to by the others; biases' are added to. With one layer or none the caller scatters. */
void tess_tower_backward(const struct tess_block *block);
/* Adds dz of rows i … i + n - 1 of the first layer to dleft and dright. */
void tess_tower_scatter(const struct tess_block *block, int i, int n, const float *dz);

/* out (n, width) = x (n, D) · wᵀ, w (width, D): rows through one block of the first layer. */
void tess_tower_project(const struct tess_workspace *work, int n, const float *x, const float *w,
                        float *out);
/* n rows x (n, D) and the (width, D) block w of the first layer that they went through. */
struct tess_projected {
    int n, width;
    const float *x, *w;
    int add; /* to what is in dx already */
};
/* dw (width, D) = dzᵀ x,  dx (n, D) = dz w */
void tess_tower_project_back(const struct tess_workspace *work, struct tess_projected rows,
                             const float *dz, float *dw, float *dx);

/* What is summed over rows begins at 0; the matrices' first products overwrite them, if there are
 * any rows. */
void tess_tower_clear(struct tess_shape shape, int64_t n, struct tess_mlp *grad);

#endif
