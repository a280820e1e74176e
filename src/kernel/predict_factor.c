/* predict_factor.c -- left vectors once a row, then values by products of fixed shape. */
#include "predict_factor.h"

#include "factor.h"
#include "fused.h"
#include "predict_bins.h"
#include "predict_scratch.h"

#include "tessera/alloc.h"

#include <string.h>

#define ROWS    TESS_PREDICT_ROWS
#define COLUMNS TESS_PREDICT_COLUMNS

/* A call on its way. */
struct call {
    const struct tess_predictor *p;
    const struct tess_predict_rows *rows;
    int64_t n_readouts;
    const int64_t *readout;
    float *out;
    float *noise; /* (n_blocks, ROWS) w_s · a + b_s of each place; NULL: not asked for; own */
    int64_t n_blocks, *place; /* (n_blocks, ROWS) row or -1 */
    /* The readouts asked for, by blocks of the model's: `n_panels` blocks have any; of panel b
     * those are asked[panel_first[b] .. panel_first[b + 1]), places in `readout`. */
    int64_t n_panels, *panel, *panel_first, *asked;
};

/* A counting sort by block. */
static void find_panels(struct call *call)
{
    int64_t blocks = (call->p->n_readouts + COLUMNS - 1) / COLUMNS, n = 0;
    int64_t *first = TESS_NEW(int64_t, blocks + 1), *next = TESS_NEW(int64_t, blocks);

    for (int64_t k = 0; k < call->n_readouts; k++)
        first[call->readout[k] / COLUMNS + 1]++;
    call->panel = TESS_NEW(int64_t, blocks);
    call->panel_first = TESS_NEW(int64_t, blocks + 1);
    call->asked = TESS_NEW(int64_t, call->n_readouts);
    for (int64_t b = 0; b < blocks; b++) {
        if (first[b + 1] > 0) {
            call->panel[n++] = b;
            call->panel_first[n] = first[b] + first[b + 1];
        }
        next[b] = first[b];
        first[b + 1] += first[b];
    }
    call->n_panels = n;
    for (int64_t k = 0; k < call->n_readouts; k++)
        call->asked[next[call->readout[k] / COLUMNS]++] = k;
    tess_free(first);
    tess_free(next);
}

/* Left vectors of one block of places; of empty ones those of a row of zeroes in context 0. */
static void make_left(const struct call *call, int64_t block)
{
    const struct tess_predictor *p = call->p;
    struct tess_predict_part *s = tess_predict_scratch_part(p);
    const int64_t *place = call->place + block * ROWS;
    int alone = p->shape.right == TESS_TABLE_C;

    tess_predict_scratch_project(p, call->rows, place);
    for (int32_t i = 0; i < ROWS; i++) {
        s->u[i] = i;
        s->v[i] = place[i] >= 0 && !alone ? (int32_t)call->rows->context[place[i]] : 0;
    }
    tess_factor_left(&p->mlp,
                     &(struct tess_factor_rows){ROWS, s->u, s->v, s->pp,
                                                alone ? p->mlp.b1 : p->context, p->gate},
                     &s->work, p->scratch->left + block * ROWS * p->shape.factors);
    if (call->noise)
        memcpy(call->noise + block * ROWS, s->work.dout, ROWS * sizeof *call->noise);
}

/* Outputs of one row and one panel to their places: together where they lie side by side. */
static void put_row(const struct call *call, int64_t row, int64_t panel, const float *from)
{
    const int64_t *asked = call->asked + call->panel_first[panel];
    int64_t n = call->panel_first[panel + 1] - call->panel_first[panel];
    float *to = call->out + row * call->n_readouts;

    for (int64_t k = 0, run; k < n; k += run) {
        int64_t first = asked[k], column = call->readout[first];

        for (run = 1; k + run < n; run++)
            if (asked[k + run] != first + run || call->readout[first + run] != column + run)
                break;
        memcpy(to + first, from + column % COLUMNS, (size_t)run * sizeof *to);
        if (call->p->scaling)
            tess_scaling_undo(call->p->scaling, call->rows->context[row], run,
                              call->readout + first, to + first);
    }
}

/* Where the outputs of a whole block of places and a whole panel lie side by side in `out`: their
 * first, else NULL. */
static float *together(const struct call *call, const int64_t *place, int64_t panel)
{
    const int64_t *asked = call->asked + call->panel_first[panel];
    int64_t n = call->panel_first[panel + 1] - call->panel_first[panel];

    if (n != COLUMNS || place[0] < 0 || call->n_readouts > INT32_MAX)
        return NULL;
    for (int64_t k = 0; k < COLUMNS; k++)
        if (asked[k] != asked[0] + k || call->readout[asked[k]] != call->panel[panel] * COLUMNS + k)
            return NULL;
    for (int64_t i = 0; i < ROWS; i++)
        if (place[i] != place[0] + i)
            return NULL;
    return call->out + place[0] * call->n_readouts + asked[0];
}

static void multiply(const struct call *call, int64_t block, int64_t panel)
{
    const struct tess_predictor *p = call->p;
    struct tess_predict_part *s = tess_predict_scratch_part(p);
    const int64_t *place = call->place + block * ROWS;
    float *at = together(call, place, panel);
    int K = p->shape.factors;

    tess_predict_scratch_multiply(p, p->scratch->left + block * ROWS * K,
                                  p->right + call->panel[panel] * COLUMNS * K, at ? at : s->out,
                                  at ? call->n_readouts : 0);
    for (int i = 0; i < ROWS; i++)
        if (!at && place[i] >= 0)
            put_row(call, place[i], panel, s->out + (int64_t)i * COLUMNS);
        else if (at && p->scaling)
            tess_scaling_undo(p->scaling, call->rows->context[place[i]], COLUMNS,
                              call->readout + (at - call->out) % call->n_readouts,
                              at + i * call->n_readouts);
}

/* Blocks of rows first, panels within: a block's left vectors stay in the cache. */
static void run_products(struct call *call)
{
    find_panels(call);
#pragma omp parallel for schedule(dynamic) num_threads(call->p->scratch->n_threads)
    for (int64_t i = 0; i < call->n_blocks * call->n_panels; i++)
        multiply(call, i / call->n_panels, i % call->n_panels);
    tess_free(call->panel);
    tess_free(call->panel_first);
    tess_free(call->asked);
}

static int same_perturbation(const struct call *call, int64_t i, int64_t k)
{
    const struct tess_predict_rows *rows = call->rows;
    size_t D = (size_t)call->p->shape.dim;

    return rows->number[i] == rows->number[k] &&
           memcmp(rows->p + i * (int64_t)D, rows->p + k * (int64_t)D, D * sizeof *rows->p) == 0;
}

/* Where contexts stand on the right: each perturbation's vector once, however many contexts it is
 * asked for in. same[i]: the first row with the perturbation of row i; first[0 .. return): those.
 */
static int64_t distinct(const struct call *call, int64_t *same, int64_t *first)
{
    int64_t n = call->rows->n, size = 1, found = 0, *slot;

    while (size < 2 * n)
        size *= 2;
    slot = TESS_NEW(int64_t, size); /* row + 1; 0: empty */
    for (int64_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)call->rows->number[i] * 0x9E3779B97F4A7C15U >> 20;

        for (at &= (uint64_t)size - 1; slot[at] && !same_perturbation(call, i, slot[at] - 1);)
            at = (at + 1) & ((uint64_t)size - 1);
        if (!slot[at]) {
            slot[at] = i + 1;
            first[found++] = i;
        }
        same[i] = slot[at] - 1;
    }
    tess_free(slot);
    return found;
}

/* Where each row's left vector stands in scratch->left; own of the caller. */
static int64_t *vectors_of(const struct call *call)
{
    int64_t *vector = TESS_NEW(int64_t, call->rows->n);

    for (int64_t k = 0; k < call->n_blocks * ROWS; k++)
        if (call->place[k] >= 0)
            vector[call->place[k]] = k;
    return vector;
}

/* Values pair by pair: the product of a row's left vector and its context's right one. */
static void run_pairs(struct call *call, const int64_t *same)
{
    const struct tess_predictor *p = call->p;
    int64_t K = p->shape.factors, *vector = vectors_of(call);

#pragma omp parallel for schedule(static) num_threads(p->scratch->n_threads)
    for (int64_t i = 0; i < call->rows->n; i++) {
        int64_t context = call->rows->context[i];
        float value =
            tess_fused_dot((int)K, p->scratch->left + vector[same[i]] * K, p->right + context * K);

        for (int64_t k = 0; k < call->n_readouts; k++) /* the only readout, however often */
            call->out[i * call->n_readouts + k] = value;
        if (p->scaling)
            tess_scaling_undo(p->scaling, context, call->n_readouts, call->readout,
                              call->out + i * call->n_readouts);
    }
    tess_free(vector);
}

/* Left vectors of rows row[0 .. n) (NULL: of all). */
static void make_all_left(struct call *call, int64_t n, const int64_t *row, int noise)
{
    const struct tess_predictor *p = call->p;

    call->n_blocks = tess_predict_scratch_seats(p, call->rows, n, row, &call->place);
    if (noise)
        call->noise = TESS_NEW(float, call->n_blocks *ROWS);
    tess_predict_scratch_reserve(p->scratch, (size_t)(call->n_blocks * ROWS * p->shape.factors));
#pragma omp parallel for schedule(dynamic) num_threads(p->scratch->n_threads)
    for (int64_t b = 0; b < call->n_blocks; b++)
        make_left(call, b);
}

/* s of row i and the k-th of its readouts: of the left side, whose vector stands at `vector`, and
 * of what stands on the right. */
static float noise_of(const struct call *call, int64_t vector, int64_t i, int64_t readout)
{
    int alone = call->p->shape.right == TESS_TABLE_C;

    return call->noise[vector] + call->p->noise[alone ? call->rows->context[i] : readout];
}

void tess_predict_factor_run(const struct tess_predictor *predictor,
                             const struct tess_predict_rows *rows, int64_t n_readouts,
                             const int64_t *readout, float *out, float *s)
{
    struct call call = {
        .p = predictor, .rows = rows, .n_readouts = n_readouts, .readout = readout, .out = out};
    int64_t *same = NULL, *first = NULL, n = rows->n;

    if (rows->n == 0 || n_readouts == 0)
        return;
    if (predictor->shape.right == TESS_TABLE_C) {
        same = TESS_NEW(int64_t, rows->n);
        first = TESS_NEW(int64_t, rows->n);
        n = distinct(&call, same, first);
    }
    make_all_left(&call, n, first, s != NULL);
    if (same)
        run_pairs(&call, same);
    else
        run_products(&call);
    if (s) {
        int64_t *vector = vectors_of(&call);

        for (int64_t i = 0; i < rows->n; i++)
            for (int64_t k = 0; k < n_readouts; k++)
                s[i * n_readouts + k] = noise_of(&call, vector[same ? same[i] : i], i, readout[k]);
        tess_free(vector);
    }
    tess_free(call.noise);
    tess_free(call.place);
    tess_free(same);
    tess_free(first);
}

/* Where contexts stand on the right there is one readout: its values, however often asked for. */
static void run_alone(const struct tess_predictor *p, const struct tess_predict_rows *rows,
                      const struct tess_predict_lists *lists, float *out, float *s)
{
    float *value = TESS_NEW(float, 2 * rows->n), *noise = value + rows->n;

    tess_predict_factor_run(p, rows, 1, &(int64_t){0}, value, s ? noise : NULL);
    for (int64_t i = 0; i < rows->n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++)
            out[k] = value[i];
    for (int64_t i = 0; s && i < rows->n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++)
            s[k] = noise[i];
    tess_free(value);
}

void tess_predict_factor_run_lists(const struct tess_predictor *predictor,
                                   const struct tess_predict_rows *rows,
                                   const struct tess_predict_lists *lists, float *out, float *s)
{
    struct call call = {.p = predictor, .rows = rows};
    int64_t *vector;

    if (rows->n == 0)
        return;
    if (predictor->shape.right == TESS_TABLE_C) { /* in the store's units */
        run_alone(predictor, rows, lists, out, s);
        return;
    }
    make_all_left(&call, rows->n, NULL, s != NULL);
    vector = vectors_of(&call);
    for (int64_t i = 0; s && i < rows->n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++)
            s[k] = noise_of(&call, vector[i], i, lists->readout[k]);
    tess_predict_bins_run(predictor, rows->n, vector, lists, out);
    tess_predict_scratch_undo(predictor, rows, lists, out);
    tess_free(vector);
    tess_free(call.noise);
    tess_free(call.place);
}
