/* predictor.c -- pairs of rows and readouts to their places, tiles through the forward pass. */
#include "tessera/predictor.h"

#include "fused.h"

#include "tessera/alloc.h"

#include <omp.h>
#include <string.h>

#define BLOCK TESS_PREDICT_ROWS /* rows of every projection */
#define PAIRS ((int64_t)3 << 19) /* about as many are given their places at once */

static int width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

/* What one thread needs. */
struct part {
    struct tess_workspace work;
    float *x, *pp; /* (BLOCK, D), (BLOCK, H) */
    float *out; /* (TESS_TILE_ROWS) */
    int32_t *u, *v; /* (TESS_TILE_ROWS) left and right row of each observation of a tile */
};

struct tess_predict_scratch {
    int n_threads;
    struct part *part; /* (n_threads) own */
    size_t room, room_seats;
    float *left; /* rows of the current call; own */
    int32_t *seat[2]; /* (tiles, TESS_TILE_ROWS) row, or -1, and column of each place; own */
};

/* For as many threads as there are now: parallel regions below ask for just so many. */
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
    tess_free(scratch->seat[0]);
    tess_free(scratch->seat[1]);
    tess_free(scratch);
}

static struct part *my_part(const struct tess_predictor *p)
{
    struct part *part = &p->scratch->part[omp_get_thread_num()];

    part->work.probe = p->probe ? &p->probe[omp_get_thread_num()] : NULL;
    return part;
}

/* A whole table through one block of the first layer, BLOCK rows at a time: a row's place follows
 * from its number, and the last block is padded, so that every product has the same shape. */
static float *project_table(const struct tess_predictor *p, struct tess_embeddings table,
                            const float *w)
{
    int64_t n = table.n, blocks = (n + BLOCK - 1) / BLOCK, H = width_of(p->shape), D = p->shape.dim;
    float *out = TESS_NEW(float, blocks *BLOCK *H);

#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t take = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
        struct part *s = my_part(p);

        memcpy(s->x, table.row + b * BLOCK * D, (size_t)(take * D) * sizeof *s->x);
        memset(s->x + take * D, 0, (size_t)((BLOCK - take) * D) * sizeof *s->x);
        tess_tile_project(&s->work, BLOCK, s->x, w, out + b * BLOCK * H);
    }
    return out;
}

void tess_predictor_init(struct tess_predictor *predictor, struct tess_shape shape,
                         const struct tess_mlp *mlp, struct tess_embeddings readouts,
                         struct tess_embeddings contexts)
{
    int H = width_of(shape);

    *predictor = (struct tess_predictor){
        .shape = shape, .mlp = mlp, .n_readouts = readouts.n, .n_contexts = contexts.n, .T = 1};
    while (predictor->T < 32 && predictor->T < readouts.n)
        predictor->T *= 2;
    predictor->E = TESS_TILE_ROWS / predictor->T;
    predictor->scratch = make_scratch(shape);
    predictor->right = project_table(predictor, readouts, mlp->wr);
    predictor->context = project_table(predictor, contexts, mlp->wc);
    for (int64_t i = 0; i < contexts.n; i++)
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

void tess_predict_number(const struct tess_perturbations *perturbations, int64_t *number)
{
    for (int64_t i = 0; i < perturbations->n; i++) {
        number[i] = 0;
        for (int64_t k = perturbations->first[i]; k < perturbations->first[i + 1]; k++)
            number[i] += perturbations->component[k];
    }
}

/* A row's number among all that may be asked for; contexts are kept apart, so that one perturbation
 * in many of them does not ask for one place only. */
static int64_t number_of(const struct tess_predict_rows *rows, int64_t i)
{
    return rows->number[i] + 97 * rows->context[i];
}

/* Rows sorted into blocks of places: place[b * BLOCK + slot] = row, or -1. Rows of the same slot go
 * to blocks 0, 1, 2 … in order. Returns the number of blocks. */
static int64_t seat_rows(const struct tess_predict_rows *rows, int64_t **place)
{
    int64_t count[BLOCK] = {0}, blocks = 0;

    for (int64_t i = 0; i < rows->n; i++) {
        int64_t *c = &count[number_of(rows, i) % BLOCK];

        blocks = ++*c > blocks ? *c : blocks;
    }
    *place = TESS_NEW(int64_t, blocks * BLOCK);
    memset(*place, -1, (size_t)(blocks * BLOCK) * sizeof **place);
    memset(count, 0, sizeof count);
    for (int64_t i = 0; i < rows->n; i++) {
        int slot = (int)(number_of(rows, i) % BLOCK);

        (*place)[count[slot]++ * BLOCK + slot] = i;
    }
    return blocks;
}

/* Tiles that it takes to give every pair its place: as many as the place that most pairs want.
 * Pairs that want a place are counted by a cyclic convolution of rows' and columns' places. */
static int64_t count_tiles(int64_t n, const int *turn, int64_t n_columns, const int64_t *readout)
{
    int64_t rows[TESS_TILE_ROWS] = {0}, columns[TESS_TILE_ROWS] = {0}, most = 0;

    for (int64_t i = 0; i < n; i++)
        rows[turn[i]]++;
    for (int64_t k = 0; k < n_columns; k++)
        columns[readout[k] % TESS_TILE_ROWS]++;
    for (int place = 0; place < TESS_TILE_ROWS; place++) {
        int64_t wanted = 0;

        for (int t = 0; t < TESS_TILE_ROWS; t++)
            wanted += rows[t] * columns[(place - t + TESS_TILE_ROWS) % TESS_TILE_ROWS];
        most = wanted > most ? wanted : most;
    }
    return most;
}

/* Every pair of a row and one of the columns [first, end) to its place in some tile: neighbouring
 * rows and columns to one tile, as far as their places allow. */
static int64_t seat_pairs(const struct tess_predictor *p, int64_t n, const int *turn, int64_t first,
                          int64_t end, const int64_t *readout)
{
    struct tess_predict_scratch *scratch = p->scratch;
    int64_t next[TESS_TILE_ROWS] = {0};
    int64_t tiles = count_tiles(n, turn, end - first, readout + first);
    size_t need = (size_t)tiles * TESS_TILE_ROWS;

    if (need > scratch->room_seats) {
        for (int i = 0; i < 2; i++) {
            tess_free(scratch->seat[i]);
            scratch->seat[i] = TESS_NEW(int32_t, need);
        }
        scratch->room_seats = need;
    }
    memset(scratch->seat[0], -1, need * sizeof(int32_t));
    for (int64_t begin = first; begin < end; begin += p->T)
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = begin; k < end && k < begin + p->T; k++) {
                int place = (int)((turn[i] + readout[k]) % TESS_TILE_ROWS);
                int64_t at = next[place]++ * TESS_TILE_ROWS + place;

                scratch->seat[0][at] = (int32_t)i;
                scratch->seat[1][at] = (int32_t)k;
            }
    return tiles;
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
            tess_fused_input(&(struct tess_pairs){1, (int)H, &i, &(int32_t){0}}, s->pp,
                             p->context + rows->context[seats[i]] * H, 0,
                             p->scratch->left + seats[i] * H);
}

/* Empty places compute row 0 against readout 0, and are thrown away: the tile keeps its shape. */
static void run_tile(const struct tess_predictor *p, int64_t tile, const int64_t *readout,
                     int64_t n_readouts, float *out)
{
    const int32_t *row = p->scratch->seat[0] + tile * TESS_TILE_ROWS;
    const int32_t *column = p->scratch->seat[1] + tile * TESS_TILE_ROWS;
    struct part *s = my_part(p);

    for (int i = 0; i < TESS_TILE_ROWS; i++) {
        s->u[i] = row[i] >= 0 ? row[i] : 0;
        s->v[i] = row[i] >= 0 ? (int32_t)readout[column[i]] : 0;
    }
    tess_tile_forward(p->mlp, &(struct tess_pairs){TESS_TILE_ROWS, width_of(p->shape), s->u, s->v},
                      p->scratch->left, p->right, &s->work, s->out);
    for (int i = 0; i < TESS_TILE_ROWS; i++)
        if (row[i] >= 0)
            out[row[i] * n_readouts + column[i]] = s->out[i];
}

static void project(const struct tess_predictor *p, const struct tess_predict_rows *rows)
{
    struct tess_predict_scratch *scratch = p->scratch;
    size_t need = (size_t)rows->n * (size_t)width_of(p->shape);
    int64_t *seats, blocks = seat_rows(rows, &seats);

    if (need > scratch->room) {
        tess_free(scratch->left);
        scratch->left = TESS_NEW(float, need);
        scratch->room = need;
    }
#pragma omp parallel for schedule(dynamic) num_threads(scratch->n_threads)
    for (int64_t b = 0; b < blocks; b++)
        project_rows(p, rows, seats + b * BLOCK);
    tess_free(seats);
}

void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out)
{
    const struct tess_predictor *p = predictor;
    int64_t passes = (rows->n * n_readouts + PAIRS - 1) / PAIRS;
    int64_t columns = passes ? (n_readouts + passes - 1) / passes : 0;
    int *turn = TESS_NEW(int, rows->n);

    project(p, rows);
    /* Columns are cut at multiples of a tile, so that each pass asks for all places equally
     * often. */
    columns = (columns + TESS_TILE_ROWS - 1) / TESS_TILE_ROWS * TESS_TILE_ROWS;
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t number = number_of(rows, i);

        /* Its place with readout 0 (predictor.h). */
        turn[i] = (int)(number % p->E * p->T + number / p->E % p->T);
    }
    for (int64_t first = 0, end; rows->n > 0 && first < n_readouts; first = end) {
        int64_t tiles;

        end = n_readouts - first < columns ? n_readouts : first + columns;
        tiles = seat_pairs(p, rows->n, turn, first, end, readout);
#pragma omp parallel for schedule(dynamic, 8) num_threads(p->scratch->n_threads)
        for (int64_t i = 0; i < tiles; i++) /* neighbours share their readouts */
            run_tile(p, i, readout, n_readouts, out);
    }
#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t i = 0; i < (p->scaling ? rows->n : 0); i++)
        tess_scaling_undo(p->scaling, rows->context[i], n_readouts, readout, out + i * n_readouts);
    tess_free(turn);
}
