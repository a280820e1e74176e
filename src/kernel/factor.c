/* factor.c -- factorised models: left vectors, products with the right ones, and all of it
 * backwards. */
#include "factor.h"

#include "tower.h"

#include "tessera/alloc.h"
#include "tessera/config.h"

#include <math.h>
#include <string.h>

/* Outputs of a dense block that are worked on at once: 256 KiB, or one row. */
#define OUTPUTS (1 << 16)

/* A lane's step on its way: who stands on the left, who on the right. */
struct factor {
    const struct tess_mlp *mlp;
    const struct tess_tile *tile;
    struct tess_workspace *work;
    struct tess_tile_grad *grad;
    struct tess_block block; /* the left rows, as the tower takes them */
    int alone; /* the context stands on the right, the perturbation alone on the left */
    int K, H, cp;
    int n_right;
    const float *right; /* (n_right, K) */
    float *dright;
    float *left, *dleft; /* (block.n, K) */
    float *gate, *dgate; /* cp: (n_c, H) */
    float *out, *rows[2], *drows; /* room for a dense block: outputs; rows; gradients of rows */
    /* exp(-s) of both sides, whose product is a value's; gradients of s: (block.n), (n_right) */
    struct tess_fused_sides noise;
};

static float scale_of(int K)
{
    return 1.0f / sqrtf((float)K);
}

/* h in the block's last activations → l / √K. */
static void output(const struct tess_block *block, float *out)
{
    struct tess_workspace *work = block->work;
    int K = work->shape.factors, H = work->shape.hidden, L = work->shape.layers, n = block->n;

    if (L > 0)
        tess_gemm(
            work->probe,
            &(struct tess_gemm){
                TESS_PHASE_GEMM, n, K, H, 0, 1, work->a[L - 1], block->mlp->wo, 0, out, 0, {0}});
    else
        memcpy(out, work->a[0], (size_t)n * (size_t)K * sizeof *out);
    tess_fused_affine(n, K, L > 0 ? block->mlp->bo : NULL, scale_of(K), out);
    if (work->shape.noise)
        tess_fused_noise_output(n, tess_shape_width(work->shape), work->a[L > 0 ? L - 1 : 0],
                                block->mlp->ws, block->mlp->bs[0], work->dout);
}

/* h of cp, strip after strip. */
static void gate_forward(const struct tess_block *block, const float *gate)
{
    struct tess_workspace *work = block->work;
    int H = tess_shape_width(work->shape);

    for (int i = 0; i < block->n; i += work->strip) {
        int n = block->n - i < work->strip ? block->n - i : work->strip;

        tess_fused_gate(&(struct tess_pairs){n, H, block->u + i, block->v + i},
                        &(struct tess_fused_gate){block->left, gate, block->right},
                        work->a[0] + (int64_t)i * H);
        tess_tower_drop(block, 0, i, n, work->a[0] + (int64_t)i * H);
    }
}

void tess_factor_reserve(struct tess_workspace *work, int n, int low)
{
    tess_workspace_reserve(work, (struct tess_workspace_room){.rows = n, .low = low});
}

void tess_factor_left(const struct tess_mlp *mlp, const struct tess_factor_rows *rows,
                      struct tess_workspace *work, float *out)
{
    struct tess_block block = {.mlp = mlp,
                               .work = work,
                               .n = rows->n,
                               .left = rows->p,
                               .right = rows->c,
                               .u = rows->u,
                               .v = rows->v};

    if (work->shape.kind == TESS_KIND_CP)
        gate_forward(&block, rows->gate);
    else
        tess_tower_forward(&block);
    output(&block, out);
}

/* Where the largest dense block's rows and outputs find room. */
static void measure(const struct tess_tile *tile, size_t *outputs, size_t *left, size_t *right)
{
    *outputs = *left = *right = 0;
    for (int i = 0; i < tile->n_dense; i++) {
        size_t E = (size_t)tile->dense[i].E, T = (size_t)tile->dense[i].T;
        size_t at_once = T >= OUTPUTS ? T : E * T < OUTPUTS ? E * T : OUTPUTS;

        *outputs = at_once > *outputs ? at_once : *outputs;
        *left = E > *left ? E : *left;
        *right = T > *right ? T : *right;
    }
}

static void reserve(struct factor *f)
{
    const struct tess_tile *tile = f->tile;
    struct tess_workspace *work = f->work;
    size_t K = (size_t)f->K, n = (size_t)f->block.n, outputs, left, right;
    size_t gates = f->cp ? (size_t)tile->n_c * (size_t)f->H : 0;
    size_t noise = work->shape.noise ? 2 * (size_t)f->n_right : 0;

    measure(tile, &outputs, &left, &right);
    tess_workspace_reserve(work,
                           (struct tess_workspace_room){.rows = f->block.n,
                                                        .left = tile->n_p,
                                                        .right = f->alone ? 1 : tile->n_c,
                                                        .more = 2 * n * K + 2 * gates + outputs +
                                                                (left + 2 * right) * K + noise,
                                                        .slopes = 1,
                                                        .low = f->mlp->packed != NULL});
    f->left = work->more;
    f->dleft = f->left + n * K;
    f->gate = f->dleft + n * K;
    f->dgate = f->gate + gates;
    f->out = f->dgate + gates;
    f->rows[0] = f->out + outputs;
    f->rows[1] = f->rows[0] + left * K;
    f->drows = f->rows[1] + right * K;
    if (noise)
        f->noise = (struct tess_fused_sides){work->dout, f->drows + right * K, work->out,
                                             f->drows + right * K + f->n_right};
    f->block.left = work->left;
    f->block.right = work->right;
}

/* Perturbations stand alone on the left: row i is perturbation i, with b_1 beside it. */
static void stand_alone(struct factor *f)
{
    struct tess_workspace *work = f->work;
    size_t n = (size_t)f->tile->n_p;

    if (2 * n > work->room_index) {
        tess_free(work->index);
        work->index = TESS_NEW(int32_t, 2 * n);
        work->room_index = 2 * n;
    }
    for (size_t i = 0; i < n; i++) {
        work->index[i] = (int32_t)i;
        work->index[n + i] = 0;
    }
    f->block.u = work->index;
    f->block.v = work->index + n;
}

static void begin(struct factor *f, const struct tess_dropout *dropout)
{
    const struct tess_tile *tile = f->tile;
    struct tess_shape shape = f->work->shape;

    f->K = shape.factors;
    f->H = tess_shape_width(shape);
    f->cp = shape.kind == TESS_KIND_CP;
    f->alone = shape.right == TESS_TABLE_C;
    f->block = (struct tess_block){.mlp = f->mlp,
                                   .work = f->work,
                                   .n = f->alone ? tile->n_p : tile->n_u,
                                   .u = tile->u_p,
                                   .v = tile->u_c,
                                   .dropout = tess_tower_dropout(f->work, dropout),
                                   .grad = f->grad};
    if (f->alone)
        stand_alone(f);
    f->n_right = f->alone ? tile->n_c : tile->n_r;
    f->right = f->alone ? tile->c : tile->r;
    f->dright = f->alone ? f->grad->dc : f->grad->dr;
    reserve(f);
}

/* Rows through the first layer, and on to their left vectors. */
static void forward(struct factor *f)
{
    const struct tess_tile *tile = f->tile;
    struct tess_workspace *work = f->work;

    tess_tower_project(work, tile->n_p, tile->p, f->mlp->wp, work->left);
    if (f->alone)
        memcpy(work->right, f->mlp->b1, (size_t)f->H * sizeof(float));
    else
        tess_tower_project(work, tile->n_c, tile->c, f->mlp->wc, work->right);
    if (f->cp) {
        tess_tower_project(work, tile->n_c, tile->c, f->mlp->wg, f->gate);
        gate_forward(&f->block, f->gate);
    } else {
        for (int i = 0; !f->alone && i < tile->n_c; i++)
            tess_fused_add(f->H, f->mlp->b1, work->right + (int64_t)i * f->H);
        tess_tower_forward(&f->block);
    }
    output(&f->block, f->left);
}

/* s of both sides → exp(-s); their gradients begin at 0. */
static void begin_noise(const struct factor *f)
{
    const struct tess_fused_sides *noise = &f->noise;

    if (!noise->left)
        return;
    tess_fused_noise_output(f->n_right, f->K, f->right, f->mlp->wv, 0, noise->right);
    for (int i = 0; i < f->block.n; i++)
        noise->left[i] = tess_fused_precision(noise->left[i]);
    for (int i = 0; i < f->n_right; i++)
        noise->right[i] = tess_fused_precision(noise->right[i]);
    memset(noise->dleft, 0, (size_t)f->block.n * sizeof(float));
    memset(noise->dright, 0, (size_t)f->n_right * sizeof(float));
}

static void end_noise(const struct factor *f)
{
    const struct tess_workspace *work = f->work;
    struct tess_mlp *grad = &f->grad->mlp;
    float rest = 0; /* b_s stands on the left alone */

    if (!f->noise.left)
        return;
    tess_fused_noise_back(f->block.n, f->H, f->noise.dleft,
                          work->a[work->shape.layers > 0 ? work->shape.layers - 1 : 0], grad->ws,
                          grad->bs);
    tess_fused_noise_back(f->n_right, f->K, f->noise.dright, f->right, grad->wv, &rest);
}

/* Rows of x by their numbers: x itself where they lie behind each other. */
static const float *collect(int n, const int32_t *row, int K, const float *x, float *room)
{
    int i = 1;

    while (i < n && row[i] == row[0] + i)
        i++;
    if (i >= n)
        return x + (int64_t)row[0] * K;
    for (i = 0; i < n; i++)
        memcpy(room + (int64_t)i * K, x + (int64_t)row[i] * K, (size_t)K * sizeof *x);
    return room;
}

/* Some left rows e … e + n - 1 of a dense block against all of its right ones: outputs, loss, and
 * their gradients. `right`: the rows collected; `dright`: theirs, added to. */
static void multiply(const struct factor *f, const struct tess_dense *dense, int e, int n,
                     const float *right, float *dright)
{
    struct tess_workspace *work = f->work;
    int K = f->K, T = dense->T;
    const float *left = collect(n, dense->u + e, K, f->left, f->rows[0]);

    tess_gemm(work->probe,
              &(struct tess_gemm){TESS_PHASE_GEMM, n, T, K, 0, 1, left, right, 0, f->out, 0, {0}});
    if (f->noise.left)
        tess_fused_noise_dense(&(struct tess_fused_targets){n, T, dense->y + e, dense->column,
                                                            dense->u + e, f->tile->weight},
                               f->out, dense->v, &f->noise);
    tess_fused_loss(&(struct tess_fused_targets){n, T, dense->y + e, dense->column, dense->u + e,
                                                 f->tile->weight},
                    f->out, f->grad);
    tess_gemm(work->probe,
              &(struct tess_gemm){TESS_PHASE_GEMM, T, K, n, 1, 0, f->out, left, 1, dright, 0, {0}});
    tess_gemm(
        work->probe,
        &(struct tess_gemm){TESS_PHASE_GEMM, n, K, T, 0, 0, f->out, right, 0, f->rows[0], 0, {0}});
    for (int i = 0; i < n; i++)
        tess_fused_add(K, f->rows[0] + (int64_t)i * K, f->dleft + (int64_t)dense->u[e + i] * K);
}

static void multiply_dense(const struct factor *f, const struct tess_dense *dense)
{
    int K = f->K, T = dense->T, most = T >= OUTPUTS ? 1 : OUTPUTS / T;
    const float *right = collect(T, dense->v, K, f->right, f->rows[1]);
    int apart = right == f->rows[1];
    float *dright = apart ? f->drows : f->dright + (right - f->right);

    if (apart)
        memset(dright, 0, (size_t)T * (size_t)K * sizeof *dright);
    for (int e = 0; e < dense->E; e += most)
        multiply(f, dense, e, dense->E - e < most ? dense->E - e : most, right, dright);
    for (int t = 0; apart && t < T; t++)
        tess_fused_add(K, dright + (int64_t)t * K, f->dright + (int64_t)dense->v[t] * K);
}

/* Values, loss, and the gradients of left and right vectors. */
static void values(const struct factor *f)
{
    const struct tess_tile *tile = f->tile;

    memset(f->dleft, 0, (size_t)f->block.n * (size_t)f->K * sizeof(float));
    memset(f->dright, 0, (size_t)f->n_right * (size_t)f->K * sizeof(float));
    for (int i = 0; i < tile->n_dense; i++)
        multiply_dense(f, &tile->dense[i]);
    if (tile->n_dense == 0)
        tess_fused_pairs(&(struct tess_fused_pairs){tile->n, f->K, tile->u, tile->v,
                                                    f->alone ? tile->u_p : NULL,
                                                    f->alone ? tile->u_c : NULL, tile->y, f->left,
                                                    f->right, f->dleft, f->dright, tile->weight,
                                                    f->noise.left ? &f->noise : NULL},
                         f->grad);
}

/* dz of cp's only layer to the projected rows. */
static void gate_backward(const struct factor *f)
{
    struct tess_workspace *work = f->work;
    size_t gates = (size_t)f->tile->n_c * (size_t)f->H;

    memset(f->dgate, 0, gates * sizeof(float));
    tess_tower_drop(&f->block, 0, 0, f->block.n, work->z);
    tess_fused_gate_back(&(struct tess_pairs){f->block.n, f->H, f->block.u, f->block.v},
                         &(struct tess_fused_gate){work->left, f->gate, work->right}, work->z,
                         &(struct tess_fused_gate_grad){work->dleft, f->dgate, work->dright});
}

/* dl → dz of the last layer, and back through the others. */
static void backward(const struct factor *f)
{
    struct tess_workspace *work = f->work;
    struct tess_mlp *grad = &f->grad->mlp;
    int n = f->block.n, K = f->K, H = f->H, L = work->shape.layers;

    tess_fused_affine(n, K, NULL, scale_of(K), f->dleft);
    for (int i = 0; i < n; i++)
        tess_fused_add(K, f->dleft + (int64_t)i * K, L > 0 ? grad->bo : grad->b1);
    if (L == 0) {
        tess_tower_scatter(&f->block, 0, n, f->dleft);
        return;
    }
    tess_gemm(work->probe,
              &(struct tess_gemm){
                  TESS_PHASE_GEMM, K, H, n, 1, 0, f->dleft, work->a[L - 1], 0, grad->wo, 0, {0}});
    tess_gemm(work->probe,
              &(struct tess_gemm){
                  TESS_PHASE_GEMM, n, H, K, 0, 0, f->dleft, f->mlp->wo, 0, work->z, 0, {0}});
    if (f->cp) {
        gate_backward(f);
        return;
    }
    tess_tower_activation_back(&f->block, L - 1, 0, n, work->z,
                               L > 1 ? grad->b + (int64_t)(L - 2) * H : grad->b1);
    if (L == 1)
        tess_tower_scatter(&f->block, 0, n, work->z);
    else
        tess_tower_backward(&f->block);
}

/* Gradients of projected rows through the first layer. What stands on the right has its gradient
 * already; a readout that stands on no side has none. */
static void rows_back(const struct factor *f)
{
    const struct tess_tile *tile = f->tile;
    struct tess_workspace *work = f->work;
    struct tess_tile_grad *grad = f->grad;
    size_t D = (size_t)work->shape.dim;

    tess_tower_project_back(work, (struct tess_projected){tile->n_p, f->H, tile->p, f->mlp->wp, 0},
                            work->dleft, grad->mlp.wp, grad->dp);
    if (f->alone) {
        memset(grad->dr, 0, (size_t)tile->n_r * D * sizeof(float));
        return;
    }
    tess_tower_project_back(work, (struct tess_projected){tile->n_c, f->H, tile->c, f->mlp->wc, 0},
                            work->dright, grad->mlp.wc, grad->dc);
    if (f->cp)
        tess_tower_project_back(work,
                                (struct tess_projected){tile->n_c, f->H, tile->c, f->mlp->wg, 1},
                                f->dgate, grad->mlp.wg, grad->dc);
}

void tess_factor_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                       const struct tess_dropout *dropout, struct tess_workspace *work,
                       struct tess_tile_grad *grad)
{
    struct factor f = {.mlp = mlp, .tile = tile, .work = work, .grad = grad};
    size_t row = (size_t)tess_shape_width(work->shape) * sizeof(float);

    tess_probe_lap(work->probe, TESS_N_PHASES);
    begin(&f, dropout);
    tess_tower_clear(work->shape, f.block.n, &grad->mlp);
    memset(work->dleft, 0, (size_t)tile->n_p * row);
    memset(work->dright, 0, (size_t)(f.alone ? 1 : tile->n_c) * row);
    forward(&f);
    begin_noise(&f);
    values(&f);
    end_noise(&f);
    backward(&f);
    rows_back(&f);
    tess_probe_lap(work->probe, TESS_PHASE_FUSED);
}
