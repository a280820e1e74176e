/* predict_tiles.c -- pairs of rows and readouts to their places, tiles through the forward pass. */
#include "predict_tiles.h"

#include "fused.h"
#include "predict_scratch.h"

#include "tessera/alloc.h"

#include <string.h>

#define PAIRS ((int64_t)3 << 19) /* about as many are given their places at once */

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

/* Empty places of so many tiles. */
static void clear_seats(struct tess_predict_scratch *scratch, int64_t tiles)
{
    size_t need = (size_t)tiles * TESS_TILE_ROWS;

    if (need > scratch->room_seats) {
        for (int i = 0; i < 2; i++) {
            tess_free(scratch->seat[i]);
            scratch->seat[i] = TESS_NEW(int32_t, need);
        }
        scratch->room_seats = need;
    }
    memset(scratch->seat[0], -1, need * sizeof(int32_t));
}

static void seat(struct tess_predict_scratch *scratch, int64_t at, int64_t row, int64_t column)
{
    scratch->seat[0][at] = (int32_t)row;
    scratch->seat[1][at] = (int32_t)column;
}

/* Every pair of a row and one of the columns [first, end) to its place in some tile: neighbouring
 * rows and columns to one tile, as far as their places allow. */
static int64_t seat_pairs(const struct tess_predictor *p, int64_t n, const int *turn, int64_t first,
                          int64_t end, const int64_t *readout)
{
    int64_t next[TESS_TILE_ROWS] = {0};
    int64_t tiles = count_tiles(n, turn, end - first, readout + first);

    clear_seats(p->scratch, tiles);
    for (int64_t begin = first; begin < end; begin += p->T)
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = begin; k < end && k < begin + p->T; k++) {
                int place = (int)((turn[i] + readout[k]) % TESS_TILE_ROWS);

                seat(p->scratch, next[place]++ * TESS_TILE_ROWS + place, i, k);
            }
    return tiles;
}

/* The same of rows with readouts of their own: a column is a place in `readout`. */
static int64_t seat_lists(const struct tess_predictor *p, int64_t n, const int *turn,
                          const struct tess_predict_lists *lists)
{
    int64_t next[TESS_TILE_ROWS] = {0}, tiles = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++)
            next[(turn[i] + lists->readout[k]) % TESS_TILE_ROWS]++;
    for (int place = 0; place < TESS_TILE_ROWS; place++) {
        tiles = next[place] > tiles ? next[place] : tiles;
        next[place] = 0;
    }
    clear_seats(p->scratch, tiles);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++) {
            int place = (int)((turn[i] + lists->readout[k]) % TESS_TILE_ROWS);

            seat(p->scratch, next[place]++ * TESS_TILE_ROWS + place, i, k);
        }
    return tiles;
}

/* Left rows of one block of seats: W_p p + (W_c c + b1). */
static void project_rows(const struct tess_predictor *p, const struct tess_predict_rows *rows,
                         const int64_t *seats)
{
    struct tess_predict_part *s = tess_predict_scratch_part(p);
    int64_t H = tess_shape_width(p->shape);

    tess_predict_scratch_project(p, rows, seats);
    for (int32_t i = 0; i < TESS_PREDICT_ROWS; i++)
        if (seats[i] >= 0)
            tess_fused_input(&(struct tess_pairs){1, (int)H, &i, &(int32_t){0}}, s->pp,
                             p->context + rows->context[seats[i]] * H, 0,
                             p->scratch->left + seats[i] * H);
}

/* Empty places compute row 0 against readout 0, and are thrown away: the tile keeps its shape.
 * stride: outputs from a row to the next; 0: a column says by itself where its output goes. */
static void run_tile(const struct tess_predictor *p, int64_t tile, const int64_t *readout,
                     int64_t stride, float *out, float *noise)
{
    const int32_t *row = p->scratch->seat[0] + tile * TESS_TILE_ROWS;
    const int32_t *column = p->scratch->seat[1] + tile * TESS_TILE_ROWS;
    struct tess_predict_part *s = tess_predict_scratch_part(p);

    for (int i = 0; i < TESS_TILE_ROWS; i++) {
        s->u[i] = row[i] >= 0 ? row[i] : 0;
        s->v[i] = row[i] >= 0 ? (int32_t)readout[column[i]] : 0;
    }
    tess_tile_forward(&p->mlp,
                      &(struct tess_pairs){TESS_TILE_ROWS, tess_shape_width(p->shape), s->u, s->v},
                      p->scratch->left, p->right, &s->work, s->out);
    for (int i = 0; i < TESS_TILE_ROWS; i++)
        if (row[i] >= 0)
            out[row[i] * stride + column[i]] = s->out[i];
    for (int i = 0; noise && i < TESS_TILE_ROWS; i++)
        if (row[i] >= 0)
            noise[row[i] * stride + column[i]] = s->work.dout[i];
}

static void project(const struct tess_predictor *p, const struct tess_predict_rows *rows)
{
    int64_t *seats, blocks = tess_predict_scratch_seats(p, rows, rows->n, NULL, &seats);

    tess_predict_scratch_reserve(p->scratch, (size_t)rows->n * (size_t)tess_shape_width(p->shape));
#pragma omp parallel for schedule(dynamic) num_threads(p->scratch->n_threads)
    for (int64_t b = 0; b < blocks; b++)
        project_rows(p, rows, seats + b * TESS_PREDICT_ROWS);
    tess_free(seats);
}

/* Each row's place with readout 0 (predictor.h); own of the caller. */
static int *turns_of(const struct tess_predictor *p, const struct tess_predict_rows *rows)
{
    int *turn = TESS_NEW(int, rows->n);

    for (int64_t i = 0; i < rows->n; i++) {
        int64_t number = tess_predict_scratch_number(p, rows, i);

        turn[i] = (int)(number % p->E * p->T + number / p->E % p->T);
    }
    return turn;
}

static void run_tiles(const struct tess_predictor *p, int64_t tiles, const int64_t *readout,
                      int64_t stride, float *out, float *noise)
{
#pragma omp parallel for schedule(dynamic, 8) num_threads(p->scratch->n_threads)
    for (int64_t i = 0; i < tiles; i++) /* neighbours share their readouts */
        run_tile(p, i, readout, stride, out, noise);
}

void tess_predict_tiles_run(const struct tess_predictor *predictor,
                            const struct tess_predict_rows *rows, int64_t n_readouts,
                            const int64_t *readout, float *out, float *s)
{
    const struct tess_predictor *p = predictor;
    int64_t passes = (rows->n * n_readouts + PAIRS - 1) / PAIRS;
    int64_t columns = passes ? (n_readouts + passes - 1) / passes : 0;
    int *turn = turns_of(p, rows);

    project(p, rows);
    /* Columns are cut at multiples of a tile, so that each pass asks for all places equally
     * often. */
    columns = (columns + TESS_TILE_ROWS - 1) / TESS_TILE_ROWS * TESS_TILE_ROWS;
    for (int64_t first = 0, end; rows->n > 0 && first < n_readouts; first = end) {
        end = n_readouts - first < columns ? n_readouts : first + columns;
        run_tiles(p, seat_pairs(p, rows->n, turn, first, end, readout), readout, n_readouts, out,
                  s);
    }
#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t i = 0; i < (p->scaling ? rows->n : 0); i++)
        tess_scaling_undo(p->scaling, rows->context[i], n_readouts, readout, out + i * n_readouts);
    tess_free(turn);
}

void tess_predict_tiles_run_lists(const struct tess_predictor *predictor,
                                  const struct tess_predict_rows *rows,
                                  const struct tess_predict_lists *lists, float *out, float *s)
{
    const struct tess_predictor *p = predictor;
    int *turn = turns_of(p, rows);

    project(p, rows);
    run_tiles(p, seat_lists(p, rows->n, turn, lists), lists->readout, 0, out, s);
    tess_predict_scratch_undo(p, rows, lists, out);
    tess_free(turn);
}
