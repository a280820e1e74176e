/* network.h -- the parameters of a Large Perturbation Model: three tables and an MLP, in one block.
 *
 * f(p, r, c) = w_out · a_L + b_out,  a_l = relu(W_l a_{l-1} + b_l),  a_0 = [c; p; r]
 * (Miladinović et al. 2025). The first layer's matrix is kept as three blocks W_c, W_p, W_r of
 * (hidden, dim), so that each row is projected once a tile; with no hidden layer w_out has 3 dim
 * entries, kept as three blocks too. The order of the blocks is the order below. */
#ifndef TESSERA_NETWORK_H
#define TESSERA_NETWORK_H

#include <stdint.h>

/* Shape of the MLP. */
struct tess_shape {
    int dim; /* D, columns of an embedding row */
    int hidden; /* H; 0 if layers is 0 */
    int layers; /* L, hidden layers, 0 and more */
};

/* Pointers into one flat block of tess_shape_size floats. Width = H, or 1 if L = 0. */
struct tess_mlp {
    float *wp, *wr, *wc; /* (Width, D) each: the first layer */
    float *b1; /* (Width) */
    float *w; /* (L - 1, H, H) row-major, layers 2 … L: out × in */
    float *b; /* (L - 1, H) */
    float *wo; /* (H) output weights; absent if L = 0 */
    float *bo; /* (1) output bias; absent if L = 0 (then b1 is it) */
};

/* Floats of an MLP. Local. */
int64_t tess_shape_size(struct tess_shape shape);
/* Points into a block of so many. Local. */
void tess_mlp_point(struct tess_mlp *mlp, struct tess_shape shape, float *block);

enum tess_embedding { TESS_TABLE_P, TESS_TABLE_R, TESS_TABLE_C, TESS_N_TABLES };

struct tess_network {
    struct tess_shape shape;
    float *parameter; /* (tess_shape_size) own */
    struct tess_mlp mlp; /* into it */
    int64_t rows[TESS_N_TABLES];
    float *table[TESS_N_TABLES]; /* (rows, D) own */
};

/* Initial values, as published: tables N(0,1); weights Xavier-uniform with gain √2, the first layer
 * as one (H, 3D) matrix; biases uniform ±1/√fan_in. Every number is a pure function of (seed,
 * place), so any rank can make any part. `first`, `n`: which rows, or which floats of the MLP
 * block. Local. */
void tess_network_init_rows(uint64_t seed, enum tess_embedding table, int dim, int64_t first,
                            int64_t n, float *out);
void tess_network_init_mlp(uint64_t seed, struct tess_shape shape, int64_t first, int64_t n,
                           float *out);

#endif
