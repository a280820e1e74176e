/* predict_scratch.h -- what the predictor's two ways of computing share: memory of the threads, and
 * the places of rows in blocks that are projected at once. */
#ifndef PREDICT_SCRATCH_H
#define PREDICT_SCRATCH_H

#include "tessera/predictor.h"

#define TESS_PREDICT_COLUMNS 256 /* right vectors of one product (factorised kinds) */

/* What one thread needs. */
struct tess_predict_part {
    struct tess_workspace work;
    float *x, *pp; /* (TESS_PREDICT_ROWS, D), (TESS_PREDICT_ROWS, H) */
    float *out; /* of a tile: (TESS_TILE_ROWS); of a product: (TESS_PREDICT_ROWS, ..._COLUMNS) */
    int32_t *u, *v; /* (TESS_TILE_ROWS) left and right row of each observation of a tile */
};

struct tess_predict_scratch {
    int n_threads;
    struct tess_predict_part *part; /* (n_threads) own */
    size_t room, room_seats;
    float *left; /* rows of the current call; own */
    int32_t *seat[2]; /* (tiles, TESS_TILE_ROWS) row, or -1, and column of each place; own */
};

/* For as many threads as there are now: parallel regions ask for just so many. low: with bfloat16
 * operands. */
struct tess_predict_scratch *tess_predict_scratch_make(struct tess_shape shape, int low);
void tess_predict_scratch_release(struct tess_predict_scratch *scratch);
/* At least so many floats in scratch->left. */
void tess_predict_scratch_reserve(struct tess_predict_scratch *scratch, size_t floats);
/* The calling thread's. */
struct tess_predict_part *tess_predict_scratch_part(const struct tess_predictor *predictor);

/* A row's number among all that may be asked for (predictor.h). */
int64_t tess_predict_scratch_number(const struct tess_predictor *predictor,
                                    const struct tess_predict_rows *rows, int64_t i);
/* Rows row[0 .. n) (NULL: all, 0 .. rows->n) sorted into blocks of places: place[b * ROWS + slot] =
 * row, or -1; own of the caller. Rows of the same slot go to blocks 0, 1, 2 … in order. Returns the
 * number of blocks. */
int64_t tess_predict_scratch_seats(const struct tess_predictor *predictor,
                                   const struct tess_predict_rows *rows, int64_t n,
                                   const int64_t *row, int64_t **place);
/* W_p p of one block of places into the thread's pp; of empty ones that of a row of zeroes. */
void tess_predict_scratch_project(const struct tess_predictor *predictor,
                                  const struct tess_predict_rows *rows, const int64_t *seats);
/* out (TESS_PREDICT_ROWS, TESS_PREDICT_COLUMNS) of so many left and right vectors, K floats each:
 * the only product of factorised prediction. ldc: floats from a row of out to the next; 0: side by
 * side. */
void tess_predict_scratch_multiply(const struct tess_predictor *predictor, const float *left,
                                   const float *right, float *out, int64_t ldc);
/* Outputs of rows with readouts of their own back into the store's units, if the predictor says
 * how. */
void tess_predict_scratch_undo(const struct tess_predictor *predictor,
                               const struct tess_predict_rows *rows,
                               const struct tess_predict_lists *lists, float *out);

#endif
