/* evaluate_strata.c -- which experiments are alike: in how many contexts their perturbation is
 * known from, and how strong its measured effect is. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <stdlib.h>

const char *tess_stratum_kind(int stratum)
{
    return stratum < TESS_WEAK ? "known_in" : "strength";
}

const char *tess_stratum_name(int stratum)
{
    static const char *const names[TESS_STRATA] = {
        [TESS_KNOWN_0] = "0",     [TESS_KNOWN_1] = "1", [TESS_KNOWN_2_TO_4] = "2-4",
        [TESS_KNOWN_5] = "5+",    [TESS_WEAK] = "weak", [TESS_MIDDLE] = "middle",
        [TESS_STRONG] = "strong",
    };

    return names[stratum];
}

/* Root mean square of what is measured, less control or, without one, the context's mean. */
static double change_of(const struct tess_evaluation *evaluation, int64_t context,
                        const float *measured)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    const double *from =
        baselines->control[context] ? baselines->control[context] : baselines->mean[context];
    int64_t width = tess_profiles_width(&evaluation->profiles, context);
    double squares = 0, n = 0;

    for (int64_t k = 0; k < width; k++) {
        double change = (double)measured[k] - from[k];

        if (isnan(change))
            continue;
        squares += change * change;
        n += 1;
    }
    return n > 0 ? sqrt(squares / n) : NAN;
}

/* Each rank reads its share of the experiments; all get all. */
static int measure(struct tess_evaluation *evaluation, struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;
    int64_t n = evaluation->n;
    int rank, n_ranks;

    MPI_Comm_rank(evaluation->comm, &rank);
    MPI_Comm_size(evaluation->comm, &n_ranks);
    for (int64_t i = n * rank / n_ranks; i < n * (rank + 1) / n_ranks; i++) {
        int64_t unit = evaluation->unit[i], context = profiles->context_of[unit];
        float *row = TESS_NEW(float, tess_profiles_width(profiles, context));

        if (tess_profiles_read(profiles, 1, &unit, row, error) == TESS_OK) {
            tess_evaluate_mask(evaluation, unit, row);
            evaluation->change[i] = change_of(evaluation, context, row);
        }
        tess_free(row);
        if (error->code != TESS_OK)
            break;
    }
    if (tess_agree(evaluation->comm, error) == TESS_OK)
        MPI_Allreduce(MPI_IN_PLACE, evaluation->change, tess_int(n), MPI_DOUBLE, MPI_SUM,
                      evaluation->comm);
    return error->code;
}

struct sized {
    double change;
    int64_t at;
};

static int compare(const void *a, const void *b)
{
    const struct sized *u = a, *v = b;

    return u->change != v->change ? (u->change > v->change) - (u->change < v->change)
                                  : (u->at > v->at) - (u->at < v->at);
}

/* Thirds of those that have a change, equal ones in the order of the experiments. */
static void cut(struct tess_evaluation *evaluation)
{
    struct sized *order = TESS_NEW(struct sized, evaluation->n);
    int64_t n = 0;

    for (int64_t i = 0; i < evaluation->n; i++) {
        evaluation->strength[i] = -1;
        if (!isnan(evaluation->change[i]))
            order[n++] = (struct sized){evaluation->change[i], i};
    }
    qsort(order, (size_t)n, sizeof *order, compare);
    for (int64_t i = 0; i < n; i++)
        evaluation->strength[order[i].at] = (int8_t)(TESS_WEAK + 3 * i / n);
    tess_free(order);
}

int tess_evaluate_stratify(struct tess_evaluation *evaluation, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;

    if (!evaluation->options.strata)
        return TESS_OK;
    evaluation->known = TESS_NEW(int8_t, evaluation->n);
    evaluation->strength = TESS_NEW(int8_t, evaluation->n);
    evaluation->change = TESS_NEW(double, evaluation->n);
    for (int64_t i = 0; i < evaluation->n; i++) {
        int64_t combination = profiles->combination[evaluation->unit[i]];
        int64_t contexts = profiles->trained_first[combination + 1] -
                           profiles->trained_first[combination]; /* one unit in each */

        evaluation->known[i] = (int8_t)(contexts < 2   ? TESS_KNOWN_0 + contexts
                                        : contexts < 5 ? TESS_KNOWN_2_TO_4
                                                       : TESS_KNOWN_5);
    }
    if (measure(evaluation, error) == TESS_OK)
        cut(evaluation);
    return error->code;
}
