/* trainer_validate.c -- the score that decides: RMSE of the validation experiments. */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/observed.h"
#include "tessera/predictor.h"
#include "tessera/preempt.h"

#include <math.h>
#include <string.h>

/* The predictor at the current step: whole tables of readouts and contexts on every rank. */
struct view {
    struct tess_predictor predictor;
    float *readouts, *contexts; /* vectors */
};

/* The vectors of all symbols of a table, (n, D); own of the caller. Collective. */
static float *gather_vectors(const struct tess_trainer *trainer, enum tess_embedding table)
{
    const struct tess_shard *shard = &trainer->shard[table];
    const struct tess_composition *composition = &trainer->dataset.composition[table];
    float *row = TESS_NEW(float, shard->n_rows * shard->dim), *vector;

    tess_shard_gather(shard, tess_optimizer_of(&trainer->optimizer, (int)table),
                      trainer->optimizer.step, row);
    if (!composition->first)
        return row;
    vector = TESS_NEW(float, composition->n * shard->dim);
    tess_composition_vectors(composition, shard->dim, row, vector);
    tess_free(row);
    return vector;
}

static void view_init(struct view *view, const struct tess_trainer *trainer)
{
    const struct tess_composition *composition = trainer->dataset.composition;

    view->readouts = gather_vectors(trainer, TESS_TABLE_R);
    view->contexts = gather_vectors(trainer, TESS_TABLE_C);
    tess_predictor_init(&view->predictor, trainer->shape, &trainer->mlp,
                        tess_precision_is_low(TESS_PRECISION_AUTO),
                        (struct tess_embeddings){composition[TESS_TABLE_R].n, view->readouts},
                        (struct tess_embeddings){composition[TESS_TABLE_C].n, view->contexts});
    view->predictor.scaling = &trainer->dataset.scaling;
}

static void view_release(struct view *view)
{
    tess_predictor_release(&view->predictor);
    tess_free(view->readouts);
    tess_free(view->contexts);
}

/* Rows of the components of this rank's validation experiments. Collective. */
static float *fetch_members(const struct tess_trainer *trainer)
{
    const struct tess_shard *shard = &trainer->shard[TESS_TABLE_P];
    const struct tess_route_step *route = &trainer->validation_routes.step[0];
    int dim = shard->dim;
    float *serve = TESS_NEW(float, route->n_serve *dim),
          *want = TESS_NEW(float, route->n_want *dim);

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < route->n_serve; i++)
        tess_shard_copy(shard, tess_optimizer_of(&trainer->optimizer, TESS_TABLE_P),
                        route->serve[i], trainer->optimizer.step,
                        tess_route_place(route, i, dim, serve, want));
    tess_routes_fetch(&trainer->validation_routes, 0, dim, serve, want);
    tess_free(serve);
    return want;
}

/* from[0 .. n) sorted by key[from[i]] (below n_keys), stable: a counting sort. */
static void sort_by(int64_t n, const int64_t *from, int64_t n_keys, const int64_t *key, int64_t *to)
{
    int64_t *next = TESS_NEW(int64_t, n_keys + 1);

    for (int64_t i = 0; i < n; i++)
        next[key[i] + 1]++;
    for (int64_t k = 0; k < n_keys; k++)
        next[k + 1] += next[k];
    for (int64_t i = 0; i < n; i++)
        to[next[key[from[i]]]++] = from[i];
    tess_free(next);
}

/* This rank's validation experiments, places in trainer->validation, in the order in which they are
 * predicted; own of the caller. By panel, within one by combination: what a batch computes of a
 * perturbation serves all of its contexts, where these stand on the right of a dot product. */
static int64_t *queue_up(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_loaded *loaded = &trainer->validation;
    int64_t *panel = TESS_NEW(int64_t, loaded->n), *combination = TESS_NEW(int64_t, loaded->n);
    int64_t *order = TESS_NEW(int64_t, loaded->n), *place = TESS_NEW(int64_t, loaded->n);

    for (int64_t i = 0; i < loaded->n; i++) {
        place[i] = i;
        panel[i] = index->panel[loaded->experiment[i]];
        combination[i] = index->combination[loaded->experiment[i]];
    }
    sort_by(loaded->n, place, index->n_combinations, combination, order);
    sort_by(loaded->n, order, index->n_panels, panel, place);
    tess_free(panel);
    tess_free(combination);
    tess_free(order);
    return place;
}

/* Some experiments that are predicted together: what the predictor takes of them. Their
 * perturbations are listed twice, as numbers of components and as rows of the message that brought
 * what these are made of. */
struct batch {
    struct tess_predict_rows rows;
    float *p;
    int64_t *first, *number, *context, *component;
    size_t room; /* of component */
    struct tess_mix mix;
    struct tess_observed observed;
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
    tess_mix_release(&batch->mix);
    tess_observed_release(&batch->observed);
}

/* The experiments place[0 .. n); `want` holds the rows of their components. */
static void batch_fill(struct batch *batch, const struct tess_trainer *trainer, const float *want,
                       const int64_t *place, int64_t n)
{
    const struct tess_index *index = &trainer->store.index;
    const int64_t *slot = trainer->validation_routes.step[0].slot;
    struct tess_perturbations vectors;

    tess_mix_clear(&batch->mix);
    for (int64_t i = 0; i < n; i++) {
        int64_t e = trainer->validation.experiment[place[i]];
        const int64_t *of = index->combination_first + index->combination[e];
        int64_t size = of[1] - of[0], at = batch->first[i];

        batch->component =
            tess_grow(batch->component, &batch->room, (size_t)(at + size), sizeof(int64_t));
        memcpy(batch->component + at, index->combination_member + of[0],
               (size_t)size * sizeof(int64_t));
        tess_mix_add(&batch->mix, &trainer->dataset.composition[TESS_TABLE_P], &trainer->encoder,
                     size, batch->component + at);
        batch->first[i + 1] = at + size;
        batch->context[i] = index->context_of[e];
    }
    for (int64_t k = 0; n > 0 && k < batch->mix.first[n]; k++)
        batch->mix.row[k] = slot[trainer->validation_entry[batch->mix.row[k]]];
    vectors = tess_mix_of(&batch->mix);
    tess_predict_number(&(struct tess_perturbations){n, batch->first, batch->component, NULL},
                        batch->number);
    tess_encoder_forward(&trainer->encoder, &vectors, want, batch->p);
    batch->rows = (struct tess_predict_rows){n, batch->p, batch->number, batch->context};
}

/* Squared errors of n values of one experiment. */
static void score(int64_t n, const float *y, const float *out, double *sum)
{
    for (int64_t k = 0; k < n; k++) {
        if (isnan(y[k]))
            continue;
        sum[0] += ((double)out[k] - y[k]) * ((double)out[k] - y[k]);
        sum[1]++;
    }
}

/* One batch: n experiments of one panel, some columns at a time: whole tiles of them, and never
 * none, as rows->n is at most TESS_VALIDATION_ROWS. */
static int score_batch(const struct tess_trainer *trainer, const struct view *view,
                       struct batch *batch, const int64_t *place, double *sum,
                       struct tess_error *error)
{
    const struct tess_predict_rows *rows = &batch->rows;
    int64_t panel = trainer->store.index.panel[trainer->validation.experiment[place[0]]];
    int64_t width = tess_dataset_width(&trainer->dataset, panel);
    const int64_t *readout = trainer->dataset.panel_readout + trainer->dataset.panel_first[panel];
    int64_t step = TESS_VALIDATION_VALUES / rows->n / TESS_TILE_ROWS * TESS_TILE_ROWS;
    float *out;

    step = step < width ? step : width;
    out = TESS_NEW(float, rows->n *step);
    for (int64_t first = 0; first < width && !tess_preempt_signal(); first += step) {
        int64_t n = width - first < step ? width - first : step;

        tess_observed_start(&batch->observed, trainer, rows->n, place, first, n);
        tess_predictor_run(&view->predictor, rows, n, readout + first, out, NULL);
        if (tess_observed_finish(&batch->observed, trainer, error) != TESS_OK)
            break;
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < rows->n; i++)
            score(n, tess_observed_row(&batch->observed, trainer, i), out + i * n,
                  sum + 2 * place[i]);
    }
    tess_free(out);
    return error->code;
}

/* sum (validation.n, 2): squared error and count of each experiment of this rank. */
static void score_all(const struct tess_trainer *trainer, const float *want, double *sum,
                      struct tess_error *error)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_loaded *loaded = &trainer->validation;
    struct batch batch = {.p = NULL};
    int64_t *place = queue_up(trainer);
    struct view view;

    view_init(&view, trainer);
    batch_init(&batch, trainer->shape.dim);
    for (int64_t first = 0, end;
         first < loaded->n && !tess_preempt_signal() && error->code == TESS_OK; first = end) {
        int64_t panel = index->panel[loaded->experiment[place[first]]];

        for (end = first + 1; end < loaded->n && end < first + TESS_VALIDATION_ROWS; end++)
            if (index->panel[loaded->experiment[place[end]]] != panel)
                break;
        batch_fill(&batch, trainer, want, place + first, end - first);
        score_batch(trainer, &view, &batch, place + first, sum, error);
    }
    batch_release(&batch);
    tess_free(place);
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

int tess_trainer_validate(struct tess_trainer *trainer, double *score, double *context,
                          struct tess_error *error)
{
    double *sum = TESS_NEW(double, 2 * trainer->validation.n), started = tess_clock(), seconds;
    float *want = fetch_members(trainer);
    int asked;

    tess_trainer_forget_window(trainer); /* none is on its way but where steps are measured */
    score_all(trainer, want, sum, error);
    seconds = tess_clock() - started;
    asked = tess_preempt_signal() != 0;
    MPI_Allreduce(MPI_IN_PLACE, &asked, 1, MPI_INT, MPI_MAX, trainer->comm);
    if (tess_agree(trainer->comm, error) == TESS_OK && !asked)
        *score = add_up(trainer, sum, context);
    tess_debug("rank 0 validated on %lld values in %.3f s: %.1f k/s",
               (long long)trainer->validation.value_first[trainer->validation.n], seconds,
               1e-3 * (double)trainer->validation.value_first[trainer->validation.n] / seconds);
    tess_free(want);
    tess_free(sum);
    return error->code == TESS_OK && asked ? TESS_EINTERRUPTED : error->code;
}
