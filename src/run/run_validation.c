/* run_validation.c -- some validation experiments at a time, with the baselines' predictions. */
#include "run_validation.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/preempt.h"
#include "tessera/trainer.h"

#include <string.h>

#define VISITED_VALUES ((int64_t)1 << 22) /* enough for a weight and an error of three digits */
#define BATCH_VALUES   ((int64_t)1 << 18) /* predictions of a baseline at a time */

int64_t tess_validation_stride(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t values = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == TESS_VAL)
            values += tess_dataset_width(&trainer->dataset, index->panel[e]);
    return 1 + values / VISITED_VALUES;
}

/* This rank's experiments that are visited: those whose number among all of validation is a
 * multiple of the stride. */
struct visited {
    int64_t n, *place;
};

static void visited_init(struct visited *visited, const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t stride = tess_validation_stride(trainer), number = 0, first, end;

    *visited = (struct visited){.place = TESS_NEW(int64_t, trainer->validation.n)};
    tess_trainer_validation(trainer, &first, &end);
    for (int64_t e = 0; e < first; e++)
        number += index->split[e] == TESS_VAL;
    for (int64_t i = 0; i < trainer->validation.n; i++)
        if ((number + i) % stride == 0)
            visited->place[visited->n++] = i;
}

/* Sums of parts are for models that make contexts so. */
static int is_looked_at(const struct tess_trainer *trainer, const struct tess_baselines *baselines,
                        int baseline)
{
    return tess_baselines_have(baselines, baseline) &&
           (baseline != TESS_ADDITIVE_PARTS || trainer->config.model.context_parts);
}

/* Room for what combinations are compared with. */
static void add_combinations(struct tess_validation_batch *batch, const struct tess_index *index,
                             const struct tess_baselines *baselines)
{
    const int64_t *first = index->combination_first;
    int64_t k = 0;

    while (k < batch->n && first[batch->combination[k] + 1] - first[batch->combination[k]] < 2)
        k++;
    if (k == batch->n)
        return;
    for (int i = 0; i < TESS_BLEND_COMPONENTS; i++)
        if (tess_baselines_have(baselines, tess_blend_components[i]))
            batch->out[tess_blend_components[i]] = TESS_NEW(double, batch->n * batch->width);
    batch->out[TESS_NO_PERTURBATION] = TESS_NEW(double, batch->n * batch->width);
}

/* The visited experiments from number `first` on that are of one context and panel. */
static void batch_init(struct tess_validation_batch *batch, const struct tess_trainer *trainer,
                       const struct tess_baselines *baselines, const struct visited *visited,
                       int64_t first)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_dataset *dataset = &trainer->dataset;
    const int64_t *experiment = trainer->validation.experiment;
    int64_t e = experiment[visited->place[first]], panel = index->panel[e], most;

    *batch = (struct tess_validation_batch){.place = visited->place + first,
                                            .context = index->context_of[e],
                                            .width = tess_dataset_width(dataset, panel),
                                            .readout = dataset->panel_readout +
                                                       dataset->panel_first[panel]};
    most = 1 + BATCH_VALUES / (batch->width + 1);
    while (batch->n < most && first + batch->n < visited->n) {
        int64_t other = experiment[batch->place[batch->n]];

        if (index->panel[other] != panel || index->context_of[other] != batch->context)
            break;
        batch->n++;
    }
    batch->combination = TESS_NEW(int64_t, batch->n);
    batch->store_readout = TESS_NEW(int64_t, batch->width);
    batch->fallback = TESS_NEW(uint8_t, batch->n * TESS_BASELINES);
    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        if (is_looked_at(trainer, baselines, tess_blend_baselines[i]))
            batch->out[tess_blend_baselines[i]] = TESS_NEW(double, batch->n * batch->width);
    if (dataset->features[TESS_TABLE_P].k > 0)
        batch->out[TESS_FEATURES] = TESS_NEW(double, batch->n * batch->width);
    for (int64_t k = 0; k < batch->n; k++)
        batch->combination[k] = index->combination[experiment[batch->place[k]]];
    add_combinations(batch, index, baselines);
    for (int64_t k = 0; k < batch->width; k++)
        batch->store_readout[k] =
            index->panel_readout[index->panel_first[panel] +
                                 dataset->panel_column[dataset->panel_first[panel] + k]];
}

static void batch_release(struct tess_validation_batch *batch)
{
    for (int b = 0; b < TESS_BASELINES; b++)
        tess_free(batch->out[b]);
    tess_free(batch->combination);
    tess_free(batch->store_readout);
    tess_free(batch->fallback);
    tess_observed_release(&batch->observed);
}

double tess_validation_value(const struct tess_trainer *trainer,
                             const struct tess_validation_batch *batch, int64_t at)
{
    return (double)tess_observed_row(&batch->observed, trainer,
                                     at / batch->width)[at % batch->width];
}

static int predict(const struct tess_trainer *trainer, struct tess_baselines *baselines,
                   struct tess_validation_batch *batch, struct tess_error *error)
{
    struct tess_query query = {.context = batch->context,
                               .n = batch->n,
                               .combination = batch->combination,
                               .n_readouts = batch->width,
                               .readout = batch->store_readout};

    tess_observed_start(&batch->observed, trainer, batch->n, batch->place, 0, batch->width);
    tess_baselines_predict(baselines, &query, batch->out, batch->fallback, error);
    return tess_observed_finish(&batch->observed, trainer, error);
}

/* This rank's validation experiments. Local. */
static int visit(const struct tess_trainer *trainer, struct tess_baselines *baselines,
                 const struct tess_validation_visitor *visitor, struct tess_error *error)
{
    struct tess_validation_batch batch;
    struct visited visited;

    visited_init(&visited, trainer);
    for (int64_t first = 0; first < visited.n && error->code == TESS_OK; first += batch.n) {
        batch_init(&batch, trainer, baselines, &visited, first);
        if (tess_preempt_signal())
            tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
        else if (predict(trainer, baselines, &batch, error) == TESS_OK)
            visitor->take(visitor->closure, &batch);
        batch_release(&batch);
    }
    tess_free(visited.place);
    return error->code;
}

int tess_validation_visit(const struct tess_trainer *trainer,
                          const struct tess_validation_visitor *visitor, struct tess_error *error)
{
    struct tess_baselines_options options = {.stopped = tess_preempt_signal,
                                             .features = &trainer->dataset.features[TESS_TABLE_P]};
    struct tess_profiles profiles;
    struct tess_baselines baselines;

    tess_profiles_init(&profiles, &trainer->store, TESS_COMPARISON_BYTES);
    if (tess_baselines_init(&baselines, &profiles, &options, trainer->comm, error) == TESS_OK)
        visit(trainer, &baselines, visitor, error);
    tess_agree(trainer->comm, error);
    tess_baselines_release(&baselines);
    tess_profiles_release(&profiles);
    return error->code;
}

/* Ranks hold consecutive experiments. */
void tess_validation_add_up(const struct tess_trainer *trainer, int64_t n, const double *mine,
                            double *sum)
{
    int64_t all = 0;
    double *every;

    MPI_Reduce(&trainer->validation.n, &all, 1, MPI_INT64_T, MPI_SUM, 0, trainer->comm);
    every = TESS_NEW(double, all *n);
    tess_gather(trainer->comm, mine, trainer->validation.n, (size_t)n * sizeof *mine, every);
    memset(sum, 0, (size_t)n * sizeof *sum);
    for (int64_t k = 0; k < all; k++)
        for (int64_t i = 0; i < n; i++)
            sum[i] += every[k * n + i];
    MPI_Bcast(sum, tess_int(n), MPI_DOUBLE, 0, trainer->comm);
    tess_free(every);
}
