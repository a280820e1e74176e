/* predictor.h -- the forward pass over whole rows of readouts, in tiles of one fixed shape.
 *
 * Some BLAS kernels give a row other bits at another place in a matrix. So every pair of a row and
 * a readout has a place in its tile that follows from what it is, not from what else is asked for.
 * With x = (sum of the row's members' numbers) + 97 (its context's), a row is projected at place
 * x mod TESS_PREDICT_ROWS, and its pair with readout r stands at
 *     (T (x mod E) + (x / E) mod T + r) mod TESS_TILE_ROWS.
 * E neighbouring rows and T readouts just fill a tile, and rows or readouts that lie anywhere ask
 * for all places about equally often. Tiles have a fixed number of rows, empty places are padded.
 * Factorised models (network.h) compute left vectors of a block of TESS_PREDICT_ROWS places at
 * once, and multiply it by blocks of right vectors that hold the model's readouts in their order.
 * Pairs that lie anywhere share such a product as long as their vectors want different places.
 * Whoever asks, for whatever selection, gets the same bits. */
#ifndef TESSERA_PREDICTOR_H
#define TESSERA_PREDICTOR_H

#include "tessera/encoder.h"
#include "tessera/scaling.h"
#include "tessera/tile.h"

#include <stdint.h>

#define TESS_PREDICT_ROWS 256 /* rows projected at once */

struct tess_predictor {
    struct tess_shape shape;
    struct tess_mlp mlp; /* numbers borrowed, `packed` own */
    struct tess_packed *packed; /* NULL: float32; own */
    int64_t n_readouts, n_contexts;
    int E, T; /* a tile: E rows × T readouts; of the mlp E T = TESS_TILE_ROWS */
    /* mlp: (n_readouts rounded up, H) projected readouts; else (n rounded up, K) what stands right
     * of the dot product; own */
    float *right;
    float *context; /* (n_contexts rounded up, H) projected contexts and b1; own */
    float *gate; /* cp: (n_contexts rounded up, H) own */
    float *noise; /* of factorised models with the output s: w_v · r of what stands right; own */
    struct tess_predict_scratch *scratch; /* of the call that runs; own */
    const struct tess_scaling *scaling; /* NULL: outputs stay as they are; borrowed */
    struct tess_probe *probe; /* one a thread: who watches, or NULL; borrowed */
};

/* A whole embedding table, (n, D). Borrowed. */
struct tess_embeddings {
    int64_t n;
    const float *row;
};
/* From the MLP and the whole tables of readouts and contexts; scaling and probe are the caller's to
 * set. low: the hidden layers' products have bfloat16 operands (tess_precision_is_low), whatever
 * the model was trained with. Local; OpenMP. */
void tess_predictor_init(struct tess_predictor *predictor, struct tess_shape shape,
                         const struct tess_mlp *mlp, int low, struct tess_embeddings readouts,
                         struct tess_embeddings contexts);
/* Other contexts in place of those. Local; OpenMP. */
void tess_predictor_set_contexts(struct tess_predictor *predictor, struct tess_embeddings contexts);
void tess_predictor_release(struct tess_predictor *predictor);

/* number[i] of perturbation i: the sum of its components' numbers, which are rows of the model's
 * whole table. Local. */
void tess_predict_number(const struct tess_perturbations *perturbations, int64_t *number);

/* Row i has the perturbation vector p[i] (encoder.h), the number number[i] and the context
 * context[i]. */
struct tess_predict_rows {
    int64_t n;
    const float *p; /* (n, D) */
    const int64_t *number, *context;
};
/* out (n, n_readouts), in the store's units if predictor->scaling says how; deviation, of the same
 * shape: exp(s/2) of the output s in the same units, of a shape that has it; NULL: not asked for.
 * Takes H floats of memory a row, and some megabytes: ask for some thousands of rows at a time.
 * OpenMP inside; one call at a time. Local. */
void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out, float *deviation);

/* Rows with readouts of their own: row i those at first[i] .. first[i + 1) of `readout`, in any
 * order, repeats allowed. Borrowed. */
struct tess_predict_lists {
    const int64_t *first; /* (n + 1) */
    const int64_t *readout;
};
/* out[k] of the readout at k, for k in first[0] .. first[n]; else as above, with the same bits.
 * Besides takes some 30 bytes a pair: ask for some hundred thousand at a time. Local. */
void tess_predictor_run_lists(const struct tess_predictor *predictor,
                              const struct tess_predict_rows *rows,
                              const struct tess_predict_lists *lists, float *out, float *deviation);

#endif
