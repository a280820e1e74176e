/* evaluate.c -- which experiments are scored, by whom, and what they make together. */
#include "tessera/evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/model.h"
#include "tessera/share.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

char *tess_evaluate_name(const struct tess_evaluation *evaluation, int64_t unit)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    char *combination = tess_index_combination_name(index, profiles->combination[unit]);
    char *name =
        tess_format("%s in %s", combination, index->context.symbol[profiles->context_of[unit]]);

    tess_free(combination);
    return name;
}

/* Units of the split that hold any value, control left out. */
static int64_t *find_held_out(struct tess_evaluation *evaluation)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t *unit = TESS_NEW(int64_t, profiles->n_units);

    for (int64_t u = 0; u < profiles->n_units; u++) {
        int64_t observed = 0;

        for (int64_t k = profiles->row_first[u]; k < profiles->row_first[u + 1]; k++)
            observed += index->n_observed[profiles->row[k]];
        if (observed > 0 && profiles->split[u] == evaluation->options.split &&
            !tess_index_is_control(index, profiles->combination[u]))
            unit[evaluation->n_held_out++] = u;
    }
    return unit;
}

/* Keep what the model or the file has something to say about; if that is nothing, score the
 * baselines on all. */
static void select_units(struct tess_evaluation *evaluation, const int64_t *unit,
                         const uint8_t *keep)
{
    int64_t n = evaluation->n_held_out, kept = 0;

    for (int64_t i = 0; i < n; i++)
        kept += keep[i];
    evaluation->unit = TESS_NEW(int64_t, n);
    if (evaluation->has_model && kept == 0) {
        evaluation->has_model = 0;
        evaluation->no_model =
            tess_format("none of the %lld held-out experiments %s", (long long)n,
                        evaluation->predicted ? "is predicted by the file"
                                              : "has a perturbation, a context and a readout that "
                                                "the model was trained on");
    }
    for (int64_t i = 0; i < n; i++) {
        char *name;

        if (!evaluation->has_model || keep[i]) {
            if (evaluation->first)
                evaluation->first[evaluation->n] = evaluation->first[i];
            evaluation->unit[evaluation->n++] = unit[i];
            continue;
        }
        name = tess_evaluate_name(evaluation, unit[i]);
        tess_strings_add(&evaluation->unscored, name);
        tess_free(name);
    }
    evaluation->n_methods = evaluation->has_model + TESS_BASELINES;
}

static int choose(struct tess_evaluation *evaluation, struct tess_error *error)
{
    int64_t *unit = find_held_out(evaluation), n = evaluation->n_held_out;
    uint8_t *keep = TESS_NEW(uint8_t, n);

    if (n == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no experiment is held out as '%s': assign some with 'tessera split', "
                       "or choose another --split",
                       evaluation->store->h5.path, tess_split_name(evaluation->options.split));
    else if (evaluation->options.predictions)
        tess_evaluate_read(evaluation, n, unit, keep, error);
    else if (evaluation->model)
        tess_evaluate_known(evaluation, n, unit, keep);
    else
        evaluation->no_model = tess_strdup("no model was given");
    evaluation->has_model = evaluation->options.predictions || evaluation->model;
    if (error->code == TESS_OK)
        select_units(evaluation, unit, keep);
    tess_free(unit);
    tess_free(keep);
    return error->code;
}

static struct tess_ceiling *ceiling_of(struct tess_evaluation *evaluation, int64_t context)
{
    for (int64_t g = 1; g < evaluation->n_groups; g++)
        if (evaluation->group[g].context == context)
            return &evaluation->group[g].ceiling;
    tess_bug(__FILE__, __LINE__, "an experiment without a context");
}

/* One halving of all experiments, in their order. */
static void add_halving(struct tess_evaluation *evaluation, const struct tess_scores *score)
{
    struct tess_ceiling_sum *all = TESS_NEW(struct tess_ceiling_sum, 1);
    struct tess_ceiling_sum *sum = TESS_NEW(struct tess_ceiling_sum, 1);
    const struct tess_profiles *profiles = &evaluation->profiles;

    for (int64_t i = 0; i < evaluation->n; i++) {
        int64_t context = profiles->context_of[evaluation->unit[i]];

        tess_ceiling_add(all, &score[i]);
        tess_ceiling_add(sum, &score[i]);
        if (i + 1 == evaluation->n || profiles->context_of[evaluation->unit[i + 1]] != context) {
            tess_ceiling_halving(ceiling_of(evaluation, context), sum);
            *sum = (struct tess_ceiling_sum){0};
        }
    }
    tess_ceiling_halving(&evaluation->group[0].ceiling, all);
    tess_free(all);
    tess_free(sum);
}

static void gather_halvings(struct tess_evaluation *evaluation, int64_t n_mine,
                            const struct tess_scores *mine, int rank)
{
    int64_t n_halvings = evaluation->options.n_halvings;
    struct tess_scores *one = TESS_NEW(struct tess_scores, n_mine);
    struct tess_scores *all = TESS_NEW(struct tess_scores, rank == 0 ? evaluation->n : 0);

    for (int64_t h = 0; h < n_halvings; h++) {
        for (int64_t i = 0; i < n_mine; i++)
            one[i] = mine[i * n_halvings + h];
        tess_share_gather(evaluation->comm, one, n_mine, sizeof *one, all);
        if (rank == 0)
            add_halving(evaluation, all);
    }
    tess_free(one);
    tess_free(all);
}

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
            evaluation->n_left_out += tess_evaluate_mask(evaluation, i, row);
        }
        tess_free(row);
    }
    return error->code;
}

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
        tess_share_gather(evaluation->comm, mine, (end - begin) * n_methods, sizeof *mine,
                          evaluation->score);
        if (rank == 0)
            find_groups(evaluation);
        gather_halvings(evaluation, end - begin, halves, rank);
        MPI_Allreduce(MPI_IN_PLACE, &evaluation->n_left_out, 1, MPI_INT64_T, MPI_SUM,
                      evaluation->comm);
        if (rank == 0)
            summarize(evaluation);
    }
    tess_free(mine);
    tess_free(halves);
    return error->code;
}

int tess_evaluate_run(struct tess_evaluation *evaluation, const struct tess_store *store,
                      const struct tess_model *model, const struct tess_evaluate_options *options,
                      MPI_Comm comm, struct tess_error *error)
{
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    *evaluation =
        (struct tess_evaluation){.store = store, .model = model, .options = *options, .comm = comm};
    evaluation->n_threads = n_ranks > 1 && !getenv("OMP_NUM_THREADS") ? 1 : omp_get_max_threads();
    evaluation->model_source = tess_strdup(options->predictions ? options->predictions
                                           : model              ? model->path
                                                                : "");
    tess_profiles_init(&evaluation->profiles, store);
    if (choose(evaluation, error) == TESS_OK &&
        tess_baselines_init(&evaluation->baselines, &evaluation->profiles, comm, error) == TESS_OK)
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
    tess_free(evaluation->first);
    tess_free(evaluation->predicted);
    tess_free(evaluation->score);
    tess_free(evaluation->group);
    *evaluation = (struct tess_evaluation){0};
}
