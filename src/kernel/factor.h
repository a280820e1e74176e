/* factor.h -- the factorised kinds of models: a value is the dot product of two vectors.
 *
 * The left vector of a perturbation (in a context) is l = W_o h + b_o, h by the kind:
 *   dot: the hidden layers over W_p p + (W_c c + b_1) (tower.h); without the context's term where
 *        the context stands on the right;
 *   cp:  W_p p ⊙ (1 + W_g c) + W_c c.
 * The right vector is a row of the readouts' or contexts' table as it is. Left ones are divided by
 * √K at once. Local: one thread, fixed order, same bits. */
#ifndef FACTOR_H
#define FACTOR_H

#include "tessera/tile.h"

/* n left vectors of projected rows (width columns each); u, v (n): which. */
struct tess_factor_rows {
    int n;
    const int32_t *u, *v;
    const float *p; /* W_p p */
    const float *c; /* W_c c + b_1 */
    const float *gate; /* cp: W_g c */
};
/* out (n, K), without dropout. The workspace has room for n rows (tess_factor_reserve). */
void tess_factor_reserve(struct tess_workspace *work, int n, int low);
void tess_factor_left(const struct tess_mlp *mlp, const struct tess_factor_rows *rows,
                      struct tess_workspace *work, float *out);

/* tess_tile_train of these kinds. */
void tess_factor_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                       const struct tess_dropout *dropout, struct tess_workspace *work,
                       struct tess_tile_grad *grad);

#endif
