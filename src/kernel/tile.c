/* tile.c -- the tile: projections, hidden layers, loss, and all of it backwards. */
#include "tessera/tile.h"

#include "factor.h"
#include "tower.h"

#include "tessera/alloc.h"
#include "tessera/config.h"

#include <math.h>
#include <string.h>

/* With one readout a pair (perturbation, context) is met once: rows of pairs would save nothing. */
static int is_flat(const struct tess_tile *tile)
{
    return tile->n_r == 1 && tile->n_u > tile->n_p + tile->n_c;
}

/* left[i] = W_p p[u_p[i]] + (W_c c[u_c[i]] + b1), right = W_r r;
 * flat: left = W_p p, right = (W_c c + b1) + W_r r */
static void project(const struct tess_mlp *mlp, const struct tess_tile *tile,
                    struct tess_workspace *work)
{
    int H = tess_shape_width(work->shape), flat = is_flat(tile);
    float *pp = flat ? work->left : work->project + (int64_t)tile->n_c * H;
    float *pc = flat ? work->right : work->project, *pr = flat ? work->project : work->right;

    tess_tower_project(work, tile->n_p, tile->p, mlp->wp, pp);
    tess_tower_project(work, tile->n_c, tile->c, mlp->wc, pc);
    tess_tower_project(work, tile->n_r, tile->r, mlp->wr, pr);
    for (int i = 0; i < tile->n_c; i++) {
        tess_fused_add(H, mlp->b1, pc + (int64_t)i * H);
        if (flat)
            tess_fused_add(H, pr, pc + (int64_t)i * H);
    }
    if (!flat)
        tess_fused_input(&(struct tess_pairs){tile->n_u, H, tile->u_p, tile->u_c}, pp, pc, 0,
                         work->left);
}

/* The gradient of w (out - y)²: dout = 2 w (out - y), 0 where nothing was measured. The difference
 * is rounded to float before it is squared in double. */
static void loss(const struct tess_block *block, int i, int n, float *dout)
{
    const float *out = block->out + i, *y = block->y + i, *weight = block->weight;
    struct tess_tile_grad *grad = block->grad;

    for (int k = 0; k < n; k++) {
        float difference = out[k] - y[k], w = weight ? weight[block->experiment[i + k]] : 1.0f;
        int measured = !isnan(y[k]);

        dout[k] = measured ? 2.0f * w * difference : 0.0f;
        if (measured) {
            grad->loss += (double)w * (double)difference * (double)difference;
            grad->n_measured++;
        }
    }
}

/* The output s of rows i … i + n - 1 from the last layer's activations a; in training, its gradient
 * instead, which ends at its own parameters. Kept where training has dout, which comes later. */
static void finish_noise(const struct tess_block *block, int i, int n, const float *a)
{
    struct tess_workspace *work = block->work;
    int H = tess_shape_width(work->shape);
    float *s = work->dout + i;

    tess_fused_noise_output(n, H, a, block->mlp->ws, block->mlp->bs[0], s);
    if (!block->grad)
        return;
    for (int k = 0; k < n; k++) {
        float d = block->out[i + k] - block->y[i + k];
        float w = block->weight ? block->weight[block->experiment[i + k]] : 1.0f;

        s[k] = isnan(block->y[i + k]) ? 0.0f : tess_fused_noise(w, d, tess_fused_precision(s[k]));
    }
    tess_fused_noise_back(n, H, s, a, block->grad->mlp.ws, block->grad->mlp.bs);
}

/* Rows i … i + n - 1: activations of the last layer → out; in training, → dz of that layer. */
static void finish(const struct tess_block *block, int i, int n)
{
    struct tess_workspace *work = block->work;
    struct tess_tile_grad *grad = block->grad;
    int H = work->shape.hidden, L = work->shape.layers;
    float *a = work->a[L ? L - 1 : 0] + (int64_t)i * tess_shape_width(work->shape);
    float *dz = work->z + (int64_t)i * tess_shape_width(work->shape), *dout = work->dout + i;

    if (L > 0)
        tess_fused_output(n, H, a, block->mlp->wo, block->mlp->bo[0], block->out + i);
    else
        memcpy(block->out + i, a, (size_t)n * sizeof *a);
    if (work->shape.noise)
        finish_noise(block, i, n, a);
    if (!grad)
        return;
    loss(block, i, n, dout);
    if (L == 0) {
        memcpy(dz, dout, (size_t)n * sizeof *dz);
    } else {
        for (int k = 0; k < n; k++)
            grad->mlp.bo[0] += dout[k];
        tess_fused_output_back(&(struct tess_fused_output){n, H, a, block->mlp->wo, dout,
                                                           tess_tower_scale(block->dropout),
                                                           tess_tower_slope(block, L - 1, i)},
                               dz, grad->mlp.wo,
                               L > 1 ? grad->mlp.b + (int64_t)(L - 2) * H : grad->mlp.b1);
    }
    if (L <= 1)
        tess_tower_scatter(block, i, n, dz);
}

/* Gradients of the rows: of left and right rows, summed in dleft and dright, to those of projected
 * p, c and r (`project` backwards, in the memory that the projections no longer need), and through
 * the blocks of the first layer. With no hidden layer no pass over activations has summed db1. */
static void rows_back(const struct tess_mlp *mlp, const struct tess_tile *tile,
                      struct tess_workspace *work, struct tess_tile_grad *grad)
{
    int H = tess_shape_width(work->shape), flat = is_flat(tile);
    float *dpc = flat ? work->dright : work->project;
    float *dpp = flat ? work->dleft : work->project + (int64_t)tile->n_c * H;
    float *dpr = flat ? work->project : work->dright;

    memset(work->project, 0, (size_t)(flat ? 1 : tile->n_p + tile->n_c) * (size_t)H * sizeof *dpp);
    if (!flat)
        tess_fused_input_back(&(struct tess_pairs){tile->n_u, H, tile->u_p, tile->u_c}, work->dleft,
                              dpp, dpc);
    for (int i = 0; i < tile->n_c; i++) {
        if (flat)
            tess_fused_add(H, dpc + (int64_t)i * H, dpr);
        if (work->shape.layers == 0)
            tess_fused_add(H, dpc + (int64_t)i * H, grad->mlp.b1);
    }
    tess_tower_project_back(work, (struct tess_projected){tile->n_p, H, tile->p, mlp->wp, 0}, dpp,
                            grad->mlp.wp, grad->dp);
    tess_tower_project_back(work, (struct tess_projected){tile->n_c, H, tile->c, mlp->wc, 0}, dpc,
                            grad->mlp.wc, grad->dc);
    tess_tower_project_back(work, (struct tess_projected){tile->n_r, H, tile->r, mlp->wr, 0}, dpr,
                            grad->mlp.wr, grad->dr);
}

/* Left and right rows of the block's observations. */
static void point_rows(const struct tess_tile *tile, struct tess_block *block)
{
    struct tess_workspace *work = block->work;

    block->u = tile->u + block->first;
    block->v = tile->v + block->first;
    if (!is_flat(tile))
        return;
    for (int i = 0; i < block->n; i++) {
        work->u[i] = tile->u_p[block->u[i]];
        work->v[i] = tile->u_c[block->u[i]];
    }
    block->u = work->u;
    block->v = work->v;
}

/* Blocks of like size rather than full ones and a rest: products of a few rows are slow. */
int tess_tile_rows(const struct tess_workspace *work, int64_t n)
{
    int64_t blocks = (n + TESS_TILE_ROWS - 1) / TESS_TILE_ROWS, strip = work->strip;
    int64_t rows = blocks ? (n + blocks - 1) / blocks : 0;

    return (int)((rows + strip - 1) / strip * strip);
}

/* Blocks one after the other: all sums over observations are in their order. Only when the last is
 * done, dleft and dright are whole and go back to the rows. */
static void train_mlp(const struct tess_mlp *mlp, const struct tess_tile *tile,
                      const struct tess_dropout *dropout, struct tess_workspace *work,
                      struct tess_tile_grad *grad)
{
    size_t row = (size_t)tess_shape_width(work->shape) * sizeof(float);
    int flat = is_flat(tile);
    int n_left = flat ? tile->n_p : tile->n_u, n_right = flat ? tile->n_c : tile->n_r;
    int rows = tess_tile_rows(work, tile->n);

    tess_probe_lap(work->probe, TESS_N_PHASES);
    tess_workspace_reserve(work, (struct tess_workspace_room){TESS_TILE_ROWS, n_left, n_right,
                                                              flat ? 1 : tile->n_p + tile->n_c, 0,
                                                              1, mlp->packed != NULL});
    project(mlp, tile, work);
    tess_tower_clear(work->shape, tile->n, &grad->mlp);
    memset(work->dleft, 0, (size_t)n_left * row);
    memset(work->dright, 0, (size_t)n_right * row);
    for (int64_t first = 0; first < tile->n; first += rows) {
        struct tess_block block = {.mlp = mlp,
                                   .work = work,
                                   .n = tile->n - first < rows ? (int)(tile->n - first) : rows,
                                   .left = work->left,
                                   .right = work->right,
                                   .out = work->out,
                                   .dropout = tess_tower_dropout(work, dropout),
                                   .first = first,
                                   .y = tile->y + first,
                                   .experiment = tile->u + first,
                                   .weight = tile->weight,
                                   .grad = grad,
                                   .finish = finish};

        point_rows(tile, &block);
        tess_tower_forward(&block);
        tess_tower_backward(&block);
    }
    rows_back(mlp, tile, work, grad);
}

void tess_tile_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                     const struct tess_dropout *dropout, struct tess_workspace *work,
                     struct tess_tile_grad *grad)
{
    if (work->shape.kind == TESS_KIND_MLP)
        train_mlp(mlp, tile, dropout, work, grad);
    else
        tess_factor_train(mlp, tile, dropout, work, grad);
}

void tess_tile_forward(const struct tess_mlp *mlp, const struct tess_pairs *pairs,
                       const float *left, const float *right, struct tess_workspace *work,
                       float *out)
{
    /* Room for a block; left and right rows are the caller's. */
    if (work->room == 0)
        tess_workspace_reserve(
            work, (struct tess_workspace_room){.rows = TESS_TILE_ROWS, .low = mlp->packed != NULL});
    tess_tower_forward(&(struct tess_block){.mlp = mlp,
                                            .work = work,
                                            .n = pairs->n,
                                            .left = left,
                                            .right = right,
                                            .u = pairs->u,
                                            .v = pairs->v,
                                            .out = out,
                                            .finish = finish});
}
