/* evaluate.c -- which experiments are scored, by whom, and what they make together. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/model.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

static int is_trained(const struct tess_evaluation *evaluation)
{
    return tess_index_observed(&evaluation->store->index, TESS_TRAIN) > 0;
}

const char *tess_evaluate_excuse(const struct tess_evaluation *evaluation,
                                 const struct tess_group *group, int baseline)
{
    int silent = group->fallbacks[evaluation->has_model + baseline] == group->n;

    if (isnan(evaluation->baselines.global_mean) &&
        (silent || baseline != TESS_NO_PERTURBATION || !is_trained(evaluation)))
        return "no training experiment but control has a measured value";
    return silent ? tess_baseline_excuse(baseline) : NULL;
}

int tess_evaluate_epistasis_says(const struct tess_evaluation *evaluation, int method)
{
    int baseline = method - evaluation->has_model;

    if (method < evaluation->has_model || method == evaluation->n_methods)
        return 1;
    return tess_baselines_have(&evaluation->baselines, baseline) &&
           !tess_evaluate_excuse(evaluation, &evaluation->group[0], baseline);
}

/* Without a model and without training data there is nothing to score. */
static int check_any(const struct tess_evaluation *evaluation, struct tess_error *error)
{
    if (evaluation->has_model || is_trained(evaluation))
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: no training experiment has a measured value: the baselines have "
                          "nothing to learn from; see 'tessera split'",
                          evaluation->store->h5.path);
}

/* Is the model blended with a baseline of this store? Collective. */
static int open_blender(struct tess_evaluation *evaluation, struct tess_error *error)
{
    enum tess_blend_choice choice = evaluation->options.blend;

    if (!evaluation->has_model || evaluation->predicted)
        return TESS_OK;
    if (tess_blender_open(&evaluation->blender, evaluation->model, choice, evaluation->comm,
                          error) == TESS_OK)
        tess_blender_check(&evaluation->blender, evaluation->store, choice, error);
    return error->code;
}

/* What is learned for the contexts that have something to score. Collective. */
static int learn(struct tess_evaluation *evaluation, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    uint8_t *scored = TESS_NEW(uint8_t, profiles->n_contexts);

    for (int64_t i = 0; i < evaluation->n; i++)
        scored[profiles->context_of[evaluation->unit[i]]] = 1;
    if (evaluation->model)
        tess_model_features(evaluation->model, &evaluation->store->index.perturbation,
                            &evaluation->features);
    tess_baselines_init(
        &evaluation->baselines, &evaluation->profiles,
        &(struct tess_baselines_options){.nearest_in = scored, .features = &evaluation->features},
        evaluation->comm, error);
    if (error->code == TESS_OK && evaluation->blender.active)
        tess_blender_join(&evaluation->blender, &evaluation->baselines);
    tess_free(scored);
    return error->code;
}

int tess_evaluate_begin(struct tess_evaluation *evaluation, const struct tess_store *store,
                        struct tess_model *model, const struct tess_evaluate_options *options,
                        int always, struct tess_error *error)
{
    MPI_Comm comm = evaluation->comm;
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    *evaluation =
        (struct tess_evaluation){.store = store, .model = model, .options = *options, .comm = comm};
    /* Several ranks share their host's cores: threads only if they are asked for. */
    evaluation->n_threads = n_ranks > 1 && !getenv("OMP_NUM_THREADS") ? 1 : omp_get_max_threads();
    evaluation->chunk = TESS_EVALUATE_CHUNK;
    evaluation->model_source = tess_strdup(options->predictions ? options->predictions
                                           : model              ? model->path
                                                                : "");
    /* Some are read before it is known how many may be kept. */
    tess_profiles_init(&evaluation->profiles, store,
                       options->memory > 0 ? (size_t)fmin(TESS_PROFILES_BYTES, options->memory / 8)
                                           : TESS_PROFILES_BYTES);
    if (tess_evaluate_choose(evaluation, error) == TESS_OK &&
        (!always || tess_evaluate_plan(evaluation, model, error) == TESS_OK) &&
        open_blender(evaluation, error) == TESS_OK && (always || evaluation->blender.active))
        learn(evaluation, error);
    return error->code;
}

int tess_evaluate_run(struct tess_evaluation *evaluation, const struct tess_store *store,
                      struct tess_model *model, const struct tess_evaluate_options *options,
                      MPI_Comm comm, struct tess_error *error)
{
    evaluation->comm = comm;
    if (tess_evaluate_begin(evaluation, store, model, options, 1, error) == TESS_OK &&
        check_any(evaluation, error) == TESS_OK &&
        tess_evaluate_stratify(evaluation, error) == TESS_OK &&
        tess_evaluate_groups(evaluation, error) == TESS_OK &&
        tess_evaluate_epistasis(evaluation, error) == TESS_OK &&
        tess_evaluate_spread(evaluation, error) == TESS_OK)
        tess_evaluate_score_spread(evaluation);
    return error->code;
}

void tess_evaluate_release(struct tess_evaluation *evaluation)
{
    for (int64_t g = 0; g < evaluation->n_groups && evaluation->group; g++)
        tess_bootstrap_release(&evaluation->group[g].outcome);
    for (int s = 0; s < TESS_STRATA && evaluation->stratum; s++)
        tess_bootstrap_release(&evaluation->stratum[s].outcome);
    for (int64_t i = 0; i < evaluation->n_pairs; i++)
        tess_bootstrap_release(&evaluation->pair[i].outcome);
    tess_free(evaluation->pair);
    tess_blender_release(&evaluation->blender);
    tess_baselines_release(&evaluation->baselines);
    if (evaluation->store)
        tess_profiles_release(&evaluation->profiles);
    tess_strings_release(&evaluation->unscored);
    tess_free(evaluation->unit);
    tess_free(evaluation->no_model);
    tess_free(evaluation->model_source);
    tess_free(evaluation->n_unscored);
    tess_mapping_release(&evaluation->perturbation);
    tess_mapping_release(&evaluation->readout);
    tess_mapping_release(&evaluation->context);
    tess_free(evaluation->features.value);
    tess_free(evaluation->first);
    tess_free(evaluation->predicted);
    tess_free(evaluation->group);
    tess_bootstrap_release(&evaluation->epistasis.outcome);
    tess_free(evaluation->epistasis.synergy);
    tess_free(evaluation->epistasis.antagonism);
    tess_free(evaluation->known);
    tess_free(evaluation->strength);
    tess_free(evaluation->change);
    tess_free(evaluation->stratum);
    tess_free(evaluation->spread.error);
    tess_free(evaluation->spread.deviation);
    tess_free(evaluation->spread.value);
    *evaluation = (struct tess_evaluation){0};
}
