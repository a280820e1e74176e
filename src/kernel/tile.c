/* tile.c -- the tile: projections, hidden layers, loss, and all of it backwards. */
#include "tessera/tile.h"

#include "tessera/alloc.h"
#include "tessera/fused.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

static int width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

void tess_workspace_init(struct tess_workspace *work, struct tess_shape shape)
{
    *work = (struct tess_workspace){.shape = shape};
    work->random = TESS_NEW(uint16_t, (width_of(shape) + 127) / 128 * 128);
    work->a = TESS_NEW(float *, shape.layers + 1);
}

void tess_workspace_release(struct tess_workspace *work)
{
    tess_free(work->block);
    tess_free(work->random);
    tess_free(work->a);
    *work = (struct tess_workspace){0};
}

/* Room for n_u left, n_v right rows and n_x rows of one kind. */
static void reserve(struct tess_workspace *work, int n_u, int n_v, int n_x)
{
    size_t H = (size_t)width_of(work->shape), block = TESS_TILE_ROWS * H;
    size_t need = H * (2 * (size_t)n_u + 2 * (size_t)n_v + (size_t)n_x) +
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
    work->dleft = work->left + H * (size_t)n_u;
    work->right = work->dleft + H * (size_t)n_u;
    work->dright = work->right + H * (size_t)n_v;
    work->project = work->dright + H * (size_t)n_v;
}

void tess_tile_project(struct tess_shape shape, int n, const float *x, const float *w, float *out)
{
    int H = width_of(shape), D = shape.dim;

    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, H, D, 1, x, D, w, D, 0, out, H);
}

/* left[i] = W_p p[u_p[i]] + (W_c c[u_c[i]] + b1), right = W_r r */
static void project(const struct tess_mlp *mlp, const struct tess_tile *tile,
                    struct tess_workspace *work)
{
    int H = width_of(work->shape);
    float *pp = work->project, *pc = pp + (int64_t)tile->n_p * H;

    tess_tile_project(work->shape, tile->n_p, tile->p, mlp->wp, pp);
    tess_tile_project(work->shape, tile->n_c, tile->c, mlp->wc, pc);
    tess_tile_project(work->shape, tile->n_r, tile->r, mlp->wr, work->right);
    for (int i = 0; i < tile->n_c; i++)
        tess_fused_add(H, mlp->b1, pc + (int64_t)i * H);
    tess_fused_input(tile->n_u, H, pp, tile->u_p, pc, tile->u_c, 0, work->left);
}

/* Dropout of one layer's activations; each (layer, observation) has a row of random numbers. */
static void drop(const struct tess_dropout *dropout, int layer, int64_t first, int n, int H,
                 uint16_t *random, float *a)
{
    uint32_t threshold = (uint32_t)lrint(dropout->rate * 65536);
    float scale = (float)(65536.0 / (65536.0 - threshold));

    for (int i = 0; i < n; i++) {
        tess_fused_random(dropout->stream, dropout->lane << 32 | (uint64_t)layer << 24,
                          (uint64_t)(first + i), H, random);
        tess_fused_drop(H, random, threshold, scale, a + (int64_t)i * H);
    }
}

static float keep_scale(const struct tess_dropout *dropout)
{
    return dropout && dropout->rate > 0
               ? (float)(65536.0 / (65536.0 - (double)lrint(dropout->rate * 65536)))
               : 1.0f;
}

/* a[0] (the first layer's) → a[L - 1] → out, for n observations from `first` on. */
static void forward(const struct tess_mlp *mlp, struct tess_workspace *work, int64_t first, int n,
                    const struct tess_dropout *dropout, float *out)
{
    int H = work->shape.hidden, L = work->shape.layers;

    for (int l = 0; l < L; l++) {
        if (l > 0) {
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, H, H, 1, work->a[l - 1], H,
                        mlp->w + (int64_t)(l - 1) * H * H, H, 0, work->a[l], H);
            tess_fused_hidden(n, H, mlp->b + (int64_t)(l - 1) * H, work->a[l]);
        }
        if (dropout && dropout->rate > 0)
            drop(dropout, l, first, n, H, work->random, work->a[l]);
    }
    if (L > 0)
        tess_fused_output(n, H, work->a[L - 1], mlp->wo, mlp->bo[0], out);
    else
        memcpy(out, work->a[0], (size_t)n * sizeof *out);
}

/* dout → dz of the first layer in work->z; gradients of everything on the way added to grad. */
static void backward(const struct tess_mlp *mlp, struct tess_workspace *work, int n, float scale,
                     struct tess_mlp *grad)
{
    int H = work->shape.hidden, L = work->shape.layers;
    float *dz = work->z, *spare = work->a[L];

    if (L == 0) {
        memcpy(dz, work->dout, (size_t)n * sizeof *dz);
        return;
    }
    for (int i = 0; i < n; i++)
        grad->bo[0] += work->dout[i];
    tess_fused_output_back(n, H, work->a[L - 1], mlp->wo, work->dout, scale, dz, grad->wo,
                           L > 1 ? grad->b + (int64_t)(L - 2) * H : grad->b1);
    for (int l = L - 1; l > 0; l--) {
        int64_t at = (int64_t)(l - 1) * H * H;
        float *swap = dz;

        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, H, H, n, 1, dz, H, work->a[l - 1], H,
                    1, grad->w + at, H);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, H, H, 1, dz, H, mlp->w + at, H, 0,
                    spare, H);
        dz = spare;
        spare = swap;
        tess_fused_hidden_back(n, H, work->a[l - 1], scale, dz,
                               l > 1 ? grad->b + (int64_t)(l - 2) * H : grad->b1);
    }
    work->z = dz;
    work->a[L] = spare;
}

/* dout = 2 (out - y), 0 where nothing was measured. */
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

/* dw (H, D) += dzᵀ x,  dx (n, D) = dz w */
static void project_back(struct tess_shape shape, int n, const float *dz, const float *x,
                         const float *w, float *dw, float *dx)
{
    int H = width_of(shape), D = shape.dim;

    if (n == 0)
        return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, H, D, n, 1, dz, H, x, D, 1, dw, D);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, D, H, 1, dz, H, w, D, 0, dx, D);
}

static void rows_back(const struct tess_mlp *mlp, const struct tess_tile *tile,
                      struct tess_workspace *work, struct tess_tile_grad *grad)
{
    int H = width_of(work->shape);
    float *dpp = work->project, *dpc = dpp + (int64_t)tile->n_p * H;

    memset(dpp, 0, (size_t)(tile->n_p + tile->n_c) * (size_t)H * sizeof *dpp);
    tess_fused_input_back(tile->n_u, H, work->dleft, tile->u_p, tile->u_c, dpp, dpc);
    project_back(work->shape, tile->n_p, dpp, tile->p, mlp->wp, grad->mlp.wp, grad->dp);
    project_back(work->shape, tile->n_c, dpc, tile->c, mlp->wc, grad->mlp.wc, grad->dc);
    project_back(work->shape, tile->n_r, work->dright, tile->r, mlp->wr, grad->mlp.wr, grad->dr);
    if (work->shape.layers == 0)
        for (int i = 0; i < tile->n_c; i++)
            tess_fused_add(H, dpc + (int64_t)i * H, grad->mlp.b1);
}

void tess_tile_train(const struct tess_mlp *mlp, const struct tess_tile *tile,
                     const struct tess_dropout *dropout, struct tess_workspace *work,
                     struct tess_tile_grad *grad)
{
    int H = width_of(work->shape);
    float scale = keep_scale(dropout);

    reserve(work, tile->n_u, tile->n_r, tile->n_p + tile->n_c);
    project(mlp, tile, work);
    memset(work->dleft, 0, (size_t)tile->n_u * (size_t)H * sizeof(float));
    memset(work->dright, 0, (size_t)tile->n_r * (size_t)H * sizeof(float));
    for (int64_t first = 0; first < tile->n; first += TESS_TILE_ROWS) {
        int n = tile->n - first < TESS_TILE_ROWS ? (int)(tile->n - first) : TESS_TILE_ROWS;

        tess_fused_input(n, H, work->left, tile->u + first, work->right, tile->v + first,
                         work->shape.layers > 0, work->a[0]);
        forward(mlp, work, first, n, dropout, work->out);
        loss(n, work->out, tile->y + first, work->dout, grad);
        backward(mlp, work, n, scale, &grad->mlp);
        tess_fused_input_back(n, H, work->z, tile->u + first, tile->v + first, work->dleft,
                              work->dright);
    }
    rows_back(mlp, tile, work, grad);
}

void tess_tile_forward(const struct tess_mlp *mlp, int n, const float *left, const int32_t *u,
                       const float *right, const int32_t *v, struct tess_workspace *work,
                       float *out)
{
    int H = width_of(work->shape);

    if (work->room == 0)
        reserve(work, 0, 0, 0);
    tess_fused_input(n, H, left, u, right, v, work->shape.layers > 0, work->a[0]);
    forward(mlp, work, 0, n, NULL, out);
}
