/* predict_scratch.c -- memory of prediction, and places of rows. */
#include "predict_scratch.h"

#include "factor.h"
#include "tower.h"

#include "tessera/alloc.h"
#include "tessera/config.h"

#include <omp.h>
#include <string.h>

#define BLOCK TESS_PREDICT_ROWS

struct tess_predict_scratch *tess_predict_scratch_make(struct tess_shape shape, int low)
{
    struct tess_predict_scratch *scratch = TESS_NEW(struct tess_predict_scratch, 1);
    int tiles = shape.kind == TESS_KIND_MLP;

    scratch->n_threads = omp_get_max_threads();
    scratch->part = TESS_NEW(struct tess_predict_part, scratch->n_threads);
    for (int i = 0; i < scratch->n_threads; i++) {
        struct tess_predict_part *part = &scratch->part[i];

        tess_workspace_init(&part->work, shape);
        if (!tiles)
            tess_factor_reserve(&part->work, BLOCK, low);
        part->x = TESS_NEW(float, BLOCK *shape.dim);
        part->pp = TESS_NEW(float, BLOCK *tess_shape_width(shape));
        part->out = TESS_NEW(float, tiles ? TESS_TILE_ROWS : BLOCK *TESS_PREDICT_COLUMNS);
        part->u = TESS_NEW(int32_t, TESS_TILE_ROWS);
        part->v = TESS_NEW(int32_t, TESS_TILE_ROWS);
    }
    return scratch;
}

void tess_predict_scratch_release(struct tess_predict_scratch *scratch)
{
    for (int i = 0; i < scratch->n_threads; i++) {
        struct tess_predict_part *part = &scratch->part[i];

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

void tess_predict_scratch_reserve(struct tess_predict_scratch *scratch, size_t floats)
{
    if (floats <= scratch->room)
        return;
    tess_free(scratch->left);
    scratch->left = TESS_NEW(float, floats);
    scratch->room = floats;
}

struct tess_predict_part *tess_predict_scratch_part(const struct tess_predictor *predictor)
{
    struct tess_predict_part *part = &predictor->scratch->part[omp_get_thread_num()];

    part->work.probe = predictor->probe ? &predictor->probe[omp_get_thread_num()] : NULL;
    return part;
}

/* Contexts are kept apart, so that one perturbation in many of them does not ask for one place
 * only; where they stand on the right, they are no part of a row. */
int64_t tess_predict_scratch_number(const struct tess_predictor *predictor,
                                    const struct tess_predict_rows *rows, int64_t i)
{
    return rows->number[i] + (predictor->shape.right == TESS_TABLE_C ? 0 : 97 * rows->context[i]);
}

int64_t tess_predict_scratch_seats(const struct tess_predictor *predictor,
                                   const struct tess_predict_rows *rows, int64_t n,
                                   const int64_t *row, int64_t **place)
{
    int64_t count[BLOCK] = {0}, blocks = 0;

    for (int64_t k = 0; k < n; k++) {
        int64_t i = row ? row[k] : k;
        int64_t *c = &count[tess_predict_scratch_number(predictor, rows, i) % BLOCK];

        blocks = ++*c > blocks ? *c : blocks;
    }
    *place = TESS_NEW(int64_t, blocks * BLOCK);
    memset(*place, -1, (size_t)(blocks * BLOCK) * sizeof **place);
    memset(count, 0, sizeof count);
    for (int64_t k = 0; k < n; k++) {
        int64_t i = row ? row[k] : k;
        int slot = (int)(tess_predict_scratch_number(predictor, rows, i) % BLOCK);

        (*place)[count[slot]++ * BLOCK + slot] = i;
    }
    return blocks;
}

void tess_predict_scratch_project(const struct tess_predictor *predictor,
                                  const struct tess_predict_rows *rows, const int64_t *seats)
{
    struct tess_predict_part *s = tess_predict_scratch_part(predictor);
    int64_t D = predictor->shape.dim;

    for (int i = 0; i < BLOCK; i++)
        if (seats[i] >= 0)
            memcpy(s->x + i * D, rows->p + seats[i] * D, (size_t)D * sizeof *s->x);
        else
            memset(s->x + i * D, 0, (size_t)D * sizeof *s->x);
    tess_tower_project(&s->work, BLOCK, s->x, predictor->mlp.wp, s->pp);
}

void tess_predict_scratch_multiply(const struct tess_predictor *predictor, const float *left,
                                   const float *right, float *out, int64_t ldc)
{
    tess_gemm(tess_predict_scratch_part(predictor)->work.probe,
              &(struct tess_gemm){TESS_PHASE_GEMM,
                                  TESS_PREDICT_ROWS,
                                  TESS_PREDICT_COLUMNS,
                                  predictor->shape.factors,
                                  0,
                                  1,
                                  left,
                                  right,
                                  0,
                                  out,
                                  ldc,
                                  {0}});
}

void tess_predict_scratch_undo(const struct tess_predictor *predictor,
                               const struct tess_predict_rows *rows,
                               const struct tess_predict_lists *lists, float *out)
{
    const int64_t *first = lists->first;

#pragma omp parallel for schedule(static) num_threads(predictor->scratch->n_threads)
    for (int64_t i = 0; i < (predictor->scaling ? rows->n : 0); i++)
        tess_scaling_undo(predictor->scaling, rows->context[i], first[i + 1] - first[i],
                          lists->readout + first[i], out + first[i]);
}
