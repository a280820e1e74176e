/* predictor.c -- rows and readouts to their slots, tiles through the forward pass. */
#include "tessera/predictor.h"

#include "tessera/alloc.h"
#include "tessera/fused.h"

#include <string.h>

#define BLOCK TESS_PREDICT_ROWS /* rows of every projection */

static int width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

/* A whole table through one block of the first layer, BLOCK rows at a time. */
static float *project_table(struct tess_shape shape, const float *table, int64_t n, const float *w)
{
    int64_t blocks = (n + BLOCK - 1) / BLOCK, H = width_of(shape), D = shape.dim;
    float *out = TESS_NEW(float, blocks *BLOCK *H);

#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t take = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
        float *x = TESS_NEW(float, BLOCK *D);

        memcpy(x, table + b * BLOCK * D, (size_t)(take * D) * sizeof *x);
        tess_tile_project(shape, BLOCK, x, w, out + b * BLOCK * H);
        tess_free(x);
    }
    return out;
}

void tess_predictor_init(struct tess_predictor *predictor, struct tess_shape shape,
                         const struct tess_mlp *mlp, const float *readouts, int64_t n_readouts,
                         const float *contexts, int64_t n_contexts)
{
    int H = width_of(shape);

    *predictor = (struct tess_predictor){
        .shape = shape, .mlp = mlp, .n_readouts = n_readouts, .n_contexts = n_contexts, .T = 1};
    while (predictor->T < 32 && predictor->T < n_readouts)
        predictor->T *= 2;
    predictor->E = TESS_TILE_ROWS / predictor->T;
    predictor->right = project_table(shape, readouts, n_readouts, mlp->wr);
    predictor->context = project_table(shape, contexts, n_contexts, mlp->wc);
    for (int64_t i = 0; i < n_contexts; i++)
        tess_fused_add(H, mlp->b1, predictor->context + i * H);
}

void tess_predictor_release(struct tess_predictor *predictor)
{
    tess_free(predictor->right);
    tess_free(predictor->context);
    *predictor = (struct tess_predictor){0};
}

/* Items sorted into blocks of n_slots places: place[b * n_slots + slot] = item, or -1. Items of the
 * same slot go to blocks 0, 1, 2 … in order. Returns the number of blocks. */
static int64_t seat(int64_t n, const int64_t *number, int n_slots, int64_t **place)
{
    int64_t *count = TESS_NEW(int64_t, n_slots), blocks = 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t *c = &count[number[i] % n_slots];

        blocks = ++*c > blocks ? *c : blocks;
    }
    *place = TESS_NEW(int64_t, blocks * n_slots);
    memset(*place, -1, (size_t)(blocks * n_slots) * sizeof **place);
    memset(count, 0, (size_t)n_slots * sizeof *count);
    for (int64_t i = 0; i < n; i++) {
        int slot = (int)(number[i] % n_slots);

        (*place)[count[slot]++ * n_slots + slot] = i;
    }
    tess_free(count);
    return blocks;
}

/* What one thread needs. */
struct scratch {
    struct tess_workspace work;
    float *x, *pp, *left, *right, *out; /* (BLOCK, D), (BLOCK, H), (BLOCK, H), (T, H), (ROWS) */
    int32_t *u, *v;                     /* (ROWS): e, t of each observation of a tile          */
};

static void scratch_init(struct scratch *s, const struct tess_predictor *p)
{
    int H = width_of(p->shape);

    tess_workspace_init(&s->work, p->shape);
    s->x = TESS_NEW(float, BLOCK * p->shape.dim);
    s->pp = TESS_NEW(float, BLOCK *H);
    s->left = TESS_NEW(float, BLOCK *H);
    s->right = TESS_NEW(float, p->T *H);
    s->out = TESS_NEW(float, TESS_TILE_ROWS);
    s->u = TESS_NEW(int32_t, TESS_TILE_ROWS);
    s->v = TESS_NEW(int32_t, TESS_TILE_ROWS);
    for (int i = 0; i < TESS_TILE_ROWS; i++) {
        s->u[i] = i / p->T;
        s->v[i] = i % p->T;
    }
}

static void scratch_release(struct scratch *s)
{
    tess_workspace_release(&s->work);
    tess_free(s->x);
    tess_free(s->pp);
    tess_free(s->left);
    tess_free(s->right);
    tess_free(s->out);
    tess_free(s->u);
    tess_free(s->v);
}

/* Left rows of one block of seats: W_p p + (W_c c + b1). */
static void left_rows(const struct tess_predictor *p, const struct tess_predict_rows *rows,
                      const int64_t *seats, struct scratch *s)
{
    int64_t D = p->shape.dim, H = width_of(p->shape);

    for (int i = 0; i < BLOCK; i++)
        if (seats[i] >= 0)
            memcpy(s->x + i * D, rows->p + seats[i] * D, (size_t)D * sizeof *s->x);
        else
            memset(s->x + i * D, 0, (size_t)D * sizeof *s->x);
    tess_tile_project(p->shape, BLOCK, s->x, p->mlp->wp, s->pp);
    for (int i = 0; i < BLOCK; i++)
        if (seats[i] >= 0)
            tess_fused_input(1, (int)H, s->pp + i * H, (int32_t[]){0},
                             p->context + rows->context[seats[i]] * H, (int32_t[]){0}, 0,
                             s->left + i * H);
}

/* One tile: seats of E rows from `e` on, T readouts. */
static void run_tile(const struct tess_predictor *p, const int64_t *seats, int e,
                     const int64_t *columns, struct scratch *s, int64_t n_readouts, float *out)
{
    int H = width_of(p->shape), busy = 0;

    for (int i = 0; i < p->E; i++)
        busy |= seats[e + i] >= 0;
    if (!busy)
        return;
    tess_tile_forward(p->mlp, TESS_TILE_ROWS, s->left + (int64_t)e * H, s->u, s->right, s->v,
                      &s->work, s->out);
    for (int i = 0; i < p->E; i++)
        for (int t = 0; seats[e + i] >= 0 && t < p->T; t++)
            if (columns[t] >= 0)
                out[seats[e + i] * n_readouts + columns[t]] = s->out[i * p->T + t];
}

static void run_block(const struct tess_predictor *p, const int64_t *seats, struct scratch *s,
                      int64_t column_blocks, const int64_t *columns, const int64_t *readout,
                      int64_t n_readouts, float *out)
{
    int64_t H = width_of(p->shape);

    for (int64_t c = 0; c < column_blocks; c++) {
        const int64_t *column = columns + c * p->T;

        for (int t = 0; t < p->T; t++)
            if (column[t] >= 0)
                memcpy(s->right + t * H, p->right + readout[column[t]] * H,
                       (size_t)H * sizeof *s->right);
        for (int e = 0; e < BLOCK; e += p->E)
            run_tile(p, seats, e, column, s, n_readouts, out);
    }
}

void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out)
{
    int64_t *seats, *columns;
    int64_t blocks = seat(rows->n, rows->number, BLOCK, &seats);
    int64_t column_blocks = seat(n_readouts, readout, predictor->T, &columns);

#pragma omp parallel
    {
        struct scratch s;

        scratch_init(&s, predictor);
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++) {
            left_rows(predictor, rows, seats + b * BLOCK, &s);
            run_block(predictor, seats + b * BLOCK, &s, column_blocks, columns, readout, n_readouts,
                      out);
        }
        scratch_release(&s);
    }
    tess_free(seats);
    tess_free(columns);
}
