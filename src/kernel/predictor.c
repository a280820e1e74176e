/* predictor.c -- rows and readouts to their slots, tiles through the forward pass. */
#include "tessera/predictor.h"

#include "tessera/alloc.h"
#include "tessera/fused.h"

#include <omp.h>
#include <string.h>

#define BLOCK TESS_PREDICT_ROWS /* rows of every projection */

static int width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

/* What one thread needs. */
struct part {
    struct tess_workspace work;
    float *x, *pp;  /* (BLOCK, D), (BLOCK, H) */
    float *out;     /* (TESS_TILE_ROWS) */
    int32_t *u, *v; /* (TESS_TILE_ROWS) left and right row of each observation of a tile */
};

struct tess_predict_scratch {
    int n_threads;
    struct part *part; /* (n_threads) own */
    size_t room;
    float *left; /* rows of the current call; own */
};

static struct tess_predict_scratch *make_scratch(struct tess_shape shape)
{
    struct tess_predict_scratch *scratch = TESS_NEW(struct tess_predict_scratch, 1);

    scratch->n_threads = omp_get_max_threads();
    scratch->part = TESS_NEW(struct part, scratch->n_threads);
    for (int i = 0; i < scratch->n_threads; i++) {
        struct part *part = &scratch->part[i];

        tess_workspace_init(&part->work, shape);
        part->x = TESS_NEW(float, BLOCK *shape.dim);
        part->pp = TESS_NEW(float, BLOCK *width_of(shape));
        part->out = TESS_NEW(float, TESS_TILE_ROWS);
        part->u = TESS_NEW(int32_t, TESS_TILE_ROWS);
        part->v = TESS_NEW(int32_t, TESS_TILE_ROWS);
    }
    return scratch;
}

static void release_scratch(struct tess_predict_scratch *scratch)
{
    for (int i = 0; i < scratch->n_threads; i++) {
        struct part *part = &scratch->part[i];

        tess_workspace_release(&part->work);
        tess_free(part->x);
        tess_free(part->pp);
        tess_free(part->out);
        tess_free(part->u);
        tess_free(part->v);
    }
    tess_free(scratch->part);
    tess_free(scratch->left);
    tess_free(scratch);
}

static struct part *my_part(const struct tess_predictor *p)
{
    struct part *part = &p->scratch->part[omp_get_thread_num()];

    part->work.probe = p->probe ? &p->probe[omp_get_thread_num()] : NULL;
    return part;
}

/* A whole table through one block of the first layer, BLOCK rows at a time. */
static float *project_table(const struct tess_predictor *p, const float *table, int64_t n,
                            const float *w)
{
    int64_t blocks = (n + BLOCK - 1) / BLOCK, H = width_of(p->shape), D = p->shape.dim;
    float *out = TESS_NEW(float, blocks *BLOCK *H);

#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t take = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
        struct part *s = my_part(p);

        memcpy(s->x, table + b * BLOCK * D, (size_t)(take * D) * sizeof *s->x);
        memset(s->x + take * D, 0, (size_t)((BLOCK - take) * D) * sizeof *s->x);
        tess_tile_project(&s->work, BLOCK, s->x, w, out + b * BLOCK * H);
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
    predictor->scratch = make_scratch(shape);
    predictor->right = project_table(predictor, readouts, n_readouts, mlp->wr);
    predictor->context = project_table(predictor, contexts, n_contexts, mlp->wc);
    for (int64_t i = 0; i < n_contexts; i++)
        tess_fused_add(H, mlp->b1, predictor->context + i * H);
}

void tess_predictor_release(struct tess_predictor *predictor)
{
    if (predictor->scratch)
        release_scratch(predictor->scratch);
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

/* Left rows of one block of seats: W_p p + (W_c c + b1). */
static void project_rows(const struct tess_predictor *p, const struct tess_predict_rows *rows,
                         const int64_t *seats)
{
    struct part *s = my_part(p);
    int64_t D = p->shape.dim, H = width_of(p->shape);

    for (int i = 0; i < BLOCK; i++)
        if (seats[i] >= 0)
            memcpy(s->x + i * D, rows->p + seats[i] * D, (size_t)D * sizeof *s->x);
        else
            memset(s->x + i * D, 0, (size_t)D * sizeof *s->x);
    tess_tile_project(&s->work, BLOCK, s->x, p->mlp->wp, s->pp);
    for (int32_t i = 0; i < BLOCK; i++)
        if (seats[i] >= 0)
            tess_fused_input(1, (int)H, s->pp, &i, p->context + rows->context[seats[i]] * H,
                             (int32_t[]){0}, 0, p->scratch->left + seats[i] * H);
}

/* One tile: E seats of rows, T seats of readouts. */
static void run_tile(const struct tess_predictor *p, const int64_t *seats, const int64_t *columns,
                     const int64_t *readout, int64_t n_readouts, float *out)
{
    struct part *s = my_part(p);

    for (int e = 0; e < p->E; e++)
        for (int t = 0; t < p->T; t++) {
            s->u[e * p->T + t] = (int32_t)(seats[e] >= 0 ? seats[e] : 0);
            s->v[e * p->T + t] = (int32_t)(columns[t] >= 0 ? readout[columns[t]] : 0);
        }
    tess_tile_forward(p->mlp, TESS_TILE_ROWS, p->scratch->left, s->u, p->right, s->v, &s->work,
                      s->out);
    for (int e = 0; e < p->E; e++)
        for (int t = 0; seats[e] >= 0 && t < p->T; t++)
            if (columns[t] >= 0)
                out[seats[e] * n_readouts + columns[t]] = s->out[e * p->T + t];
}

void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out)
{
    const struct tess_predictor *p = predictor;
    struct tess_predict_scratch *scratch = p->scratch;
    size_t need = (size_t)rows->n * (size_t)width_of(p->shape);
    int64_t *seats, *tiles, *columns;
    int64_t blocks = seat(rows->n, rows->number, BLOCK, &seats);
    int64_t row_tiles = seat(rows->n, rows->number, p->E, &tiles);
    int64_t column_tiles = seat(n_readouts, readout, p->T, &columns);

    if (need > scratch->room) {
        tess_free(scratch->left);
        scratch->left = TESS_NEW(float, need);
        scratch->room = need;
    }
#pragma omp parallel num_threads(scratch->n_threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++)
            project_rows(p, rows, seats + b * BLOCK);
#pragma omp for schedule(dynamic, 8) /* neighbours share their readouts */
        for (int64_t i = 0; i < row_tiles * column_tiles; i++)
            run_tile(p, tiles + i % row_tiles * p->E, columns + i / row_tiles * p->T, readout,
                     n_readouts, out);
    }
    tess_free(seats);
    tess_free(tiles);
    tess_free(columns);
}
