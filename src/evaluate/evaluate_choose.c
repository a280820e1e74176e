/* evaluate_choose.c -- which held-out experiments are scored: those that the model or the file says
 * something about that was measured. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

/* Units of the split that hold any value, control left out. */
static int64_t *find_held_out(struct tess_evaluation *evaluation, int64_t *n_empty)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    int64_t *unit = TESS_NEW(int64_t, profiles->n_units);

    *n_empty = 0;
    for (int64_t u = 0; u < profiles->n_units; u++) {
        int64_t observed = 0;

        if (profiles->split[u] != evaluation->options.split ||
            tess_index_is_control(index, profiles->combination[u]))
            continue;
        for (int64_t k = profiles->row_first[u]; k < profiles->row_first[u + 1]; k++)
            observed += index->n_observed[profiles->row[k]];
        if (observed > 0)
            unit[evaluation->n_held_out++] = u;
        else
            ++*n_empty;
    }
    return unit;
}

static int none_held_out(const struct tess_evaluation *evaluation, int64_t n_empty,
                         struct tess_error *error)
{
    const char *path = evaluation->store->h5.path,
               *split = tess_split_name(evaluation->options.split);

    if (tess_index_observed(&evaluation->store->index, -1) == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: holds no measured value, all are missing (NaN): import data "
                              "that have some",
                              path);
    if (n_empty > 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: the %lld experiments held out as '%s' have no measured value, "
                              "all are missing (NaN): hold out others with 'tessera split'",
                              path, (long long)n_empty, split);
    return tess_error_set(error, TESS_EDATA,
                          "%s: no experiment is held out as '%s': assign some with 'tessera "
                          "split', or choose another --split",
                          path, split);
}

/* Must some of the unit's values be among those that the model predicts? Then they need not be
 * read: two subsets of the panel whose sizes add up to more than it has must share a readout. */
static int must_overlap(const struct tess_evaluation *evaluation, int64_t unit)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t width = tess_profiles_width(profiles, profiles->context_of[unit]);
    int64_t spoken = tess_evaluate_spoken(evaluation, unit);

    for (int64_t k = profiles->row_first[unit]; k < profiles->row_first[unit + 1]; k++)
        if (evaluation->store->index.n_observed[profiles->row[k]] + spoken > width)
            return 1;
    return 0;
}

/* How many of the unit's measured values the model predicts; -1 and an error if they cannot be
 * read. */
static int64_t count_common(struct tess_evaluation *evaluation, int64_t unit,
                            struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = profiles->context_of[unit], width = tess_profiles_width(profiles, context);
    int64_t common = 0;
    float *row = TESS_NEW(float, width);

    tess_profiles_read(profiles, 1, &unit, row, error);
    tess_evaluate_mask(evaluation, unit, row);
    for (int64_t k = 0; k < width; k++)
        common += row[k] == row[k]; /* not NaN */
    tess_free(row);
    return error->code == TESS_OK ? common : -1;
}

/* Drops units of which no value is both measured and predicted; each rank looks at its share. */
static int keep_common(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                       uint8_t *keep, struct tess_error *error)
{
    int rank, n_ranks;
    uint8_t *mine = TESS_NEW(uint8_t, n);

    MPI_Comm_rank(evaluation->comm, &rank);
    MPI_Comm_size(evaluation->comm, &n_ranks);
    for (int64_t i = n * rank / n_ranks; i < n * (rank + 1) / n_ranks; i++)
        if (keep[i] && error->code == TESS_OK)
            mine[i] =
                must_overlap(evaluation, unit[i]) || count_common(evaluation, unit[i], error) > 0;
    if (tess_agree(evaluation->comm, error) == TESS_OK)
        MPI_Allreduce(mine, keep, tess_int(n), MPI_UINT8_T, MPI_MAX, evaluation->comm);
    tess_free(mine);
    return error->code;
}

/* "A+B in c" of a unit; own of the caller. */
static char *name_unit(const struct tess_evaluation *evaluation, int64_t unit)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    const struct tess_index *index = &evaluation->store->index;
    char *combination = tess_index_combination_name(index, profiles->combination[unit]);
    char *name =
        tess_format("%s in %s", combination, index->context.symbol[profiles->context_of[unit]]);

    tess_free(combination);
    return name;
}

/* If nothing is left, the baselines are scored on all. */
static void select_units(struct tess_evaluation *evaluation, const int64_t *unit,
                         const uint8_t *keep)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t n = evaluation->n_held_out, kept = 0;

    for (int64_t i = 0; i < n; i++)
        kept += keep[i];
    evaluation->unit = TESS_NEW(int64_t, n);
    evaluation->n_unscored = TESS_NEW(int64_t, profiles->n_contexts);
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
            evaluation->unit[evaluation->n++] = unit[i];
            continue;
        }
        name = name_unit(evaluation, unit[i]);
        tess_strings_add(&evaluation->unscored, name);
        evaluation->n_unscored[profiles->context_of[unit[i]]]++;
        tess_free(name);
    }
    evaluation->n_methods = evaluation->has_model + TESS_BASELINES;
}

int tess_evaluate_choose(struct tess_evaluation *evaluation, struct tess_error *error)
{
    int64_t n_empty, *unit = find_held_out(evaluation, &n_empty), n = evaluation->n_held_out;
    uint8_t *keep = TESS_NEW(uint8_t, n);

    evaluation->has_model = evaluation->options.predictions || evaluation->model;
    if (n == 0)
        none_held_out(evaluation, n_empty, error);
    else if (evaluation->options.predictions)
        tess_evaluate_read(evaluation, n, unit, keep, error);
    else if (evaluation->model)
        tess_evaluate_known(evaluation, n, unit, keep);
    else
        evaluation->no_model = tess_strdup("no model was given");
    if (error->code == TESS_OK && evaluation->has_model)
        keep_common(evaluation, n, unit, keep, error);
    if (error->code == TESS_OK)
        select_units(evaluation, unit, keep);
    tess_free(unit);
    tess_free(keep);
    return error->code;
}
