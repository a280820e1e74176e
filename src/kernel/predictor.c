/* predictor.c -- what is projected once for all rows; which kind of model predicts how. */
#include "tessera/predictor.h"

#include "fused.h"
#include "predict_factor.h"
#include "predict_scratch.h"
#include "predict_tiles.h"
#include "tower.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/config.h"

#include <math.h>
#include <string.h>

#define BLOCK TESS_PREDICT_ROWS /* rows of every projection */

/* A whole table through one block of the first layer, BLOCK rows at a time: a row's place follows
 * from its number, and the last block is padded, so that every product has the same shape. */
static float *project_table(const struct tess_predictor *p, struct tess_embeddings table,
                            const float *w)
{
    int64_t n = table.n, blocks = (n + BLOCK - 1) / BLOCK, H = tess_shape_width(p->shape),
            D = p->shape.dim;
    float *out = TESS_NEW(float, blocks *BLOCK *H);

#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t take = n - b * BLOCK < BLOCK ? n - b * BLOCK : BLOCK;
        struct tess_predict_part *s = tess_predict_scratch_part(p);

        memcpy(s->x, table.row + b * BLOCK * D, (size_t)(take * D) * sizeof *s->x);
        memset(s->x + take * D, 0, (size_t)((BLOCK - take) * D) * sizeof *s->x);
        tess_tower_project(&s->work, BLOCK, s->x, w, out + b * BLOCK * H);
    }
    return out;
}

/* A whole table as it is, padded with rows of zeroes to whole blocks. */
static float *pad_table(struct tess_embeddings table, int64_t block, int64_t K)
{
    int64_t n = (table.n + block - 1) / block * block;
    float *out = TESS_NEW(float, n *K);

    memcpy(out, table.row, (size_t)(table.n * K) * sizeof *out);
    return out;
}

/* W_c c, with b_1 beside it where there is one. */
static void project_contexts(struct tess_predictor *p, struct tess_embeddings contexts)
{
    int H = tess_shape_width(p->shape);

    p->context = project_table(p, contexts, p->mlp.wc);
    if (p->shape.kind == TESS_KIND_CP)
        p->gate = project_table(p, contexts, p->mlp.wg);
    for (int64_t i = 0; i < contexts.n && p->shape.kind != TESS_KIND_CP; i++)
        tess_fused_add(H, p->mlp.b1, p->context + i * H);
}

/* A tile of the mlp holds E × T pairs, T up to 32. */
static void init_tiles(struct tess_predictor *p, struct tess_embeddings readouts)
{
    p->T = 1;
    while (p->T < 32 && p->T < readouts.n)
        p->T *= 2;
    p->E = TESS_TILE_ROWS / p->T;
    p->right = project_table(p, readouts, p->mlp.wr);
}

void tess_predictor_init(struct tess_predictor *predictor, struct tess_shape shape,
                         const struct tess_mlp *mlp, int low, struct tess_embeddings readouts,
                         struct tess_embeddings contexts)
{
    int alone = shape.right == TESS_TABLE_C;

    *predictor = (struct tess_predictor){
        .shape = shape, .mlp = *mlp, .n_readouts = readouts.n, .n_contexts = contexts.n};
    predictor->mlp.packed = predictor->packed = low ? tess_tower_pack(shape, mlp) : NULL;
    predictor->scratch = tess_predict_scratch_make(shape, predictor->packed != NULL);
    if (!alone)
        project_contexts(predictor, contexts);
    if (shape.kind == TESS_KIND_MLP) {
        init_tiles(predictor, readouts);
        return;
    }
    predictor->E = TESS_PREDICT_ROWS;
    predictor->T = TESS_PREDICT_COLUMNS;
    predictor->right = pad_table(alone ? contexts : readouts, predictor->T, shape.factors);
    if (shape.noise) {
        int64_t n = alone ? contexts.n : readouts.n;

        predictor->noise = TESS_NEW(float, n);
        for (int64_t i = 0; i < n; i++)
            tess_fused_noise_output(1, shape.factors, predictor->right + i * shape.factors, mlp->wv,
                                    0, predictor->noise + i);
    }
}

void tess_predictor_set_contexts(struct tess_predictor *predictor, struct tess_embeddings contexts)
{
    predictor->n_contexts = contexts.n;
    if (predictor->shape.right == TESS_TABLE_C) {
        tess_free(predictor->right);
        predictor->right = pad_table(contexts, predictor->T, predictor->shape.factors);
        return;
    }
    tess_free(predictor->context);
    tess_free(predictor->gate);
    predictor->gate = NULL;
    project_contexts(predictor, contexts);
}

void tess_predictor_release(struct tess_predictor *predictor)
{
    if (predictor->scratch)
        tess_predict_scratch_release(predictor->scratch);
    tess_packed_release(predictor->packed);
    tess_free(predictor->right);
    tess_free(predictor->context);
    tess_free(predictor->gate);
    tess_free(predictor->noise);
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

/* s to deviations of targets: exp(s/2). */
static void to_deviations(int64_t n, float *s)
{
    for (int64_t k = 0; k < n; k++)
        s[k] = sqrtf(1.0f / tess_fused_precision(s[k]));
}

void tess_predictor_run(const struct tess_predictor *predictor,
                        const struct tess_predict_rows *rows, int64_t n_readouts,
                        const int64_t *readout, float *out, float *deviation)
{
    if (predictor->shape.kind == TESS_KIND_MLP)
        tess_predict_tiles_run(predictor, rows, n_readouts, readout, out, deviation);
    else
        tess_predict_factor_run(predictor, rows, n_readouts, readout, out, deviation);
    for (int64_t i = 0; deviation && i < rows->n; i++) {
        to_deviations(n_readouts, deviation + i * n_readouts);
        if (predictor->scaling)
            tess_scaling_undo_deviation(predictor->scaling, rows->context[i], n_readouts, readout,
                                        deviation + i * n_readouts);
    }
}

void tess_predictor_run_lists(const struct tess_predictor *predictor,
                              const struct tess_predict_rows *rows,
                              const struct tess_predict_lists *lists, float *out, float *deviation)
{
    const int64_t *first = lists->first;

    if (predictor->shape.kind == TESS_KIND_MLP)
        tess_predict_tiles_run_lists(predictor, rows, lists, out, deviation);
    else
        tess_predict_factor_run_lists(predictor, rows, lists, out, deviation);
    for (int64_t i = 0; deviation && i < rows->n; i++) {
        to_deviations(first[i + 1] - first[i], deviation + first[i]);
        if (predictor->scaling)
            tess_scaling_undo_deviation(predictor->scaling, rows->context[i],
                                        first[i + 1] - first[i], lists->readout + first[i],
                                        deviation + first[i]);
    }
}
