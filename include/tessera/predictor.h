/* predictor.h -- the forward pass over whole rows of readouts, in tiles of one fixed shape.
 *
 * Some BLAS kernels give a row other bits at another place in a matrix. So every row and every
 * readout has a slot that follows from what it is, not from what else is asked for: a readout's is
 * its number modulo T, a row's the sum of its members' numbers modulo TESS_PREDICT_ROWS; tiles have
 * a fixed number of rows, empty slots are padded. Whoever asks, for whatever selection, gets the
 * same bits. */
#ifndef TESSERA_PREDICTOR_H
#define TESSERA_PREDICTOR_H

#include "tessera/tile.h"

#include <stdint.h>

#define TESS_PREDICT_ROWS 256 /* slots of rows: perturbations projected at once */

struct tess_predictor {
    struct tess_shape shape;
    const struct tess_mlp *mlp; /* borrowed */
    int64_t n_readouts, n_contexts;
    int E, T;       /* a tile: E rows × T readouts, E T = TESS_TILE_ROWS                        */
    float *right;   /* (n_readouts rounded up, H) projected readouts; own                       */
    float *context; /* (n_contexts rounded up, H) projected contexts and b1; own              */
};

/* From the MLP and the whole tables of readouts and contexts. Local; OpenMP. */
void tess_predictor_init(struct tess_predictor *predictor, struct tess_shape shape,
                         const struct tess_mlp *mlp, const float *readouts, int64_t n_readouts,
                         const float *contexts, int64_t n_contexts);
void tess_predictor_release(struct tess_predictor *predictor);

/* out (n, n_readouts): row i has the combined perturbation vector p[i] (n, D), the slot number[i]
 * (sum of its members' numbers) and the context context[i]. Local; OpenMP. */
struct tess_predict_rows {
    int64_t n;
    const float *p;
    const int64_t *number, *context;
};
void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out);

#endif
