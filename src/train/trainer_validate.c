/* trainer_validate.c -- the score that decides: RMSE of the validation experiments. */
#include "tessera/trainer.h"

#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/predictor.h"
#include "tessera/preempt.h"

#include <math.h>
#include <string.h>

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
    tess_predictor_init(&view->predictor, trainer->shape, &trainer->mlp,
                        (struct tess_embeddings){r->n_rows, view->readouts},
                        (struct tess_embeddings){c->n_rows, view->contexts});
    view->predictor.scaling = &trainer->dataset.scaling;
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

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < route->n_serve; i++)
        tess_shard_copy(shard, &trainer->optimizer, route->serve[i], trainer->optimizer.step,
                        serve + i * dim);
    tess_routes_fetch(&trainer->validation_routes, 0, dim, serve, want);
    tess_free(serve);
    return want;
}

/* This rank's validation experiments by panel: places in trainer->validation, and where the entries
 * of each one's members begin. */
struct queue {
    int64_t *place, *entry, n_entries;
};

/* A counting sort by panel, within one in the order of the loaded experiments. */
static void queue_init(struct queue *queue, const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_loaded *loaded = &trainer->validation;
    int64_t *next = TESS_NEW(int64_t, index->n_panels + 1);

    queue->n_entries = 0;
    queue->place = TESS_NEW(int64_t, loaded->n);
    queue->entry = TESS_NEW(int64_t, loaded->n);
    for (int64_t i = 0; i < loaded->n; i++)
        next[index->panel[loaded->experiment[i]] + 1]++;
    for (int64_t p = 0; p < index->n_panels; p++)
        next[p + 1] += next[p];
    for (int64_t i = 0; i < loaded->n; i++) {
        int64_t e = loaded->experiment[i], q = index->combination[e];

        queue->place[next[index->panel[e]]++] = i;
        queue->entry[i] = queue->n_entries;
        queue->n_entries += index->combination_first[q + 1] - index->combination_first[q];
    }
    tess_free(next);
}

static void queue_release(struct queue *queue)
{
    tess_free(queue->place);
    tess_free(queue->entry);
}

/* Some experiments that are predicted together: what the predictor takes of them. The components of
 * their perturbations are listed twice, as numbers of the model and as places in the message that
 * brought their rows. */
struct batch {
    struct tess_predict_rows rows;
    float *p;
    int64_t *first, *number, *context, *component, *slot;
    size_t room; /* of component and slot */
};

static void batch_init(struct batch *batch, int dim)
{
    batch->p = TESS_NEW(float, TESS_VALIDATION_ROWS *dim);
    batch->first = TESS_NEW(int64_t, TESS_VALIDATION_ROWS + 1);
    batch->number = TESS_NEW(int64_t, TESS_VALIDATION_ROWS);
    batch->context = TESS_NEW(int64_t, TESS_VALIDATION_ROWS);
}

static void batch_release(struct batch *batch)
{
    tess_free(batch->p);
    tess_free(batch->first);
    tess_free(batch->number);
    tess_free(batch->context);
    tess_free(batch->component);
    tess_free(batch->slot);
}

/* The experiments [first, first + n) of the queue; `want` holds the rows of their components. */
static void batch_fill(struct batch *batch, const struct tess_trainer *trainer, const float *want,
                       const struct queue *queue, int64_t first, int64_t n)
{
    const struct tess_index *index = &trainer->store.index;
    const int64_t *slot = trainer->validation_routes.step[0].slot;

    for (int64_t i = 0; i < n; i++) {
        int64_t place = queue->place[first + i], e = trainer->validation.experiment[place];
        const int64_t *of = index->combination_first + index->combination[e];
        int64_t size = of[1] - of[0], at = batch->first[i];
        size_t bytes = (size_t)size * sizeof(int64_t), room = batch->room;

        batch->component =
            tess_grow(batch->component, &batch->room, (size_t)(at + size), sizeof(int64_t));
        batch->slot = tess_grow(batch->slot, &room, (size_t)(at + size), sizeof(int64_t));
        memcpy(batch->component + at, index->combination_member + of[0], bytes);
        memcpy(batch->slot + at, slot + queue->entry[place], bytes);
        batch->first[i + 1] = at + size;
        batch->context[i] = index->context_of[e];
    }
    tess_predict_number(&(struct tess_perturbations){n, batch->first, batch->component},
                        batch->number);
    tess_encoder_forward(&trainer->encoder,
                         &(struct tess_perturbations){n, batch->first, batch->slot}, want,
                         batch->p);
    batch->rows = (struct tess_predict_rows){n, batch->p, batch->number, batch->context};
}

/* Squared errors of columns [first, first + n) of one experiment's panel. */
static void score(const struct tess_trainer *trainer, int64_t place, int64_t first, int64_t n,
                  const float *out, double *sum)
{
    const float *y = trainer->validation.value + trainer->validation.value_first[place] + first;

    for (int64_t k = 0; k < n; k++) {
        if (isnan(y[k]))
            continue;
        sum[0] += ((double)out[k] - y[k]) * ((double)out[k] - y[k]);
        sum[1]++;
    }
}

/* One batch: n experiments of one panel, some columns at a time: whole tiles of them, and never
 * none, as rows->n is at most TESS_VALIDATION_ROWS. */
static void score_batch(const struct tess_trainer *trainer, const struct view *view,
                        const struct tess_predict_rows *rows, const int64_t *place, double *sum)
{
    int64_t panel = trainer->store.index.panel[trainer->validation.experiment[place[0]]];
    int64_t width = tess_dataset_width(&trainer->dataset, panel);
    const int64_t *readout = trainer->dataset.panel_readout + trainer->dataset.panel_first[panel];
    int64_t step = TESS_VALIDATION_VALUES / rows->n / TESS_TILE_ROWS * TESS_TILE_ROWS;
    float *out;

    step = step < width ? step : width;
    out = TESS_NEW(float, rows->n *step);
    for (int64_t first = 0; first < width && !tess_preempt_signal(); first += step) {
        int64_t n = width - first < step ? width - first : step;

        tess_predictor_run(&view->predictor, rows, n, readout + first, out);
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < rows->n; i++)
            score(trainer, place[i], first, n, out + i * n, sum + 2 * place[i]);
    }
    tess_free(out);
}

/* sum (validation.n, 2): squared error and count of each experiment of this rank. */
static void score_all(const struct tess_trainer *trainer, const float *want, double *sum)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_loaded *loaded = &trainer->validation;
    struct batch batch = {.p = NULL};
    struct queue queue;
    struct view view;

    view_init(&view, trainer);
    queue_init(&queue, trainer);
    batch_init(&batch, trainer->shape.dim);
    for (int64_t first = 0, end; first < loaded->n && !tess_preempt_signal(); first = end) {
        int64_t panel = index->panel[loaded->experiment[queue.place[first]]];

        for (end = first + 1; end < loaded->n && end < first + TESS_VALIDATION_ROWS; end++)
            if (index->panel[loaded->experiment[queue.place[end]]] != panel)
                break;
        batch_fill(&batch, trainer, want, &queue, first, end - first);
        score_batch(trainer, &view, &batch.rows, queue.place + first, sum);
    }
    batch_release(&batch);
    queue_release(&queue);
    view_release(&view);
}

/* Sums in the order of the experiments, on rank 0; ranks hold consecutive ones. So the score has
 * the same bits on any number of ranks; a reduction over ranks would not. */
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
    /* In place: entry c is written after 2c and 2c + 1 are read, and nothing below them is read
     * again. */
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
    double *sum = TESS_NEW(double, 2 * trainer->validation.n), started = tess_clock(), seconds;
    float *want = fetch_members(trainer);
    int asked;

    score_all(trainer, want, sum);
    seconds = tess_clock() - started;
    asked = tess_preempt_signal() != 0;
    MPI_Allreduce(MPI_IN_PLACE, &asked, 1, MPI_INT, MPI_MAX, trainer->comm);
    if (!asked)
        *score = add_up(trainer, sum, context);
    tess_debug("rank 0 validated on %lld values in %.3f s: %.1f k/s",
               (long long)trainer->validation.value_first[trainer->validation.n], seconds,
               1e-3 * (double)trainer->validation.value_first[trainer->validation.n] / seconds);
    tess_free(want);
    tess_free(sum);
    return asked ? TESS_EINTERRUPTED : TESS_OK;
}
