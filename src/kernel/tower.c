/* tower.c -- hidden layers over a block of rows, forward and backward. */
#include "tower.h"

#include "tessera/bfloat16.h"
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
    tess_gemm(work->probe, &(struct tess_gemm){TESS_PHASE_PROJECT,
                                               n,
                                               tess_shape_width(work->shape),
                                               work->shape.dim,
                                               0,
                                               1,
                                               x,
                                               w,
                                               0,
                                               out,
                                               0,
                                               {0}});
}

/* Layers whose activations go through a product with bfloat16 operands. */
static int is_low(const struct tess_block *block, int l)
{
    return block->mlp->packed && l < block->work->shape.layers - 1;
}

/* Rows behind the last one, up to whole TESS_BFLOAT16_ROWS. */
static void fill_up(const struct tess_block *block, uint16_t *low)
{
    int64_t H = block->work->shape.hidden, rows = tess_bfloat16_rows(block->n);

    memset(low + block->n * H, 0, (size_t)((rows - block->n) * H) * sizeof *low);
}

float *tess_tower_slope(const struct tess_block *block, int l, int i)
{
    const struct tess_workspace *work = block->work;
    int passing = block->finish && l == work->shape.layers - 1;

    if (!block->grad || !work->shape.silu)
        return NULL;
    return work->slope[l] + (passing ? 0 : (int64_t)i * work->shape.hidden);
}

/* Rows i … i + n - 1 of layer l's activations, which hold its matrix product before. What becomes
 * bfloat16 of the first layer is made in a strip's memory, which stays in the first-level cache. */
static void activate(const struct tess_block *block, int l, int i, int n)
{
    int64_t H = tess_shape_width(block->work->shape);
    float *a = block->work->a[l] + (l == 0 && is_low(block, l) ? 0 : i * H);
    const float *bias = l > 0 ? block->mlp->b + (l - 1) * H : NULL;
    float *slope = tess_tower_slope(block, l, i);
    int silu = block->work->shape.silu;

    if (l == 0)
        tess_fused_input(&(struct tess_pairs){n, (int)H, block->u + i, block->v + i}, block->left,
                         block->right, block->work->shape.layers > 0 && !silu, a);
    else if (!silu)
        tess_fused_hidden(n, (int)H, bias, a);
    if (silu)
        tess_fused_silu(n, (int)H, bias, a, slope);
    tess_tower_drop(block, l, i, n, a);
    if (slope && block->dropout)
        tess_fused_drop_slope(n * H, a, tess_tower_scale(block->dropout), slope);
    if (is_low(block, l))
        tess_bfloat16_round(n * H, a, block->work->low[l] + i * H);
}

/* work->a[l] = a_{l-1} w_lᵀ */
static void multiply(const struct tess_block *block, int l)
{
    struct tess_workspace *work = block->work;
    int H = work->shape.hidden;
    struct tess_gemm gemm = {TESS_PHASE_GEMM,
                             block->n,
                             H,
                             H,
                             0,
                             1,
                             work->a[l - 1],
                             block->mlp->w + (int64_t)(l - 1) * H * H,
                             0,
                             work->a[l],
                             0,
                             {0}};

    if (block->mlp->packed) {
        fill_up(block, work->low[l - 1]);
        gemm.low = (struct tess_low){.a = work->low[l - 1],
                                     .packed = block->mlp->packed,
                                     .matrix = l - 1,
                                     .multiplier = &work->multiplier};
    }
    tess_gemm(work->probe, &gemm);
}

struct tess_packed *tess_tower_pack(struct tess_shape shape, const struct tess_mlp *mlp)
{
    struct tess_packed *packed =
        shape.layers > 1 ? tess_packed_make(shape.layers - 1, shape.hidden) : NULL;

    if (packed)
        tess_packed_set(packed, mlp->w);
    return packed;
}

/* Strip after strip, so that the passes over one find it in the first-level cache. */
void tess_tower_forward(const struct tess_block *block)
{
    struct tess_workspace *work = block->work;
    int last = work->shape.layers > 0 ? work->shape.layers - 1 : 0;

    for (int l = 0; l <= last; l++) {
        if (l > 0)
            multiply(block, l);
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

/* dW = dzᵀ a, then da = dz W. The first block's dW overwrites (beta 0), the others' are added. */
static void multiply_back(const struct tess_block *block, int l, float *da)
{
    struct tess_workspace *work = block->work;
    int H = work->shape.hidden, n = block->n;
    int64_t at = (int64_t)(l - 1) * H * H;
    struct tess_gemm dw = {
        TESS_PHASE_GEMM,         H, H,  n, 1, 0, work->z, work->a[l - 1], block->first > 0,
        block->grad->mlp.w + at, 0, {0}};
    struct tess_gemm back = {TESS_PHASE_GEMM,    n, H,  H, 0,  0, work->z,
                             block->mlp->w + at, 0, da, 0, {0}};

    if (block->mlp->packed) {
        uint16_t *dz = work->low[work->shape.layers - 1];

        tess_bfloat16_round((int64_t)n * H, work->z, dz);
        fill_up(block, dz);
        dw.low = (struct tess_low){dz, work->low[l - 1], NULL, 0, &work->multiplier};
        back.low = (struct tess_low){dz, NULL, block->mlp->packed, l - 1, &work->multiplier};
    }
    tess_gemm(work->probe, &dw);
    tess_gemm(work->probe, &back);
}

/* Rows i … i + n - 1 of layer l's activations, in float32. */
static const float *activations(const struct tess_block *block, int l, int i, int n)
{
    int64_t H = block->work->shape.hidden;
    float *a = block->work->a[l];

    if (!is_low(block, l))
        return a + i * H;
    tess_bfloat16_widen(n * H, block->work->low[l] + i * H, a);
    return a;
}

void tess_tower_activation_back(const struct tess_block *block, int l, int i, int n, float *dz,
                                float *db)
{
    int H = block->work->shape.hidden;
    const float *slope = tess_tower_slope(block, l, i);

    if (slope)
        tess_fused_slope_back(n, H, slope, dz, db);
    else
        tess_fused_hidden_back(n, H, activations(block, l, i, n), tess_tower_scale(block->dropout),
                               dz, db);
}

/* z and a[L] take turns as dz. */
void tess_tower_backward(const struct tess_block *block)
{
    struct tess_workspace *work = block->work;
    struct tess_mlp *grad = &block->grad->mlp;
    int H = work->shape.hidden, L = work->shape.layers;

    for (int l = L - 1; l > 0; l--) {
        float *dz = work->a[L];

        multiply_back(block, l, dz);
        for (int i = 0; i < block->n; i += work->strip) {
            int n = block->n - i < work->strip ? block->n - i : work->strip;

            tess_tower_activation_back(block, l - 1, i, n, dz + (int64_t)i * H,
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
              &(struct tess_gemm){TESS_PHASE_PROJECT, H, D, n, 1, 0, dz, rows.x, 0, dw, 0, {0}});
    tess_gemm(work->probe,
              &(struct tess_gemm){
                  TESS_PHASE_PROJECT, n, D, H, 0, 0, dz, rows.w, (float)rows.add, dx, 0, {0}});
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
    if (shape.noise) {
        memset(grad->ws, 0, H * sizeof(float));
        memset(grad->bs, 0, sizeof(float));
        memset(grad->wv, 0, (size_t)shape.factors * sizeof(float));
    }
}
