/* evaluate_ceiling.c -- the noise ceilings of all experiments and of each context, and whether the
 * model is above them. */
#include "evaluate.h"

#include "tessera/alloc.h"

#include <math.h>
#include <string.h>

const char *const tess_evaluate_above =
    "a perfect model would score the ceiling; above it are chance and models that predict an error "
    "which the replicates share and which repeats in other contexts (such as that of two reagents "
    "of one gene)";

void tess_ceiling_parts_init(struct tess_ceiling_parts *parts, int64_t n_halvings)
{
    *parts = (struct tess_ceiling_parts){.n_halvings = n_halvings};
    parts->sum = TESS_NEW(struct tess_ceiling_sum, n_halvings);
}

void tess_ceiling_parts_add(struct tess_ceiling_parts *parts, const struct tess_scores *half,
                            const struct tess_scores *score)
{
    int replicated = 0;

    for (int64_t h = 0; h < parts->n_halvings; h++) {
        tess_ceiling_add(&parts->sum[h], &half[h]);
        replicated |= half[h].pool.n > 0;
    }
    if (!replicated)
        return;
    tess_pool_add(&parts->pool, &score->pool, 1);
    for (int k = TESS_CHANGE; k < TESS_DISCRIMINATION; k++)
        if (!isnan(score->value[k])) {
            parts->own[k] += score->value[k];
            parts->n[k] += 1;
        }
}

/* What the model scores on the experiments that the ceiling is of, metric for metric. */
static void find_above(const struct tess_ceiling_parts *parts, struct tess_group *group)
{
    int reason;

    for (int k = 0; k < TESS_DISCRIMINATION; k++) {
        double best = tess_ceiling_value(&group->ceiling, k);
        double own = k < TESS_CHANGE ? tess_pool_score(&parts->pool, k, &reason)
                                     : parts->own[k] / parts->n[k];

        group->above[k] = tess_metric_is_error(k) ? own < best : own > best; /* NaN: no */
        group->n_above += group->above[k];
    }
}

void tess_ceiling_parts_finish(const struct tess_evaluation *evaluation,
                               struct tess_ceiling_parts *parts, struct tess_group *group)
{
    struct tess_ceiling_sum *sum = parts->sum;

    for (int64_t h = 0; h < parts->n_halvings; h++)
        tess_ceiling_halving(&group->ceiling, &sum[h]);
    if (evaluation->has_model)
        find_above(parts, group);
    memset(sum, 0, (size_t)parts->n_halvings * sizeof *sum);
    *parts = (struct tess_ceiling_parts){.n_halvings = parts->n_halvings, .sum = sum};
}
