/* run_compare.c -- is the model better than what needs no training? */
#include "run_compare.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <math.h>

static const int compared[] = {TESS_READOUT_MEAN, TESS_ADDITIVE, TESS_LINEAR};
#define N_COMPARED ((int)(sizeof compared / sizeof compared[0]))

#define KEPT_BYTES   ((size_t)128 << 20) /* of values: a rank has its own in memory already */
#define BATCH_VALUES ((int64_t)1 << 18) /* predictions of a baseline at a time */

/* Squared errors of one experiment by each baseline, and how many values it has. */
struct squares {
    double sum[N_COMPARED], n;
};

/* Consecutive validation experiments of one context and panel. */
struct batch {
    int64_t first, n, width;
    int64_t *combination, *readout; /* (n), (width) own */
    double *out[TESS_BASELINES]; /* (n, width) own, or NULL */
    uint8_t *fallback; /* own */
};

static void batch_init(struct batch *batch, const struct tess_trainer *trainer, int64_t first)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_dataset *dataset = &trainer->dataset;
    const struct tess_loaded *loaded = &trainer->validation;
    int64_t e = loaded->experiment[first], panel = index->panel[e], most;

    *batch = (struct batch){.first = first, .width = tess_dataset_width(dataset, panel)};
    most = 1 + BATCH_VALUES / (batch->width + 1);
    while (batch->n < most && first + batch->n < loaded->n) {
        int64_t other = loaded->experiment[first + batch->n];

        if (index->panel[other] != panel || index->context_of[other] != index->context_of[e])
            break;
        batch->n++;
    }
    batch->combination = TESS_NEW(int64_t, batch->n);
    batch->readout = TESS_NEW(int64_t, batch->width);
    batch->fallback = TESS_NEW(uint8_t, batch->n * TESS_BASELINES);
    for (int i = 0; i < N_COMPARED; i++)
        batch->out[compared[i]] = TESS_NEW(double, batch->n * batch->width);
    for (int64_t k = 0; k < batch->n; k++)
        batch->combination[k] = index->combination[loaded->experiment[first + k]];
    for (int64_t k = 0; k < batch->width; k++)
        batch->readout[k] =
            index->panel_readout[index->panel_first[panel] +
                                 dataset->panel_column[dataset->panel_first[panel] + k]];
}

static void batch_release(struct batch *batch)
{
    for (int b = 0; b < TESS_BASELINES; b++)
        tess_free(batch->out[b]);
    tess_free(batch->combination);
    tess_free(batch->readout);
    tess_free(batch->fallback);
}

static void add_squares(const struct tess_trainer *trainer, const struct batch *batch,
                        struct squares *squares)
{
    const struct tess_loaded *loaded = &trainer->validation;

    for (int64_t at = 0; at < batch->n * batch->width; at++) {
        int64_t place = batch->first + at / batch->width;
        double y = (double)loaded->value[loaded->value_first[place] + at % batch->width];

        if (isnan(y))
            continue;
        squares[place].n += 1;
        for (int i = 0; i < N_COMPARED; i++) {
            double e = batch->out[compared[i]][at] - y;

            squares[place].sum[i] += e * e;
        }
    }
}

/* This rank's validation experiments. Local. */
static int score(const struct tess_trainer *trainer, struct tess_baselines *baselines,
                 struct squares *squares, struct tess_error *error)
{
    const struct tess_loaded *loaded = &trainer->validation;
    struct batch batch;

    for (int64_t first = 0; first < loaded->n && error->code == TESS_OK; first += batch.n) {
        struct tess_query query;

        batch_init(&batch, trainer, first);
        query = (struct tess_query){trainer->store.index.context_of[loaded->experiment[first]],
                                    batch.n, batch.combination, batch.width, batch.readout};
        if (tess_preempt_signal())
            tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
        else if (tess_baselines_predict(baselines, &query, batch.out, batch.fallback, error) ==
                 TESS_OK)
            add_squares(trainer, &batch, squares);
        batch_release(&batch);
    }
    return error->code;
}

/* In the order of the experiments, on rank 0: ranks hold consecutive ones. Collective. */
static void add_up(const struct tess_trainer *trainer, const struct squares *squares,
                   struct tess_comparison *comparison)
{
    int64_t n = trainer->validation.n, all = 0;
    struct squares *every, total = {{0}, 0};

    MPI_Reduce(&n, &all, 1, MPI_INT64_T, MPI_SUM, 0, trainer->comm);
    every = TESS_NEW(struct squares, all);
    tess_gather(trainer->comm, squares, n, sizeof *squares, every);
    for (int64_t k = 0; k < all; k++) {
        total.n += every[k].n;
        for (int i = 0; i < N_COMPARED; i++)
            total.sum[i] += every[k].sum[i];
    }
    for (int i = 0; i < N_COMPARED; i++)
        comparison->rmse[compared[i]] = total.n > 0 ? sqrt(total.sum[i] / total.n) : NAN;
    MPI_Bcast(comparison->rmse, TESS_BASELINES, MPI_DOUBLE, 0, trainer->comm);
    comparison->made = isfinite(comparison->rmse[compared[0]]);
    tess_free(every);
}

static int compare(const struct tess_trainer *trainer, struct tess_comparison *comparison,
                   struct tess_error *error)
{
    struct tess_baselines_options options = {.stopped = tess_preempt_signal};
    struct tess_profiles profiles;
    struct tess_baselines baselines;
    struct squares *squares = TESS_NEW(struct squares, trainer->validation.n);

    tess_profiles_init(&profiles, &trainer->store, KEPT_BYTES);
    if (tess_baselines_init(&baselines, &profiles, &options, trainer->comm, error) == TESS_OK)
        score(trainer, &baselines, squares, error);
    if (tess_agree(trainer->comm, error) == TESS_OK)
        add_up(trainer, squares, comparison);
    tess_baselines_release(&baselines);
    tess_profiles_release(&profiles);
    tess_free(squares);
    return error->code;
}

/* A training does not end for what cannot be compared: what cannot be read was read before. */
int tess_run_compare(const struct tess_trainer *trainer, struct tess_comparison *comparison,
                     struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;

    *comparison = (struct tess_comparison){0};
    for (int b = 0; b < TESS_BASELINES; b++)
        comparison->rmse[b] = NAN;
    if (tess_index_observed(&trainer->store.index, TESS_VAL) == 0) {
        tess_info("no validation values: the model is not compared with the baselines");
        return TESS_OK;
    }
    if (compare(trainer, comparison, &mine) == TESS_EINTERRUPTED)
        *error = mine;
    else if (mine.code != TESS_OK)
        tess_warn("%s; the model is not compared with the baselines", mine.text);
    return error->code;
}

void tess_run_say_comparison(const struct tess_trainer *trainer,
                             const struct tess_comparison *comparison)
{
    double model = trainer->progress.best_score, best = INFINITY;
    int which = compared[0];
    char *line = tess_format("best validation RMSE %.4f after epoch %lld", model,
                             (long long)trainer->progress.best_epoch);

    for (int i = 0; comparison->made && i < N_COMPARED; i++) {
        double rmse = comparison->rmse[compared[i]];
        char *longer = tess_format(
            "%s%s%s %.4f", line, i ? ", " : "; baselines: ", tess_baseline_name(compared[i]), rmse);

        tess_free(line);
        line = longer;
        if (rmse < best) {
            best = rmse;
            which = compared[i];
        }
    }
    tess_info("%s", line);
    tess_free(line);
    if (comparison->made && model > best)
        tess_warn("the model is worse than the baseline %s (RMSE %.4f, the model's %.4f): try "
                  "data.normalize (zscore, delta), other train.epochs, fewer parameters "
                  "(model.embedding_dim, model.hidden_dim), or more training data",
                  tess_baseline_name(which), best, model);
}
