/* evaluate_memory.c -- what scoring takes of a rank's memory: said before it begins, and kept to an
 * allowance where there is one. Rows of the model's table, profiles and sums of the baselines, and
 * the experiments that are scored at once share what the rest leaves; none of it changes a number.
 */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/platform.h"

#include <math.h>

#define THREAD_BYTES 4e6 /* of each thread's tiles */
#define SHARES       4
/* Of evaluate_spread.c: a chunk, and what comes together on rank 0. */
#define SPREAD_ROWS    64
#define EPISTASIS_ROWS 64 /* the same of evaluate_epistasis.c */
#define SPREAD_VALUES  (double)(1 << 20)

/* Doubles alone: they are reduced together. */
struct memory {
    double program; /* now, with the store's index, the model and what was chosen */
    double opening; /* the most that it was until now */
    double scoring; /* what is learned, held-out profiles, sums of scores */
    double rows; /* of the model's table of perturbations */
    double kept; /* profiles and sums of the baselines */
    double experiment; /* of each that is scored at once */
};

/* Of the context that has most, all held-out profiles are there at a time: a prediction must find
 * its own among them. */
static void find_largest(const struct tess_evaluation *evaluation, double *profiles, double *width)
{
    const struct tess_profiles *of = &evaluation->profiles;
    int64_t begin = 0;

    for (int64_t i = 0; i < evaluation->n; i++) {
        int64_t context = of->context_of[evaluation->unit[i]];
        double columns = (double)tess_profiles_width(of, context);

        if (i == 0 || of->context_of[evaluation->unit[i - 1]] != context)
            begin = i;
        *width = fmax(*width, columns);
        *profiles = fmax(*profiles, (double)(i + 1 - begin) * (5 * columns + 8));
    }
}

static struct memory measure(const struct tess_evaluation *evaluation)
{
    const struct tess_index *index = &evaluation->store->index;
    double largest = 0, width = 0, members = evaluation->model ? evaluation->model->n_members : 1;
    double sums = (double)evaluation->n * evaluation->n_methods * TESS_METRICS * 2 * sizeof(double);
    struct memory memory = {.program = tess_platform_memory(0), .opening = tess_platform_memory(1)};
    int n_ranks;

    MPI_Comm_size(evaluation->comm, &n_ranks);
    find_largest(evaluation, &largest, &width);
    memory.scoring =
        THREAD_BYTES * evaluation->n_threads + largest +
        tess_baselines_bytes(&evaluation->profiles) + 3 * sums +
        8.0 * (double)index->n_combinations +
        tess_features_baseline_bytes(&(struct tess_features_scale){
            (double)index->context.n, (double)index->n_experiments, (double)index->n_experiments,
            TESS_LINEAR_FACTORS, evaluation->features.k});
    if (evaluation->options.epistasis)
        memory.scoring += sums + 4.0 * (double)index->n_combinations +
                          EPISTASIS_ROWS * width * (8.0 * evaluation->n_methods + 28);
    if (evaluation->options.strata)
        memory.scoring += 2 * sums + 4.0 * TESS_STRATA * (double)index->n_combinations +
                          36 * (double)evaluation->n;
    if (evaluation->model && !evaluation->predicted) {
        memory.scoring += tess_model_working_bytes(evaluation->model, TESS_MODEL_ROWS);
        memory.rows = tess_model_rows_bytes(evaluation->model);
    }
    if (evaluation->model && !evaluation->predicted &&
        (tess_model_deviates(evaluation->model) || evaluation->options.keep_values))
        memory.scoring +=
            72 * SPREAD_ROWS * width + (evaluation->options.keep_values ? 144 : 80) *
                                           fmin(SPREAD_VALUES, (double)evaluation->n * width);
    memory.kept = 2 * fmin((double)TESS_PROFILES_BYTES, tess_profiles_bytes(&evaluation->profiles));
    memory.experiment = width * (8.0 * evaluation->n_methods + 8 + 24 * members) +
                        (n_ranks > 1 ? n_ranks + 1 : 1) * /* rank 0 has those of all, too */
                            (double)(evaluation->n_methods + evaluation->options.n_halvings) *
                            sizeof(struct tess_scores);
    return memory;
}

/* The experiment that is scored alone is the least; each share has a quarter of what is left. */
static int share(struct tess_evaluation *evaluation, struct memory *memory,
                 struct tess_error *error)
{
    double given = evaluation->options.memory;
    double fixed = memory->program + memory->scoring, left = given - fixed;

    if (given <= 0)
        return TESS_OK;
    if (left < SHARES * memory->experiment || given < memory->opening)
        return tess_error_set(
            error, TESS_EUSAGE,
            "--memory: %.4g MB are too little for a rank, which needs %.4g MB: %.3g of the program "
            "with store and model, %.3g of what the baselines learn and of held-out profiles",
            given / 1e6, fmax(fixed + SHARES * memory->experiment, memory->opening) / 1e6,
            memory->program / 1e6, memory->scoring / 1e6);
    memory->rows = fmin(memory->rows, left / SHARES);
    memory->kept = fmin(memory->kept, 2 * left / SHARES);
    evaluation->chunk =
        (int64_t)fmin((double)evaluation->chunk, left / SHARES / memory->experiment);
    tess_profiles_allow(&evaluation->profiles, (size_t)(memory->kept / 2));
    return TESS_OK;
}

int tess_evaluate_plan(struct tess_evaluation *evaluation, struct tess_model *model,
                       struct tess_error *error)
{
    struct memory memory = measure(evaluation);
    double chunk, total;

    /* Of the rank that needs most: chunks are alike on all. */
    MPI_Allreduce(MPI_IN_PLACE, &memory, sizeof memory / sizeof(double), MPI_DOUBLE, MPI_MAX,
                  evaluation->comm);
    share(evaluation, &memory, error);
    if (tess_agree(evaluation->comm, error) != TESS_OK)
        return error->code;
    if (model && evaluation->options.memory > 0)
        tess_model_allow(model, memory.rows);
    chunk = memory.experiment * (double)evaluation->chunk;
    total = memory.program + memory.scoring + memory.kept + memory.rows + chunk;
    tess_info("memory: at most about %.3g MB a rank: %.3g of the program with store and model, "
              "%.3g of what the baselines learn and of held-out profiles, %.3g of profiles that "
              "are kept, %.3g of rows of perturbations, %.3g of %lld experiments at a time",
              fmax(total, memory.opening) / 1e6, memory.program / 1e6, memory.scoring / 1e6,
              memory.kept / 1e6, memory.rows / 1e6, chunk / 1e6, (long long)evaluation->chunk);
    return TESS_OK;
}
