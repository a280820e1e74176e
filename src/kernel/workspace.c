/* workspace.c -- pieces of one block of memory, laid out anew for each step's numbers. */
#include "tessera/workspace.h"

#include "fused.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"

/* Floats of a strip: 8 KiB, so that a few strips lie in the first-level cache. */
#define STRIP 2048

/* Rows of a strip: a power of two, so that strips begin with whole draws of dropout. */
static int strip_rows(int H)
{
    int rows = 1;

    while (rows < TESS_TILE_ROWS && (rows * H % TESS_FUSED_DRAW != 0 || 2 * rows * H <= STRIP))
        rows *= 2;
    return rows;
}

void tess_workspace_init(struct tess_workspace *work, struct tess_shape shape)
{
    *work = (struct tess_workspace){.shape = shape, .strip = strip_rows(tess_shape_width(shape))};
    work->a = TESS_NEW(float *, shape.layers + 1);
    work->slope = TESS_NEW(float *, shape.layers);
    work->low = TESS_NEW(uint16_t *, shape.layers);
    work->u = TESS_NEW(int32_t, TESS_TILE_ROWS);
    work->v = TESS_NEW(int32_t, TESS_TILE_ROWS);
}

void tess_workspace_release(struct tess_workspace *work)
{
    tess_free(work->block);
    tess_free(work->a);
    tess_free(work->slope);
    tess_free(work->low);
    tess_multiplier_release(work->multiplier);
    tess_free(work->u);
    tess_free(work->v);
    tess_free(work->index);
    *work = (struct tess_workspace){0};
}

/* Of the layers + 1 arrays a, the last one is for the backward pass, where it takes turns with z.
 */
void tess_workspace_reserve(struct tess_workspace *work, struct tess_workspace_room room)
{
    size_t H = (size_t)tess_shape_width(work->shape);
    size_t rows = (size_t)(room.low ? tess_bfloat16_rows(room.rows) : room.rows), block = rows * H;
    size_t slope = room.slopes && work->shape.silu ? block : 0;
    size_t low = room.low ? (block + 1) / 2 : 0; /* in floats */
    size_t need = H * (2 * (size_t)room.left + 2 * (size_t)room.right + (size_t)room.project) +
                  ((size_t)work->shape.layers + 2) * block + 2 * rows + room.more +
                  (size_t)work->shape.layers * (slope + low);
    float *at;

    if (need > work->room) {
        tess_free(work->block);
        work->block = TESS_NEW(float, need);
        work->room = need;
    }
    at = work->block;
    for (int l = 0; l <= work->shape.layers; l++, at += block)
        work->a[l] = at;
    work->z = at;
    work->out = work->z + block;
    work->dout = work->out + rows;
    work->left = work->dout + rows;
    work->dleft = work->left + H * (size_t)room.left;
    work->right = work->dleft + H * (size_t)room.left;
    work->dright = work->right + H * (size_t)room.right;
    work->project = work->dright + H * (size_t)room.right;
    work->more = work->project + H * (size_t)room.project;
    at = work->more + room.more;
    for (int l = 0; l < work->shape.layers; l++, at += slope)
        work->slope[l] = slope ? at : NULL;
    for (int l = 0; l < work->shape.layers; l++, at += low)
        work->low[l] = (uint16_t *)(void *)at;
}
