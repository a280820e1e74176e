/* evaluate_ceiling.c -- the noise ceilings of all experiments and of each context, and whether the
 * model is above them. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"

#include <math.h>

const char *const tess_evaluate_above =
    "a perfect model would score the ceiling; above it are chance and models that predict an error "
    "which the replicates share and which repeats in other contexts (such as that of two reagents "
    "of one gene)";

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

/* What the model scores on the experiments that the ceiling is of, metric for metric. */
static void find_above(const struct tess_evaluation *evaluation, const uint8_t *replicated,
                       int64_t first, struct tess_group *group)
{
    struct tess_pool pool = {0};
    double sum[TESS_METRICS] = {0}, n[TESS_METRICS] = {0}, own;
    int reason;

    for (int64_t i = first; i < first + group->n; i++) {
        const struct tess_scores *score = &evaluation->score[i * evaluation->n_methods];

        if (!replicated[i])
            continue;
        tess_pool_add(&pool, &score->pool, 1);
        for (int k = TESS_CHANGE; k < TESS_DISCRIMINATION; k++)
            if (!isnan(score->value[k])) {
                sum[k] += score->value[k];
                n[k] += 1;
            }
    }
    for (int k = 0; k < TESS_DISCRIMINATION; k++) {
        double best = tess_ceiling_value(&group->ceiling, k);

        own = k < TESS_CHANGE ? tess_pool_score(&pool, k, &reason) : sum[k] / n[k];
        group->above[k] = tess_metric_is_error(k) ? own < best : own > best; /* NaN: no */
        group->n_above += group->above[k];
    }
}

static void find_all_above(struct tess_evaluation *evaluation, const uint8_t *replicated)
{
    for (int64_t g = 0, first = 0; evaluation->has_model && g < evaluation->n_groups; g++) {
        find_above(evaluation, replicated, first, &evaluation->group[g]);
        first = g == 0 ? 0 : first + evaluation->group[g].n;
    }
}

/* A halving at a time goes to rank 0: all of them would take n_halvings times the memory there. */
void tess_evaluate_ceilings(struct tess_evaluation *evaluation, int64_t n_mine,
                            const struct tess_scores *mine)
{
    int rank;
    int64_t n_halvings = evaluation->options.n_halvings;
    struct tess_scores *one = TESS_NEW(struct tess_scores, n_mine);
    struct tess_scores *all;
    uint8_t *replicated = TESS_NEW(uint8_t, evaluation->n);

    MPI_Comm_rank(evaluation->comm, &rank);
    all = TESS_NEW(struct tess_scores, rank == 0 ? evaluation->n : 0);
    for (int64_t h = 0; h < n_halvings; h++) {
        for (int64_t i = 0; i < n_mine; i++)
            one[i] = mine[i * n_halvings + h];
        tess_gather(evaluation->comm, one, n_mine, sizeof *one, all);
        if (rank == 0)
            add_halving(evaluation, all);
        for (int64_t i = 0; rank == 0 && i < evaluation->n; i++)
            replicated[i] |= all[i].pool.n > 0;
    }
    if (rank == 0)
        find_all_above(evaluation, replicated);
    tess_free(replicated);
    tess_free(one);
    tess_free(all);
}
