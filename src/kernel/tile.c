/* tile.c -- the tile: projections, hidden layers, loss, and all of it backwards. */
#include "tessera/tile.h"

#include "fused.h"

#include "tessera/alloc.h"

#include <math.h>
#include <string.h>

/* Floats of a strip: 8 KiB, so that a few strips lie in the first-level cache. */
#define STRIP 2048

static int width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

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
    *work = (struct tess_workspace){.shape = shape, .strip = strip_rows(width_of(shape))};
    work->a = TESS_NEW(float *, shape.layers + 1);
    work->u = TESS_NEW(int32_t, TESS_TILE_ROWS);
    work->v = TESS_NEW(int32_t, TESS_TILE_ROWS);
}

void tess_workspace_release(struct tess_workspace *work)
{
    tess_free(work->block);
    tess_free(work->a);
    tess_free(work->u);
    tess_free(work->v);
    *work = (struct tess_workspace){0};
}

/* Room for so many left, right and projected rows, in one block whose pieces move with the numbers.
 * Of the layers + 1 arrays a, the last one is for the backward pass, where it takes turns with z.
 */
static void reserve(struct tess_workspace *work, int n_left, int n_right, int n_project)
{
    size_t H = (size_t)width_of(work->shape), block = TESS_TILE_ROWS * H;
    size_t need = H * (2 * (size_t)n_left + 2 * (size_t)n_right + (size_t)n_project) +
                  ((size_t)work->shape.layers + 2) * block + 2 * TESS_TILE_ROWS;
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
    work->dout = work->out + TESS_TILE_ROWS;
    work->left = work->dout + TESS_TILE_ROWS;
    work->dleft = work->left + H * (size_t)n_left;
    work->right = work->dleft + H * (size_t)n_left;
    work->dright = work->right + H * (size_t)n_right;
    work->project = work->dright + H * (size_t)n_right;
}

void tess_tile_project(const struct tess_workspace *work, int n, const float *x, const float *w,
                       float *out)
{
    tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_PROJECT, n, width_of(work->shape),
                                               work->shape.dim, 0, 1, x, w, 0, out});
}

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
    int H = width_of(work->shape), flat = is_flat(tile);
    float *pp = flat ? work->left : work->project + (int64_t)tile->n_c * H;
    float *pc = flat ? work->right : work->project, *pr = flat ? work->project : work->right;

    tess_tile_project(work, tile->n_p, tile->p, mlp->wp, pp);
    tess_tile_project(work, tile->n_c, tile->c, mlp->wc, pc);
    tess_tile_project(work, tile->n_r, tile->r, mlp->wr, pr);
    for (int i = 0; i < tile->n_c; i++) {
        tess_fused_add(H, mlp->b1, pc + (int64_t)i * H);
        if (flat)
            tess_fused_add(H, pr, pc + (int64_t)i * H);
    }
    if (!flat)
        tess_fused_input(&(struct tess_pairs){tile->n_u, H, tile->u_p, tile->u_c}, pp, pc, 0,
                         work->left);
}

/* A block of observations on its way through the layers. */
struct block {
    const struct tess_mlp *mlp;
    struct tess_workspace *work;
    int n;
    const float *left, *right;
    const int32_t *u, *v;
    float *out;
    /* for training, else NULL */
    const struct tess_dropout *dropout; /* NULL also where nothing is dropped */
    int64_t first;
    const float *y;
    struct tess_tile_grad *grad;
};

static uint32_t threshold_of(const struct tess_dropout *dropout)
{
    return dropout ? (uint32_t)lrint(dropout->rate * 65536) : 0;
}

/* What is kept grows by 1 / (share kept), so that the expectation stays (torch.nn.Dropout): of the
 * share as it is rounded to 1/65536. Without dropout exactly 1. */
static float scale_of(const struct tess_dropout *dropout)
{
    return (float)(65536.0 / (65536.0 - threshold_of(dropout)));
}

/* Rows i … i + n - 1 of layer l's activations, which hold its matrix product before. What is
 * dropped depends on the place among the lane's observations at this step, not on blocks and
 * strips. */
static void activate(const struct block *block, int l, int i, int n)
{
    const struct tess_dropout *dropout = block->dropout;
    int64_t H = width_of(block->work->shape);
    float *a = block->work->a[l] + i * H;

    if (l == 0)
        tess_fused_input(&(struct tess_pairs){n, (int)H, block->u + i, block->v + i}, block->left,
                         block->right, block->work->shape.layers > 0, a);
    else
        tess_fused_hidden(n, (int)H, block->mlp->b + (l - 1) * H, a);
    if (dropout)
        tess_fused_drop(&(struct tess_fused_dropout){dropout->stream,
                                                     dropout->lane << 32 | (uint64_t)l,
                                                     threshold_of(dropout), scale_of(dropout)},
                        (uint64_t)((block->first + i) * H), n * H, a);
}

/* The gradient of (out - y)²: dout = 2 (out - y), 0 where nothing was measured. The difference is
 * rounded to float before it is squared in double. */
static void loss(int n, const float *out, const float *y, float *dout, struct tess_tile_grad *grad)
{
    for (int i = 0; i < n; i++) {
        float difference = out[i] - y[i];
        int measured = !isnan(y[i]);

        dout[i] = measured ? 2.0f * difference : 0.0f;
        if (measured) {
            grad->loss += (double)difference * (double)difference;
            grad->n_measured++;
        }
    }
}

/* dz of the first layer to its rows. */
static void scatter(const struct block *block, int i, int n, const float *dz)
{
    struct tess_workspace *work = block->work;

    tess_fused_input_back(
        &(struct tess_pairs){n, width_of(work->shape), block->u + i, block->v + i}, dz, work->dleft,
        work->dright);
}

/* Rows i … i + n - 1: activations of the last layer → out; in training, → dz of that layer. */
static void finish(const struct block *block, int i, int n)
{
    struct tess_workspace *work = block->work;
    struct tess_tile_grad *grad = block->grad;
    int H = work->shape.hidden, L = work->shape.layers;
    float *a = work->a[L ? L - 1 : 0] + (int64_t)i * width_of(work->shape);
    float *dz = work->z + (int64_t)i * width_of(work->shape), *dout = work->dout + i;

    if (L > 0)
        tess_fused_output(n, H, a, block->mlp->wo, block->mlp->bo[0], block->out + i);
    else
        memcpy(block->out + i, a, (size_t)n * sizeof *a);
    if (!grad)
        return;
    loss(n, block->out + i, block->y + i, dout, grad);
    if (L == 0) {
        memcpy(dz, dout, (size_t)n * sizeof *dz);
    } else {
        for (int k = 0; k < n; k++)
            grad->mlp.bo[0] += dout[k];
        tess_fused_output_back(
            &(struct tess_fused_output){n, H, a, block->mlp->wo, dout, scale_of(block->dropout)},
            dz, grad->mlp.wo, L > 1 ? grad->mlp.b + (int64_t)(L - 2) * H : grad->mlp.b1);
    }
    if (L <= 1)
        scatter(block, i, n, dz);
}

/* Strip after strip, so that the passes over one find it in the first-level cache. */
static void forward(const struct block *block)
{
    struct tess_workspace *work = block->work;
    int H = work->shape.hidden, last = work->shape.layers > 0 ? work->shape.layers - 1 : 0;

    for (int l = 0; l <= last; l++) {
        if (l > 0)
            tess_gemm(work->probe,
                      &(struct tess_gemm){TESS_PHASE_GEMM, block->n, H, H, 0, 1, work->a[l - 1],
                                          block->mlp->w + (int64_t)(l - 1) * H * H, 0, work->a[l]});
        for (int i = 0; i < block->n; i += work->strip) {
            int n = block->n - i < work->strip ? block->n - i : work->strip;

            activate(block, l, i, n);
            if (l == last)
                finish(block, i, n);
        }
    }
}

/* dz of the last layer → gradients of everything before it: dW = dzᵀ a, then da = dz W. The first
 * block's dW overwrites (beta 0), the others' are added; z and a[L] take turns as dz. */
static void backward(const struct block *block)
{
    struct tess_workspace *work = block->work;
    struct tess_mlp *grad = &block->grad->mlp;
    int H = work->shape.hidden, L = work->shape.layers;

    for (int l = L - 1; l > 0; l--) {
        int64_t at = (int64_t)(l - 1) * H * H;
        float *dz = work->a[L];

        tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_GEMM, H, H, block->n, 1, 0, work->z,
                                                   work->a[l - 1], block->first > 0, grad->w + at});
        tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_GEMM, block->n, H, H, 0, 0, work->z,
                                                   block->mlp->w + at, 0, dz});
        for (int i = 0; i < block->n; i += work->strip) {
            int n = block->n - i < work->strip ? block->n - i : work->strip;

            tess_fused_hidden_back(n, H, work->a[l - 1] + (int64_t)i * H, scale_of(block->dropout),
                                   dz + (int64_t)i * H,
                                   l > 1 ? grad->b + (int64_t)(l - 2) * H : grad->b1);
            if (l == 1)
                scatter(block, i, n, dz + (int64_t)i * H);
        }
        work->a[L] = work->z;
        work->z = dz;
    }
}

/* n rows x that went through the block w of the first layer. */
struct projected {
    int n;
    const float *x, *w;
};

/* dw (H, D) = dzᵀ x,  dx (n, D) = dz w */
static void project_back(const struct tess_workspace *work, struct projected rows, const float *dz,
                         float *dw, float *dx)
{
    int H = width_of(work->shape), D = work->shape.dim, n = rows.n;

    if (n == 0) {
        memset(dw, 0, (size_t)H * (size_t)D * sizeof *dw);
        return;
    }
    tess_gemm(work->probe,
              &(struct tess_gemm){TESS_PHASE_PROJECT, H, D, n, 1, 0, dz, rows.x, 0, dw});
    tess_gemm(work->probe,
              &(struct tess_gemm){TESS_PHASE_PROJECT, n, D, H, 0, 0, dz, rows.w, 0, dx});
}

/* Gradients of the rows: of left and right rows, summed in dleft and dright, to those of projected
 * p, c and r (`project` backwards, in the memory that the projections no longer need), and through
 * the blocks of the first layer. With no hidden layer no pass over activations has summed db1. */
static void rows_back(const struct tess_mlp *mlp, const struct tess_tile *tile,
                      struct tess_workspace *work, struct tess_tile_grad *grad)
{
    int H = width_of(work->shape), flat = is_flat(tile);
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
    project_back(work, (struct projected){tile->n_p, tile->p, mlp->wp}, dpp, grad->mlp.wp,
                 grad->dp);
    project_back(work, (struct projected){tile->n_c, tile->c, mlp->wc}, dpc, grad->mlp.wc,
                 grad->dc);
    project_back(work, (struct projected){tile->n_r, tile->r, mlp->wr}, dpr, grad->mlp.wr,
                 grad->dr);
}

/* Left and right rows of the block's observations. */
static void point_rows(const struct tess_tile *tile, struct block *block)
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

/* What is summed over observations begins at 0; the matrices' first products overwrite them. */
static void clear(struct tess_shape shape, int64_t n, struct tess_mlp *grad)
{
    size_t H = (size_t)width_of(shape), hidden = shape.layers > 1 ? (size_t)shape.layers - 1 : 0;

    memset(grad->b1, 0, H * sizeof(float));
    if (n == 0)
        memset(grad->w, 0, hidden * H * H * sizeof(float));
    memset(grad->b, 0, hidden * H * sizeof(float));
    if (shape.layers > 0) {
        memset(grad->wo, 0, H * sizeof(float));
        grad->bo[0] = 0;
    }
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
void tess_tile_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                     const struct tess_dropout *dropout, struct tess_workspace *work,
                     struct tess_tile_grad *grad)
{
    size_t row = (size_t)width_of(work->shape) * sizeof(float);
    int flat = is_flat(tile);
    int n_left = flat ? tile->n_p : tile->n_u, n_right = flat ? tile->n_c : tile->n_r;
    int rows = tess_tile_rows(work, tile->n);

    tess_probe_lap(work->probe, TESS_N_PHASES);
    reserve(work, n_left, n_right, flat ? 1 : tile->n_p + tile->n_c);
    project(mlp, tile, work);
    clear(work->shape, tile->n, &grad->mlp);
    memset(work->dleft, 0, (size_t)n_left * row);
    memset(work->dright, 0, (size_t)n_right * row);
    for (int64_t first = 0; first < tile->n; first += rows) {
        struct block block = {
            .mlp = mlp,
            .work = work,
            .n = tile->n - first < rows ? (int)(tile->n - first) : rows,
            .left = work->left,
            .right = work->right,
            .out = work->out,
            .dropout = work->shape.layers > 0 && threshold_of(dropout) > 0 ? dropout : NULL,
            .first = first,
            .y = tile->y + first,
            .grad = grad};

        point_rows(tile, &block);
        forward(&block);
        backward(&block);
    }
    rows_back(mlp, tile, work, grad);
}

void tess_tile_forward(const struct tess_mlp *mlp, const struct tess_pairs *pairs,
                       const float *left, const float *right, struct tess_workspace *work,
                       float *out)
{
    /* Room for a block; left and right rows are the caller's. */
    if (work->room == 0)
        reserve(work, 0, 0, 0);
    forward(&(struct block){.mlp = mlp,
                            .work = work,
                            .n = pairs->n,
                            .left = left,
                            .right = right,
                            .u = pairs->u,
                            .v = pairs->v,
                            .out = out});
}
