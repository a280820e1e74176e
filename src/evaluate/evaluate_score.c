/* evaluate_score.c -- this rank's experiments against the model, the baselines and themselves. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

static int64_t n_folds(const struct tess_evaluation *evaluation, int64_t unit)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t n = 0;

    for (int64_t k = profiles->row_first[unit]; k < profiles->row_first[unit + 1]; k++) {
        int64_t e = profiles->row[k], own = index->fold_first[e + 1] - index->fold_first[e];

        n += own ? own : 1;
    }
    return n;
}

int tess_evaluate_has_folds(const struct tess_evaluation *evaluation, int64_t i)
{
    return n_folds(evaluation, evaluation->unit[i]) > 1;
}

/* The folds of a unit: its rows' own, and a row that has none is one itself. */
static int read_folds(const struct tess_evaluation *evaluation, int64_t unit,
                      struct tess_folds *folds, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[unit]), at = 0;
    int64_t n = n_folds(evaluation, unit);
    float *row;

    *folds = (struct tess_folds){.n = n, .n_panel = width};
    folds->replicates = TESS_NEW(int64_t, n);
    folds->value = TESS_NEW(float, n *width);
    row = TESS_NEW(float, width);
    for (int64_t k = profiles->row_first[unit]; k < profiles->row_first[unit + 1]; k++) {
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

void tess_held_out_release(struct tess_held_out *held_out)
{
    tess_free(held_out->value);
    tess_free(held_out->left_out);
    tess_free(held_out->target);
    tess_free(held_out->targets);
    tess_free(held_out->control_noise);
    *held_out = (struct tess_held_out){0};
}

/* The readouts that are targets of experiment i: target (width), of zeroes. */
static void find_targets(const struct tess_evaluation *evaluation, int64_t i, uint8_t *target)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t context = context_of(evaluation, i), width = tess_profiles_width(profiles, context);
    int64_t combination = profiles->combination[evaluation->unit[i]];

    for (int64_t k = index->combination_first[combination];
         k < index->combination_first[combination + 1]; k++)
        for (int64_t r = 0; r < width; r++)
            target[r] |= (uint8_t)tess_is_target(
                index->perturbation.symbol[index->combination_member[k]],
                index->readout.symbol[profiles->readout[profiles->readout_first[context] + r]]);
}

static void held_out_targets(struct tess_held_out *held_out,
                             const struct tess_evaluation *evaluation)
{
    int64_t n = held_out->end - held_out->begin, width = held_out->width;

#pragma omp parallel for schedule(dynamic) num_threads(evaluation->n_threads)
    for (int64_t i = 0; i < n; i++)
        find_targets(evaluation, held_out->begin + i, held_out->target + i * width);
    held_out->targets = TESS_NEW(uint8_t, width);
    for (int64_t i = 0; i < n * width; i++)
        held_out->targets[i % width] |= held_out->target[i];
}

/* Of the control's training replicates, where the context has several. */
static int read_control_noise(struct tess_held_out *held_out,
                              const struct tess_evaluation *evaluation, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t control = index->control < 0 ? -1 : tess_index_find(index, 1, &index->control);
    int64_t unit =
        control < 0 ? -1 : tess_profiles_find(profiles, held_out->context, control, TESS_TRAIN);
    struct tess_folds folds;

    if (unit < 0 || n_folds(evaluation, unit) < 2)
        return TESS_OK;
    if (read_folds(evaluation, unit, &folds, error) == TESS_OK) {
        held_out->control_noise = TESS_NEW(double, held_out->width);
        tess_folds_noise(&folds, held_out->control_noise);
    }
    tess_free(folds.value);
    tess_free(folds.replicates);
    return error->code;
}

/* All of the context, other ranks' experiments too: a prediction must find its own among them, and
 * scores must not depend on who computes them. Kept for the next chunk. */
static int held_out_read(struct tess_held_out *held_out, struct tess_evaluation *evaluation,
                         int64_t at, struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = context_of(evaluation, at), width = tess_profiles_width(profiles, context);
    int64_t begin = at, end = at + 1;

    if (held_out->value && held_out->context == context)
        return TESS_OK;
    tess_held_out_release(held_out);
    while (begin > 0 && context_of(evaluation, begin - 1) == context)
        begin--;
    while (end < evaluation->n && context_of(evaluation, end) == context)
        end++;
    *held_out =
        (struct tess_held_out){.context = context, .begin = begin, .end = end, .width = width};
    held_out->left_out = TESS_NEW(int64_t, end - begin);
    held_out->value = tess_alloc_large((size_t)((end - begin) * width), sizeof(float),
                                       "a context's held-out profiles", error);
    held_out->target = tess_alloc_large((size_t)((end - begin) * width), sizeof(uint8_t),
                                        "a context's targets", error);
    if (error->code != TESS_OK ||
        tess_profiles_read(profiles, end - begin, evaluation->unit + begin, held_out->value,
                           error) != TESS_OK)
        return error->code;
    for (int64_t i = begin; i < end; i++)
        held_out->left_out[i - begin] = tess_evaluate_mask(evaluation, evaluation->unit[i],
                                                           held_out->value + (i - begin) * width);
    held_out_targets(held_out, evaluation);
    return read_control_noise(held_out, evaluation, error);
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

void tess_evaluate_batch_release(struct tess_evaluate_batch *batch)
{
    for (int m = 0; m < TESS_METHODS; m++)
        tess_free(batch->value[m]);
    tess_free(batch->fallback);
}

int tess_evaluate_batch_init(struct tess_evaluate_batch *batch, struct tess_evaluation *evaluation,
                             int64_t begin, int64_t end, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = context_of(evaluation, begin), n = end - begin;
    int64_t width = tess_profiles_width(profiles, context), *combination = TESS_NEW(int64_t, n);
    struct tess_query query = {.context = context,
                               .n = n,
                               .combination = combination,
                               .n_readouts = width,
                               .readout = profiles->readout + profiles->readout_first[context]};
    int has_model = evaluation->has_model;

    *batch = (struct tess_evaluate_batch){.begin = begin, .end = end};
    batch->fallback = TESS_NEW(uint8_t, n * TESS_BASELINES);
    for (int m = 0; m < evaluation->n_methods; m++)
        batch->value[m] = TESS_NEW(double, n *width);
    for (int64_t i = 0; i < n; i++)
        combination[i] = profiles->combination[evaluation->unit[begin + i]];
    if (!has_model ||
        tess_evaluate_predict(evaluation, begin, end, batch->value[0], NULL, error) == TESS_OK)
        tess_baselines_predict(&evaluation->baselines, &query, batch->value + has_model,
                               batch->fallback, error);
    tess_free(combination);
    return error->code;
}

/* The first method that predicts the same, or `method` itself. */
static int first_alike(const struct tess_evaluate_batch *batch, int64_t at, int64_t width,
                       int method)
{
    for (int m = 0; m < method; m++)
        if (memcmp(batch->value[m] + at, batch->value[method] + at,
                   (size_t)width * sizeof(double)) == 0)
            return m;
    return method;
}

/* Sums are taken of values less the global mean (the same for all), against cancellation. Where one
 * method says the same as an earlier one (it fell back to it), so are their scores. */
static void score_experiment(const struct tess_evaluation *evaluation,
                             const struct tess_evaluate_batch *batch,
                             const struct tess_held_out *held_out, int64_t i,
                             struct tess_evaluate_chunk *chunk)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    const double *control = baselines->control[held_out->context];
    const double *mean = baselines->mean[held_out->context];
    double shift = isnan(baselines->global_mean) ? 0 : baselines->global_mean;
    int64_t width = held_out->width, at = (i - batch->begin) * width;
    uint8_t *silent = silent_of(evaluation, i);
    struct tess_scores *score = chunk->score + (i - chunk->begin) * evaluation->n_methods;
    struct tess_noise noise = {chunk->noise + at, held_out->control_noise,
                               held_out->target + (i - held_out->begin) * width};
    struct tess_measured truth;
    struct tess_candidates candidates = {.n = held_out->end - held_out->begin,
                                         .n_panel = width,
                                         .own = i - held_out->begin,
                                         .measured = held_out->value,
                                         .excluded =
                                             held_out->target + (i - held_out->begin) * width,
                                         .targets = held_out->targets,
                                         .reference = control ? control : mean,
                                         .silent = silent};

    tess_measured_init(&truth, width, held_out->value + (i - held_out->begin) * width, control,
                       mean);
    truth.noise = &noise;
    for (int m = 0; m < evaluation->n_methods; m++) {
        int baseline = m - evaluation->has_model, like = first_alike(batch, at, width, m);

        if (like < m)
            score[m] = score[like];
        else {
            tess_measured_score(&truth, batch->value[m] + at, shift, &score[m]);
            tess_candidates_score(&candidates, batch->value[m] + at, &score[m]);
        }
        score[m].fallback =
            baseline >= 0 && batch->fallback[(i - batch->begin) * TESS_BASELINES + baseline];
    }
    tess_measured_release(&truth);
    tess_free(silent);
}

int tess_evaluate_score(struct tess_evaluation *evaluation, struct tess_held_out *held_out,
                        struct tess_evaluate_chunk *chunk, struct tess_error *error)
{
    struct tess_evaluate_batch batch;

    if (held_out_read(held_out, evaluation, chunk->begin, error) != TESS_OK)
        return error->code;
    if (tess_evaluate_batch_init(&batch, evaluation, chunk->begin, chunk->end, error) == TESS_OK) {
#pragma omp parallel for schedule(dynamic) num_threads(evaluation->n_threads)
        for (int64_t k = chunk->begin; k < chunk->end; k++)
            score_experiment(evaluation, &batch, held_out, k, chunk);
    }
    tess_evaluate_batch_release(&batch);
    return error->code;
}

/* Readouts that the model says nothing about are left out of the folds as well: the ceiling is of
 * what is scored. A halving's random numbers go by the unit, not by its place among the scored. */
static int halve(const struct tess_evaluation *evaluation, int64_t i, double *noise,
                 struct tess_scores *score, struct tess_error *error)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    double shift = isnan(baselines->global_mean) ? 0 : baselines->global_mean;
    int64_t context = context_of(evaluation, i), unit = evaluation->unit[i];
    struct tess_change_reference reference = {baselines->control[context], baselines->mean[context],
                                              shift};
    struct tess_folds folds;

    if (read_folds(evaluation, unit, &folds, error) == TESS_OK) {
        for (int64_t k = 0; k < folds.n; k++)
            tess_evaluate_mask(evaluation, unit, folds.value + k * folds.n_panel);
        tess_folds_noise(&folds, noise);
#pragma omp parallel for schedule(dynamic) num_threads(evaluation->n_threads)
        for (int64_t h = 0; h < evaluation->options.n_halvings; h++)
            tess_ceiling_score(
                &folds, &reference,
                (struct tess_halving){evaluation->options.seed, (uint64_t)h, (uint64_t)unit},
                &score[h]);
    }
    tess_free(folds.value);
    tess_free(folds.replicates);
    return error->code;
}

int tess_evaluate_halve(struct tess_evaluation *evaluation, struct tess_evaluate_chunk *chunk,
                        struct tess_error *error)
{
    int64_t width =
        tess_profiles_width(&evaluation->profiles, context_of(evaluation, chunk->begin));
    int64_t halved = 0;

    for (int64_t i = chunk->begin; i < chunk->end && error->code == TESS_OK; i++) {
        double *noise = chunk->noise + (i - chunk->begin) * width;

        if (tess_evaluate_has_folds(evaluation, i))
            halve(evaluation, i, noise, chunk->half + halved++ * evaluation->options.n_halvings,
                  error);
        else
            for (int64_t k = 0; k < width; k++)
                noise[k] = NAN;
    }
    return error->code;
}
