/* workspace.h -- memory of one thread while it computes tiles (tile.h). Local. */
#ifndef TESSERA_WORKSPACE_H
#define TESSERA_WORKSPACE_H

#include "tessera/gemm.h"
#include "tessera/network.h"

#include <stddef.h>
#include <stdint.h>

#define TESS_TILE_ROWS 256

/* Scratch memory of one thread; grows by itself. */
struct tess_workspace {
    struct tess_shape shape;
    struct tess_probe *probe; /* who watches, or NULL; borrowed */
    int strip; /* rows that pass after pass works on while they are in L1 */
    size_t room;
    float *block; /* own */
    float *left, *right, *project; /* left, right, projected rows: (·, H) */
    float *dleft, *dright;
    int32_t *u, *v; /* (TESS_TILE_ROWS) own */
    float **a; /* (L + 1) a layer's activations, (rows, H); last: scratch; own */
    float *z; /* (rows, H): those that were reserved */
    float **slope; /* (L) derivatives of a layer's activations, (rows, H); own */
    uint16_t **low; /* (L) layers' activations in bfloat16, last: the gradient; (rows, H); own */
    struct tess_multiplier *multiplier; /* for their products; own */
    float *out, *dout; /* (rows); dout: without training the outputs s, if there are any */
    float *more; /* what a kind needs besides */
    size_t room_index;
    int32_t *index; /* the same, of whole numbers; own */
};
void tess_workspace_init(struct tess_workspace *work, struct tess_shape shape);
void tess_workspace_release(struct tess_workspace *work);

/* Room for blocks of so many rows, for left, right and projected rows, in one piece of memory whose
 * parts move with the numbers. */
struct tess_workspace_room {
    int rows, left, right, project;
    size_t more; /* floats besides */
    int slopes; /* derivatives of activations as well: for training of shapes that keep them */
    int low; /* bfloat16 activations as well, with room for whole TESS_BFLOAT16_ROWS */
};
void tess_workspace_reserve(struct tess_workspace *work, struct tess_workspace_room room);

#endif
