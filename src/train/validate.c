/* validate.c -- the score that decides: RMSE of the validation experiments. */
#include "tessera/trainer.h"

#include "tessera/alloc.h"
#include "tessera/combine.h"
#include "tessera/error.h"
#include "tessera/predictor.h"
#include "tessera/preempt.h"

#include <math.h>
#include <string.h>

#define BATCH 1024 /* experiments predicted at a time */

/* The predictor at the current step: whole tables of readouts and contexts on every rank. */
struct view {
    struct tess_predictor predictor;
    float *readouts, *contexts;
};

static void view_init(struct view *view, const struct tess_trainer *trainer)
{
    const struct tess_shard *r = &trainer->shard[TESS_TABLE_R], *c = &trainer->shard[TESS_TABLE_C];
    int64_t step = trainer->optimizer.step;

    view->readouts = TESS_NEW(float, r->n_rows * r->dim);
    view->contexts = TESS_NEW(float, c->n_rows * c->dim);
    tess_shard_gather(r, &trainer->optimizer, step, view->readouts);
    tess_shard_gather(c, &trainer->optimizer, step, view->contexts);
    tess_predictor_init(&view->predictor, trainer->shape, &trainer->mlp, view->readouts, r->n_rows,
                        view->contexts, c->n_rows);
}

static void view_release(struct view *view)
{
    tess_predictor_release(&view->predictor);
    tess_free(view->readouts);
    tess_free(view->contexts);
}

/* Members of this rank's validation experiments, one entry each. Collective. */
static float *fetch_members(const struct tess_trainer *trainer)
{
    const struct tess_shard *shard = &trainer->shard[TESS_TABLE_P];
    const struct tess_route_step *route = &trainer->validation_routes.step[0];
    int dim = shard->dim;
    float *serve = TESS_NEW(float, route->n_serve *dim),
          *want = TESS_NEW(float, route->n_want *dim);

    for (int64_t i = 0; i < route->n_serve; i++)
        tess_shard_copy(shard, &trainer->optimizer, route->serve[i], trainer->optimizer.step,
                        serve + i * dim);
    tess_routes_fetch(&trainer->validation_routes, 0, dim, serve, want);
    tess_free(serve);
    return want;
}

/* Combined vector, slot number and context of each experiment in [first, end). */
static void collect(const struct tess_trainer *trainer, const float *want, int64_t first,
                    int64_t end, int64_t *entry, struct tess_predict_rows *rows)
{
    const struct tess_index *index = &trainer->store.index;
    int dim = trainer->shape.dim;
    float *p = TESS_NEW(float, (end - first) * dim);
    int64_t *number = TESS_NEW(int64_t, end - first), *context = TESS_NEW(int64_t, end - first);

    for (int64_t i = first; i < end; i++) {
        int64_t e = trainer->validation.experiment[i], q = index->combination[e];
        int32_t n = (int32_t)(index->combination_first[q + 1] - index->combination_first[q]);
        int32_t *member = TESS_NEW(int32_t, n);

        for (int32_t k = 0; k < n; k++) {
            member[k] = tess_int(trainer->validation_routes.step[0].slot[(*entry)++]);
            number[i - first] += index->combination_member[index->combination_first[q] + k];
        }
        tess_combine((int)trainer->config.model.combination, dim, 1, (int32_t[]){0, n}, member,
                     want, p + (i - first) * dim);
        context[i - first] = index->context_of[e];
        tess_free(member);
    }
    *rows = (struct tess_predict_rows){end - first, p, number, context};
}

/* Squared errors of one experiment, in the store's units. */
static void score(const struct tess_trainer *trainer, int64_t i, const float *out, double *sum)
{
    const struct tess_dataset *dataset = &trainer->dataset;
    int64_t e = trainer->validation.experiment[i], panel = trainer->store.index.panel[e];
    int64_t context = trainer->store.index.context_of[e], first = dataset->panel_first[panel];
    const float *y = trainer->validation.value + trainer->validation.value_first[i];

    sum[0] = sum[1] = 0;
    for (int64_t k = 0; k < tess_dataset_width(dataset, panel); k++) {
        int64_t at = context * dataset->readout.n + dataset->panel_readout[first + k];
        float x = dataset->shift ? dataset->shift[at] + dataset->scale[at] * out[k] : out[k];

        if (isnan(y[k]))
            continue;
        sum[0] += ((double)x - y[k]) * ((double)x - y[k]);
        sum[1]++;
    }
}

/* sum (validation.n, 2): squared error and count of each experiment of this rank. */
static void score_all(const struct tess_trainer *trainer, const float *want, double *sum)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_loaded *loaded = &trainer->validation;
    struct tess_predict_rows rows;
    int64_t entry = 0;
    struct view view;

    view_init(&view, trainer);
    for (int64_t first = 0, end; first < loaded->n && !tess_preempt_signal(); first = end) {
        int64_t panel = index->panel[loaded->experiment[first]];
        int64_t width = tess_dataset_width(&trainer->dataset, panel);
        float *out;

        for (end = first + 1; end < loaded->n && end < first + BATCH; end++)
            if (index->panel[loaded->experiment[end]] != panel)
                break;
        out = TESS_NEW(float, (end - first) * width);
        collect(trainer, want, first, end, &entry, &rows);
        tess_predictor_run(&view.predictor, &rows, width,
                           trainer->dataset.panel_readout + trainer->dataset.panel_first[panel],
                           out);
        for (int64_t i = first; i < end; i++)
            score(trainer, i, out + (i - first) * width, sum + 2 * i);
        tess_free((void *)(uintptr_t)rows.p);
        tess_free((void *)(uintptr_t)rows.number);
        tess_free((void *)(uintptr_t)rows.context);
        tess_free(out);
    }
    view_release(&view);
}

/* Sums in the order of the experiments, on rank 0; ranks hold consecutive ones. */
static double add_up(const struct tess_trainer *trainer, const double *sum, double *context)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t n_contexts = index->context.n, at = 0;
    int n = tess_int(2 * trainer->validation.n), *count = TESS_NEW(int, trainer->n_ranks);
    int *first = TESS_NEW(int, trainer->n_ranks + 1);
    double *square = TESS_NEW(double, 2 * (n_contexts + 1)), *all, overall;

    MPI_Gather(&n, 1, MPI_INT, count, 1, MPI_INT, 0, trainer->comm);
    for (int r = 0; r < trainer->n_ranks; r++)
        first[r + 1] = first[r] + count[r];
    all = TESS_NEW(double, first[trainer->n_ranks]);
    MPI_Gatherv(sum, n, MPI_DOUBLE, all, count, first, MPI_DOUBLE, 0, trainer->comm);
    for (int64_t e = 0; trainer->rank == 0 && e < index->n_experiments; e++)
        if (index->split[e] == TESS_VAL) {
            for (int k = 0; k < 2; k++) {
                square[2 * index->context_of[e] + k] += all[2 * at + k];
                square[2 * n_contexts + k] += all[2 * at + k];
            }
            at++;
        }
    for (int64_t c = 0; c <= n_contexts; c++)
        square[c] = square[2 * c + 1] > 0 ? sqrt(square[2 * c] / square[2 * c + 1]) : NAN;
    MPI_Bcast(square, tess_int(n_contexts + 1), MPI_DOUBLE, 0, trainer->comm);
    if (context)
        memcpy(context, square, (size_t)n_contexts * sizeof *context);
    tess_free(count);
    tess_free(first);
    tess_free(all);
    overall = square[n_contexts];
    tess_free(square);
    return overall;
}

int tess_trainer_validate(struct tess_trainer *trainer, double *score, double *context)
{
    double *sum = TESS_NEW(double, 2 * trainer->validation.n);
    float *want = fetch_members(trainer);
    int asked;

    score_all(trainer, want, sum);
    asked = tess_preempt_signal() != 0;
    MPI_Allreduce(MPI_IN_PLACE, &asked, 1, MPI_INT, MPI_MAX, trainer->comm);
    if (!asked)
        *score = add_up(trainer, sum, context);
    tess_free(want);
    tess_free(sum);
    return asked ? TESS_EINTERRUPTED : TESS_OK;
}
