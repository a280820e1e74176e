/* evaluate_score.c -- this rank's experiments against the model, the baselines and themselves. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <math.h>
#include <string.h>

#define BATCH_VALUES ((int64_t)1 << 20) /* values of a method's predictions at a time */

/* The measured profiles of all scored experiments of a context: (end - begin, width). */
struct measured {
    int64_t context, begin, end, width; /* experiments begin … end - 1 of the evaluation */
    float *value; /* own */
};

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

/* All of the context, other ranks' experiments too: a prediction must find its own among them, and
 * scores must not depend on who computes them. A copy: the profiles may leave the cache. */
static int measured_init(struct measured *measured, struct tess_evaluation *evaluation, int64_t at,
                         struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = context_of(evaluation, at);
    const float *value = tess_profiles_read(profiles, context, error);

    *measured = (struct measured){context, at, at, tess_profiles_width(profiles, context), NULL};
    while (measured->begin > 0 && context_of(evaluation, measured->begin - 1) == context)
        measured->begin--;
    while (measured->end < evaluation->n && context_of(evaluation, measured->end) == context)
        measured->end++;
    measured->value = tess_alloc_large((size_t)(measured->end - measured->begin),
                                       (size_t)measured->width * sizeof(float),
                                       "a context's held-out profiles", error);
    for (int64_t i = measured->begin; error->code == TESS_OK && i < measured->end; i++) {
        float *row = measured->value + (i - measured->begin) * measured->width;

        memcpy(row,
               value + (evaluation->unit[i] - profiles->context_first[context]) * measured->width,
               (size_t)measured->width * sizeof *row);
        tess_evaluate_mask(evaluation, evaluation->unit[i], row);
    }
    return error->code;
}

static uint8_t *targets_of(const struct tess_evaluation *evaluation, int64_t i)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t context = context_of(evaluation, i), width = tess_profiles_width(profiles, context);
    int64_t combination = profiles->combination[evaluation->unit[i]];
    uint8_t *target = TESS_NEW(uint8_t, width);

    for (int64_t k = index->combination_first[combination];
         k < index->combination_first[combination + 1]; k++)
        for (int64_t r = 0; r < width; r++)
            target[r] |= (uint8_t)tess_is_target(
                index->perturbation.symbol[index->combination_member[k]],
                index->readout.symbol[profiles->readout[profiles->readout_first[context] + r]]);
    return target;
}

/* What the predictions file leaves out of experiment i; NULL: nothing can be left out. */
static uint8_t *silent_of(const struct tess_evaluation *evaluation, int64_t i)
{
    int64_t width = tess_profiles_width(&evaluation->profiles, context_of(evaluation, i));
    const float *row;
    uint8_t *silent;

    if (!evaluation->has_model || !evaluation->predicted)
        return NULL;
    row = evaluation->predicted + evaluation->first[evaluation->unit[i]];
    silent = TESS_NEW(uint8_t, width);
    for (int64_t k = 0; k < width; k++)
        silent[k] = (uint8_t)isnan(row[k]);
    return silent;
}

struct batch {
    int64_t begin, end;
    double *value[TESS_METHODS]; /* (end - begin, width) by method; own */
    uint8_t *fallback; /* (end - begin, TESS_BASELINES); own */
};

static void batch_release(struct batch *batch)
{
    for (int m = 0; m < TESS_METHODS; m++)
        tess_free(batch->value[m]);
    tess_free(batch->fallback);
}

static int batch_init(struct batch *batch, struct tess_evaluation *evaluation, int64_t begin,
                      int64_t end, struct tess_error *error)
{
    int64_t context = context_of(evaluation, begin), n = end - begin;
    size_t size = (size_t)(n * tess_profiles_width(&evaluation->profiles, context));
    int has_model = evaluation->has_model;

    *batch = (struct batch){.begin = begin, .end = end};
    batch->fallback = TESS_NEW(uint8_t, n * TESS_BASELINES);
    for (int m = 0; m < evaluation->n_methods; m++)
        batch->value[m] = TESS_NEW(double, size);
    if (has_model)
        tess_evaluate_predict(evaluation, begin, end, batch->value[0]);
    return tess_baselines_predict(&evaluation->baselines,
                                  (struct tess_units){context, n, evaluation->unit + begin},
                                  batch->value + has_model, batch->fallback, error);
}

/* Sums are taken of values less the global mean (the same for all), against cancellation. */
static void score_experiment(const struct tess_evaluation *evaluation, const struct batch *batch,
                             const struct measured *measured, int64_t i, struct tess_scores *score)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    const double *control = baselines->control[measured->context];
    const double *mean = baselines->mean[measured->context];
    double shift = isnan(baselines->global_mean) ? 0 : baselines->global_mean;
    const float *own = measured->value + (i - measured->begin) * measured->width;
    int64_t n_candidates = measured->end - measured->begin;
    uint8_t *target = targets_of(evaluation, i), *silent = silent_of(evaluation, i);
    struct tess_measured truth;
    struct tess_candidates candidates = {n_candidates,    measured->width, i - measured->begin,
                                         measured->value, target,          control ? control : mean,
                                         silent};

    tess_measured_init(&truth, measured->width, own, control, mean);
    for (int m = 0; m < evaluation->n_methods; m++) {
        const double *predicted = batch->value[m] + (i - batch->begin) * measured->width;
        int baseline = m - evaluation->has_model;

        tess_measured_score(&truth, predicted, shift, &score[m]);
        tess_candidates_score(&candidates, predicted, &score[m]);
        if (baseline >= 0)
            score[m].fallback = batch->fallback[(i - batch->begin) * TESS_BASELINES + baseline];
    }
    tess_measured_release(&truth);
    tess_free(target);
    tess_free(silent);
}

/* Some experiments of one context, score (·, n_methods) those of the first and the following. */
static int score_batch(struct tess_evaluation *evaluation, const struct measured *measured,
                       int64_t begin, int64_t end, struct tess_scores *score,
                       struct tess_error *error)
{
    struct batch batch;

    if (batch_init(&batch, evaluation, begin, end, error) == TESS_OK) {
#pragma omp parallel for schedule(dynamic) num_threads(evaluation->n_threads)
        for (int64_t k = begin; k < end; k++)
            score_experiment(evaluation, &batch, measured, k,
                             score + (k - begin) * evaluation->n_methods);
    }
    batch_release(&batch);
    return error->code;
}

/* Context by context, as experiments are ordered, and in batches of bounded memory. */
int tess_evaluate_score(struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                        struct tess_scores *score, struct tess_error *error)
{
    int n_methods = evaluation->n_methods;
    struct tess_progress progress;

    tess_progress_init(&progress, "scoring", "experiments", end - begin);
    for (int64_t at = begin, stop; at < end && error->code == TESS_OK; at = stop) {
        struct measured measured;

        stop = end;
        if (measured_init(&measured, evaluation, at, error) == TESS_OK && measured.end < end)
            stop = measured.end;
        for (int64_t i = at, next; i < stop && error->code == TESS_OK; i = next) {
            next = i + 1 + BATCH_VALUES / (measured.width + 1);
            next = next < stop ? next : stop;
            score_batch(evaluation, &measured, i, next, score + (i - begin) * n_methods, error);
            tess_progress_show(&progress, next - begin);
        }
        tess_free(measured.value);
    }
    tess_progress_release(&progress);
    return error->code;
}

/* The folds of a unit: its rows' own, and a row that has none is one itself. */
static int read_folds(const struct tess_evaluation *evaluation, int64_t unit,
                      struct tess_folds *folds, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[unit]), n = 0, at = 0;
    float *row;

    for (int64_t k = profiles->row_first[unit]; k < profiles->row_first[unit + 1]; k++) {
        int64_t e = profiles->row[k], own = index->fold_first[e + 1] - index->fold_first[e];

        n += own ? own : 1;
    }
    *folds = (struct tess_folds){.n = n, .n_panel = width};
    folds->replicates = TESS_NEW(int64_t, n);
    folds->value = TESS_NEW(float, n *width);
    row = TESS_NEW(float, width);
    for (int64_t k = profiles->row_first[unit]; n > 1 && k < profiles->row_first[unit + 1]; k++) {
        int64_t e = profiles->row[k], fold = index->fold_first[e];
        int64_t own = index->fold_first[e + 1] - fold;

        for (int64_t j = 0; j < (own ? own : 1) && error->code == TESS_OK; j++, at++) {
            folds->replicates[at] = own ? index->fold_replicates[fold + j] : index->n_replicates[e];
            if (own)
                tess_store_read_folds(evaluation->store, fold + j, 1, row, error);
            else
                tess_store_read_values(evaluation->store, e, 1, row, error);
            tess_profiles_spread(profiles, e, row, folds->value + at * width);
        }
    }
    tess_free(row);
    return error->code;
}

/* Readouts that the model says nothing about are left out of the folds as well: the ceiling is of
 * what is scored. A halving's random numbers go by the unit, not by its place among the scored. */
int tess_evaluate_halve(struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                        struct tess_scores *score, struct tess_error *error)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    double shift = isnan(baselines->global_mean) ? 0 : baselines->global_mean;

    for (int64_t i = begin; i < end && error->code == TESS_OK; i++) {
        int64_t context = context_of(evaluation, i), n = evaluation->options.n_halvings;
        uint64_t number = (uint64_t)evaluation->unit[i];
        struct tess_change_reference reference = {baselines->control[context],
                                                  baselines->mean[context], shift};
        struct tess_folds folds;

        if (read_folds(evaluation, evaluation->unit[i], &folds, error) == TESS_OK) {
            for (int64_t k = 0; k < folds.n; k++)
                tess_evaluate_mask(evaluation, evaluation->unit[i],
                                   folds.value + k * folds.n_panel);
#pragma omp parallel for schedule(dynamic) num_threads(evaluation->n_threads)
            for (int64_t h = 0; h < n; h++)
                tess_ceiling_score(
                    &folds, &reference,
                    (struct tess_halving){evaluation->options.seed, (uint64_t)h, number},
                    &score[(i - begin) * n + h]);
        }
        tess_free(folds.value);
        tess_free(folds.replicates);
    }
    return error->code;
}
