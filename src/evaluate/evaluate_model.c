/* evaluate_model.c -- what is scored beside the baselines: a model's predictions, or a file's. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/model.h"

#include <math.h>

/* The number of each of the store's symbols in the model, -1 where it was not trained on. */
static int64_t *match(const struct tess_vocab *store, const struct tess_vocab *model,
                      const uint8_t *trained)
{
    int64_t *number = TESS_NEW(int64_t, store->n);

    for (int64_t i = 0; i < store->n; i++) {
        number[i] = tess_vocab_find(model, store->symbol[i]);
        if (number[i] >= 0 && !trained[number[i]])
            number[i] = -1;
    }
    return number;
}

static int64_t *match_perturbations(const struct tess_evaluation *evaluation)
{
    return match(&evaluation->store->index.perturbation, &evaluation->model->perturbation,
                 evaluation->model->trained_perturbation);
}

static int64_t context_in_model(const struct tess_evaluation *evaluation, int64_t context)
{
    const struct tess_model *model = evaluation->model;
    int64_t number =
        tess_vocab_find(&model->context, evaluation->store->index.context.symbol[context]);

    return number >= 0 && model->trained_context[number] ? number : -1;
}

void tess_evaluate_known(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                         uint8_t *keep)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t *number = match_perturbations(evaluation);

    evaluation->readout_of =
        match(&index->readout, &evaluation->model->readout, evaluation->model->trained_readout);
    for (int64_t i = 0; i < n; i++) {
        int64_t combination = profiles->combination[unit[i]],
                context = profiles->context_of[unit[i]];

        keep[i] = 0;
        if (context_in_model(evaluation, context) < 0)
            continue;
        for (int64_t k = profiles->readout_first[context];
             k < profiles->readout_first[context + 1] && !keep[i]; k++)
            keep[i] = evaluation->readout_of[profiles->readout[k]] >= 0;
        for (int64_t k = index->combination_first[combination];
             k < index->combination_first[combination + 1]; k++)
            keep[i] = keep[i] && number[index->combination_member[k]] >= 0;
    }
    tess_free(number);
}

/* Does the model, or the file, say something about the unit's k-th readout? */
static int speaks(const struct tess_evaluation *evaluation, int64_t unit, int64_t k)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = profiles->context_of[unit];

    if (evaluation->predicted)
        return !isnan(evaluation->predicted[evaluation->first[unit] + k]);
    return evaluation->readout_of[profiles->readout[profiles->readout_first[context] + k]] >= 0;
}

int64_t tess_evaluate_spoken(const struct tess_evaluation *evaluation, int64_t unit)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[unit]), n = 0;

    for (int64_t k = 0; k < width; k++)
        n += speaks(evaluation, unit, k);
    return n;
}

int64_t tess_evaluate_mask(const struct tess_evaluation *evaluation, int64_t unit, float *measured)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[unit]), masked = 0;

    for (int64_t k = 0; evaluation->has_model && k < width; k++)
        if (!isnan(measured[k]) && !speaks(evaluation, unit, k)) {
            measured[k] = NAN;
            masked++;
        }
    return masked;
}

static void predict_model(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                          double *out)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t context = profiles->context_of[evaluation->unit[begin]], n = end - begin, known = 0;
    int64_t width = tess_profiles_width(profiles, context), n_members = 0;
    int64_t *number = match_perturbations(evaluation), *first = TESS_NEW(int64_t, n + 1), *member;
    int64_t *contexts = TESS_NEW(int64_t, n), *readout = TESS_NEW(int64_t, width);
    int64_t *place = TESS_NEW(int64_t, width);
    float *value;

    for (int64_t i = 0; i < n; i++) {
        int64_t combination = profiles->combination[evaluation->unit[begin + i]];

        contexts[i] = context_in_model(evaluation, context);
        first[i + 1] = first[i] + index->combination_first[combination + 1] -
                       index->combination_first[combination];
    }
    member = TESS_NEW(int64_t, first[n]);
    for (int64_t i = 0; i < n; i++) {
        int64_t combination = profiles->combination[evaluation->unit[begin + i]];

        for (int64_t k = 0; k < first[i + 1] - first[i]; k++)
            member[n_members++] =
                number[index->combination_member[index->combination_first[combination] + k]];
    }
    for (int64_t k = 0; k < width; k++) {
        readout[known] =
            evaluation->readout_of[profiles->readout[profiles->readout_first[context] + k]];
        place[known] = k;
        known += readout[known] >= 0;
    }
    value = TESS_NEW(float, n *known);
    tess_model_predict(evaluation->model, &(struct tess_rows){n, first, member, contexts}, known,
                       readout, value, NULL);
    for (int64_t i = 0; i < n * known; i++)
        out[i / known * width + place[i % known]] = (double)value[i];
    tess_free(value);
    tess_free(member);
    tess_free(contexts);
    tess_free(readout);
    tess_free(place);
    tess_free(first);
    tess_free(number);
}

void tess_evaluate_predict(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                           double *out)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[evaluation->unit[begin]]);

    for (int64_t i = begin; i < end; i++) {
        const float *row = evaluation->predicted
                               ? evaluation->predicted + evaluation->first[evaluation->unit[i]]
                               : NULL;

        for (int64_t k = 0; k < width; k++)
            out[(i - begin) * width + k] = row ? (double)row[k] : NAN;
    }
    if (!evaluation->predicted)
        predict_model(evaluation, begin, end, out);
}
