/* evaluate.c -- which experiments are scored, by whom, and what they make together. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/model.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* The groups: all, and each context with scored experiments. */
static void find_groups(struct tess_evaluation *evaluation)
{
    const struct tess_profiles *profiles = &evaluation->profiles;

    evaluation->group = TESS_NEW(struct tess_group, profiles->n_contexts + 1);
    evaluation->group[0].context = -1;
    evaluation->group[0].n = evaluation->n;
    evaluation->n_groups = 1;
    for (int64_t i = 0; i < evaluation->n; i++) {
        int64_t context = profiles->context_of[evaluation->unit[i]];

        if (i == 0 || profiles->context_of[evaluation->unit[i - 1]] != context)
            evaluation->group[evaluation->n_groups++].context = context;
        evaluation->group[evaluation->n_groups - 1].n++;
    }
}

/* Scores of all experiments are in the order of the contexts: the first group is all of them, each
 * following one the next part. */
static void summarize(struct tess_evaluation *evaluation)
{
    int n_methods = evaluation->n_methods;
    int64_t *perturbation = TESS_NEW(int64_t, evaluation->n), first = 0;

    for (int64_t i = 0; i < evaluation->n; i++)
        perturbation[i] = evaluation->profiles.combination[evaluation->unit[i]];
    for (int64_t g = 0; g < evaluation->n_groups; g++) {
        struct tess_group *group = &evaluation->group[g];
        const struct tess_scores *score = evaluation->score + first * n_methods;
        struct tess_sample sample = {.n = group->n,
                                     .perturbation = perturbation + first,
                                     .n_methods = n_methods,
                                     .score = score,
                                     .n_resamples = evaluation->options.n_resamples,
                                     .seed = evaluation->options.seed,
                                     .stream = (uint64_t)(group->context + 1)};

        for (int64_t i = 0; i < group->n; i++) {
            group->n_observations += (int64_t)score[i * n_methods].pool.n;
            for (int m = 0; m < n_methods; m++)
                group->fallbacks[m] += score[i * n_methods + m].fallback;
        }
        group->n_unscored =
            g == 0 ? (int64_t)evaluation->unscored.n : evaluation->n_unscored[group->context];
        tess_bootstrap_init(&group->outcome, &sample);
        first = g == 0 ? 0 : first + group->n;
    }
    tess_free(perturbation);
}

/* How many measured values are left out because the model says nothing about them. */
static int count_left_out(struct tess_evaluation *evaluation, int64_t begin, int64_t end,
                          struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;

    for (int64_t i = begin; i < end && evaluation->has_model && error->code == TESS_OK; i++) {
        int64_t unit = evaluation->unit[i], context = profiles->context_of[unit];
        int64_t width = tess_profiles_width(profiles, context);
        const float *value = tess_profiles_read(profiles, context, error);
        float *row = TESS_NEW(float, width);

        if (value) {
            memcpy(row, value + (unit - profiles->context_first[context]) * width,
                   (size_t)width * sizeof *row);
            evaluation->n_left_out += tess_evaluate_mask(evaluation, unit, row);
        }
        tess_free(row);
    }
    return error->code;
}

/* Each rank its share; results go to rank 0 in the order of the experiments, and are summed there:
 * the same bits on any number of ranks. Ranks agree before anything is sent. Collective. */
static int score_all(struct tess_evaluation *evaluation, struct tess_error *error)
{
    int rank, n_ranks;
    int64_t begin, end, n_methods = evaluation->n_methods;
    int64_t n_halvings = evaluation->options.n_halvings;
    struct tess_scores *mine, *halves;

    MPI_Comm_rank(evaluation->comm, &rank);
    MPI_Comm_size(evaluation->comm, &n_ranks);
    begin = evaluation->n * rank / n_ranks;
    end = evaluation->n * (rank + 1) / n_ranks;
    mine = tess_alloc_large((size_t)((end - begin) * n_methods), sizeof *mine, "scores", error);
    halves = tess_alloc_large((size_t)((end - begin) * n_halvings), sizeof *halves, "the ceiling",
                              error);
    if (rank == 0)
        evaluation->score =
            tess_alloc_large((size_t)(evaluation->n * n_methods), sizeof *mine, "scores", error);
    if (error->code == TESS_OK)
        tess_evaluate_score(evaluation, begin, end, mine, error);
    if (error->code == TESS_OK)
        tess_evaluate_halve(evaluation, begin, end, halves, error);
    count_left_out(evaluation, begin, end, error);
    if (tess_agree(evaluation->comm, error) == TESS_OK) {
        tess_gather(evaluation->comm, mine, (end - begin) * n_methods, sizeof *mine,
                    evaluation->score);
        if (rank == 0)
            find_groups(evaluation);
        tess_evaluate_ceilings(evaluation, end - begin, halves);
        MPI_Allreduce(MPI_IN_PLACE, &evaluation->n_left_out, 1, MPI_INT64_T, MPI_SUM,
                      evaluation->comm);
        if (rank == 0)
            summarize(evaluation);
    }
    tess_free(mine);
    tess_free(halves);
    return error->code;
}

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

int tess_evaluate_run(struct tess_evaluation *evaluation, const struct tess_store *store,
                      const struct tess_model *model, const struct tess_evaluate_options *options,
                      MPI_Comm comm, struct tess_error *error)
{
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    *evaluation =
        (struct tess_evaluation){.store = store, .model = model, .options = *options, .comm = comm};
    /* Several ranks share their host's cores: threads only if they are asked for. */
    evaluation->n_threads = n_ranks > 1 && !getenv("OMP_NUM_THREADS") ? 1 : omp_get_max_threads();
    evaluation->model_source = tess_strdup(options->predictions ? options->predictions
                                           : model              ? model->path
                                                                : "");
    tess_profiles_init(&evaluation->profiles, store);
    if (tess_evaluate_choose(evaluation, error) == TESS_OK &&
        tess_baselines_init(&evaluation->baselines, &evaluation->profiles, comm, error) ==
            TESS_OK &&
        check_any(evaluation, error) == TESS_OK)
        score_all(evaluation, error);
    return error->code;
}

void tess_evaluate_release(struct tess_evaluation *evaluation)
{
    for (int64_t g = 0; g < evaluation->n_groups && evaluation->group; g++)
        tess_bootstrap_release(&evaluation->group[g].outcome);
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
    tess_free(evaluation->first);
    tess_free(evaluation->predicted);
    tess_free(evaluation->score);
    tess_free(evaluation->group);
    *evaluation = (struct tess_evaluation){0};
}
