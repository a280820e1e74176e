/* evaluate_model.c -- what is scored beside the baselines: a model's predictions, or a file's. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/choice.h"
#include "tessera/error.h"
#include "tessera/model.h"

#include <math.h>

/* What another store has and the model does not, it may make of parts: on every rank alike. */
static void make_further(const struct tess_evaluation *evaluation, enum tess_embedding table,
                         const struct tess_vocab *symbols, struct tess_mapping *mapping)
{
    const struct tess_choice choice = tess_choice_of(evaluation->model, table);

    for (int64_t i = 0; i < symbols->n; i++)
        if (mapping->to[i] < 0 && tess_vocab_find(choice.vocab, symbols->symbol[i]) < 0)
            mapping->to[i] = choice.maker.make(choice.maker.closure, symbols->symbol[i]);
}

static void map_symbols(struct tess_evaluation *evaluation)
{
    const struct tess_index *index = &evaluation->store->index;
    const struct tess_model *model = evaluation->model;

    tess_mapping_init(&evaluation->perturbation, &index->perturbation, &model->perturbation,
                      model->trained_perturbation);
    tess_mapping_init(&evaluation->readout, &index->readout, &model->readout,
                      model->trained_readout);
    tess_mapping_init(&evaluation->context, &index->context, &model->context,
                      model->trained_context);
    make_further(evaluation, TESS_TABLE_P, &index->perturbation, &evaluation->perturbation);
    make_further(evaluation, TESS_TABLE_C, &index->context, &evaluation->context);
    tess_model_share((struct tess_model *)(uintptr_t)model, evaluation->comm);
}

void tess_evaluate_known(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                         uint8_t *keep)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;

    map_symbols(evaluation);
    for (int64_t i = 0; i < n; i++) {
        int64_t combination = profiles->combination[unit[i]],
                context = profiles->context_of[unit[i]];

        keep[i] = 0;
        if (evaluation->context.to[context] < 0)
            continue;
        for (int64_t k = profiles->readout_first[context];
             k < profiles->readout_first[context + 1] && !keep[i]; k++)
            keep[i] = evaluation->readout.to[profiles->readout[k]] >= 0;
        for (int64_t k = index->combination_first[combination];
             k < index->combination_first[combination + 1]; k++)
            keep[i] = keep[i] && evaluation->perturbation.to[index->combination_member[k]] >= 0;
    }
}

/* Does the model, or the file, say something about the unit's k-th readout? */
static int speaks(const struct tess_evaluation *evaluation, int64_t unit, int64_t k)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = profiles->context_of[unit];

    if (evaluation->predicted)
        return !isnan(evaluation->predicted[evaluation->first[unit] + k]);
    return evaluation->readout.to[profiles->readout[profiles->readout_first[context] + k]] >= 0;
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

/* Only readouts that the model was trained on are asked for; their values are spread over the
 * context's panel, whose other places are NaN already. All experiments are of one context. */
static int predict_model(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                         double *out, double *deviation, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t of = profiles->context_of[evaluation->unit[begin]], n = end - begin, known = 0;
    int64_t width = tess_profiles_width(profiles, of);
    int64_t *readout = TESS_NEW(int64_t, width), *place = TESS_NEW(int64_t, width);
    int64_t *context = TESS_NEW(int64_t, n);
    struct tess_sets members = {0};
    float *value, *apart;

    for (int64_t i = 0; i < n; i++) {
        int64_t combination = profiles->combination[evaluation->unit[begin + i]];
        const int64_t *first = index->combination_first + combination;

        TESS_BUG_IF(!tess_mapping_add_set(&evaluation->perturbation, first[1] - first[0],
                                          index->combination_member + first[0], &members));
        context[i] = evaluation->context.to[of];
    }
    for (int64_t k = 0; k < width; k++) {
        readout[known] = evaluation->readout.to[profiles->readout[profiles->readout_first[of] + k]];
        place[known] = k;
        known += readout[known] >= 0;
    }
    value = TESS_NEW(float, n *known);
    apart = deviation ? TESS_NEW(float, n *known) : NULL;
    tess_blender_predict(
        &evaluation->blender, &(struct tess_rows){n, members.first, members.member, context},
        &(struct tess_model_columns){
            .n_readouts = known, .readout = readout, .out = value, .deviation = apart},
        error);
    for (int64_t i = 0; i < n * known; i++) {
        int64_t at = i / known * width + place[i % known];

        out[at] = (double)value[i];
        if (deviation)
            deviation[at] = (double)apart[i];
    }
    tess_sets_release(&members);
    tess_free(value);
    tess_free(apart);
    tess_free(context);
    tess_free(readout);
    tess_free(place);
    return error->code;
}

int tess_evaluate_predict(const struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                          double *out, double *deviation, struct tess_error *error)
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
    return evaluation->predicted ? error->code
                                 : predict_model(evaluation, begin, end, out, deviation, error);
}
