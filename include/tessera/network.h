/* network.h -- the parameters of a Large Perturbation Model: three tables and a network, the latter
 * in one block. There are three kinds:
 *
 * mlp: f(p, r, c) = w_o · a_L + b_o,  a_l = g(W_l a_{l-1} + b_l),  a_0 = [c; p; r]
 *      (Miladinović et al. 2025, with g(z) = max(z, 0)).
 * dot: f = l · W_r r / √K,  l = W_o a_L + b_o of K numbers,  a_0 = [c; p]
 *      With one readout the context takes its place on the right: a_0 = p, f = l · W_c c / √K.
 * cp:  f = l · W_r r / √K,  l = W_o (W_p p ⊙ (1 + W_g c) + W_c c) + b_o: no hidden layer. Of the
 *      forms of a canonical polyadic decomposition (Hitchcock 1927), one with a context's mean.
 *
 * With model.noise a second output s is the logarithm of the variance of what is measured about f:
 * of mlp s = 10 (w_s · a_L + b_s); of dot and cp s = 10 (w_s · a_L + b_s + w_v · r), a_L of the
 * left side (cp: what W_o multiplies) and r the row on the right. It reads what f is made of and is
 * fitted to f's errors, but no gradient of it reaches anything but w_s, b_s and w_v.
 *
 * mlp is evaluated for each triple; dot and cp are factorised: the left side once for each
 * perturbation and context, the right one once for each readout, a value is a dot product. The
 * first layer's matrix is kept as blocks W_c, W_p, W_r, so that each row is projected once a tile;
 * with no hidden layer the outputs are its units. The order of the blocks is the order below. */
#ifndef TESSERA_NETWORK_H
#define TESSERA_NETWORK_H

#include "tessera/composition.h"

#include <stdint.h>

struct tess_packed;

/* Shape of the network. */
struct tess_shape {
    int dim; /* D, columns of an embedding row */
    int hidden; /* H; 0 if layers is 0 */
    int layers; /* L, hidden layers, 0 and more; of cp 1, without a nonlinearity */
    int kind; /* enum tess_kind_of_model of config.h */
    int factors; /* K, the length of the dot product; of mlp 0 */
    int right; /* enum tess_embedding: whose rows stand right of it; of mlp 0 */
    int silu; /* g(z) = z / (1 + exp(-z)) (Elfwing et al. 2018; torch.nn.SiLU); 0: max(z, 0) */
    int noise; /* 1: with the output s */
};

/* Pointers into one flat block of tess_shape_size floats. Width = H; with L = 0 the number of
 * outputs, which is K, and 1 of mlp. The matrices of what stands right of a dot product have K
 * rows. Absent pieces have no floats. */
struct tess_mlp {
    float *wp, *wr, *wc; /* (Width, D) each: the first layer */
    float *wg; /* (Width, D) cp alone */
    float *b1; /* (Width); cp has none */
    float *w; /* (L - 1, H, H) row-major, layers 2 … L: out × in */
    float *b; /* (L - 1, H) */
    float *wo; /* (outputs, H) output weights; absent if L = 0 */
    float *bo; /* (outputs) output bias; absent if L = 0 (then b1 is it) */
    float *ws, *bs; /* (Width), (1): the output s; absent without it */
    float *wv; /* (K): what is right of the dot product; absent without s, and of mlp */
    const struct tess_packed *packed; /* w as bfloat16 (bfloat16.h): the hidden layers' products use
                                       * that; NULL: float32; borrowed */
};

struct tess_config;
/* As the settings say (model.activation: auto is silu for the mlp, docs/accuracy.md), for a model
 * of so many readouts. Local. */
struct tess_shape tess_shape_of(const struct tess_config *config, int64_t n_readouts);
/* Units of the first layer; outputs of the network. Local. */
int tess_shape_width(struct tess_shape shape);
int tess_shape_outputs(struct tess_shape shape);
/* Floats of a network. Local. */
int64_t tess_shape_size(struct tess_shape shape);
/* Points into a block of so many; packed is NULL. Local. */
void tess_mlp_point(struct tess_mlp *mlp, struct tess_shape shape, float *block);

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
