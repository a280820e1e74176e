/* tower.c -- hidden layers over a block of rows, forward and backward. */
#include "tower.h"

#include "tessera/config.h"

#include <math.h>
#include <string.h>

static uint32_t threshold_of(const struct tess_dropout *dropout)
{
    return dropout ? (uint32_t)lrint(dropout->rate * 65536) : 0;
}

const struct tess_dropout *tess_tower_dropout(const struct tess_workspace *work,
                                              const struct tess_dropout *dropout)
{
    return work->shape.layers > 0 && threshold_of(dropout) > 0 ? dropout : NULL;
}

/* What is kept grows by 1 / (share kept), so that the expectation stays (torch.nn.Dropout): of the
 * share as it is rounded to 1/65536. Without dropout exactly 1. */
float tess_tower_scale(const struct tess_dropout *dropout)
{
    return (float)(65536.0 / (65536.0 - threshold_of(dropout)));
}

/* What is dropped depends on the place among the lane's rows at this step, not on blocks and
 * strips. */
void tess_tower_drop(const struct tess_block *block, int l, int i, int n, float *x)
{
    const struct tess_dropout *dropout = block->dropout;
    int64_t H = tess_shape_width(block->work->shape);

    if (dropout)
        tess_fused_drop(
            &(struct tess_fused_dropout){dropout->stream, dropout->lane << 32 | (uint64_t)l,
                                         threshold_of(dropout), tess_tower_scale(dropout)},
            (uint64_t)((block->first + i) * H), n * H, x);
}

void tess_tower_project(const struct tess_workspace *work, int n, const float *x, const float *w,
                        float *out)
{
    tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_PROJECT, n, tess_shape_width(work->shape),
                                               work->shape.dim, 0, 1, x, w, 0, out, 0});
}

/* Rows i … i + n - 1 of layer l's activations, which hold its matrix product before. */
static void activate(const struct tess_block *block, int l, int i, int n)
{
    int64_t H = tess_shape_width(block->work->shape);
    float *a = block->work->a[l] + i * H;

    if (l == 0)
        tess_fused_input(&(struct tess_pairs){n, (int)H, block->u + i, block->v + i}, block->left,
                         block->right, block->work->shape.layers > 0, a);
    else
        tess_fused_hidden(n, (int)H, block->mlp->b + (l - 1) * H, a);
    tess_tower_drop(block, l, i, n, a);
}

/* Strip after strip, so that the passes over one find it in the first-level cache. */
void tess_tower_forward(const struct tess_block *block)
{
    struct tess_workspace *work = block->work;
    int H = work->shape.hidden, last = work->shape.layers > 0 ? work->shape.layers - 1 : 0;

    for (int l = 0; l <= last; l++) {
        if (l > 0)
            tess_gemm(work->probe, &(struct tess_gemm){
                                       TESS_PHASE_GEMM, block->n, H, H, 0, 1, work->a[l - 1],
                                       block->mlp->w + (int64_t)(l - 1) * H * H, 0, work->a[l], 0});
        for (int i = 0; i < block->n; i += work->strip) {
            int n = block->n - i < work->strip ? block->n - i : work->strip;

            activate(block, l, i, n);
            if (l == last && block->finish)
                block->finish(block, i, n);
        }
    }
}

void tess_tower_scatter(const struct tess_block *block, int i, int n, const float *dz)
{
    struct tess_workspace *work = block->work;

    tess_fused_input_back(
        &(struct tess_pairs){n, tess_shape_width(work->shape), block->u + i, block->v + i}, dz,
        work->dleft, work->dright);
}

/* dW = dzᵀ a, then da = dz W. The first block's dW overwrites (beta 0), the others' are added; z
 * and a[L] take turns as dz. */
void tess_tower_backward(const struct tess_block *block)
{
    struct tess_workspace *work = block->work;
    struct tess_mlp *grad = &block->grad->mlp;
    int H = work->shape.hidden, L = work->shape.layers;

    for (int l = L - 1; l > 0; l--) {
        int64_t at = (int64_t)(l - 1) * H * H;
        float *dz = work->a[L];

        tess_gemm(work->probe,
                  &(struct tess_gemm){TESS_PHASE_GEMM, H, H, block->n, 1, 0, work->z,
                                      work->a[l - 1], block->first > 0, grad->w + at, 0});
        tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_GEMM, block->n, H, H, 0, 0, work->z,
                                                   block->mlp->w + at, 0, dz, 0});
        for (int i = 0; i < block->n; i += work->strip) {
            int n = block->n - i < work->strip ? block->n - i : work->strip;

            tess_fused_hidden_back(n, H, work->a[l - 1] + (int64_t)i * H,
                                   tess_tower_scale(block->dropout), dz + (int64_t)i * H,
                                   l > 1 ? grad->b + (int64_t)(l - 2) * H : grad->b1);
            if (l == 1)
                tess_tower_scatter(block, i, n, dz + (int64_t)i * H);
        }
        work->a[L] = work->z;
        work->z = dz;
    }
}

void tess_tower_project_back(const struct tess_workspace *work, struct tess_projected rows,
                             const float *dz, float *dw, float *dx)
{
    int H = rows.width, D = work->shape.dim, n = rows.n;

    if (n == 0) {
        memset(dw, 0, (size_t)H * (size_t)D * sizeof *dw);
        return;
    }
    tess_gemm(work->probe,
              &(struct tess_gemm){TESS_PHASE_PROJECT, H, D, n, 1, 0, dz, rows.x, 0, dw, 0});
    tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_PROJECT, n, D, H, 0, 0, dz, rows.w,
                                               (float)rows.add, dx, 0});
}

void tess_tower_clear(struct tess_shape shape, int64_t n, struct tess_mlp *grad)
{
    size_t H = (size_t)tess_shape_width(shape), K = (size_t)tess_shape_outputs(shape);
    size_t hidden = shape.layers > 1 ? (size_t)shape.layers - 1 : 0;

    if (shape.kind != TESS_KIND_CP) /* which has none */
        memset(grad->b1, 0, H * sizeof(float));
    if (n == 0)
        memset(grad->w, 0, hidden * H * H * sizeof(float));
    memset(grad->b, 0, hidden * H * sizeof(float));
    if (shape.layers > 0) {
        memset(grad->wo, 0, K * H * sizeof(float));
        memset(grad->bo, 0, K * sizeof(float));
    }
}
