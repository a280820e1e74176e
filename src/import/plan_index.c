/* plan_index.c -- the groups, sorted as a store wants them, become its index. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/mapping.h"

#include <stdlib.h>

/* Sorts the sets; number[old[i]] = the new number of what was added as number i. */
static void sort_sets(struct tess_sets *sets, const int64_t *old, int64_t *number)
{
    int64_t n = sets->n, *sorted = TESS_NEW(int64_t, n);

    tess_sets_sort(sets, sorted);
    for (int64_t i = 0; i < n; i++)
        number[old[i]] = sorted[i];
    tess_free(sorted);
}

/* The symbols that are marked, as a vocabulary; number[old] = new. */
static void keep_symbols(const struct tess_intern *intern, const char *used,
                         struct tess_vocab *vocab, int64_t *number)
{
    const char **symbol = TESS_NEW(const char *, intern->n);
    int64_t *old = TESS_NEW(int64_t, intern->n), *order = TESS_NEW(int64_t, intern->n), n = 0;

    for (int64_t i = 0; i < intern->n; i++)
        if (used[i]) {
            symbol[n] = intern->text[i];
            old[n++] = i;
        }
    tess_vocab_init(vocab, n, symbol, order);
    for (int64_t i = 0; i < n; i++)
        number[old[order[i]]] = i;
    tess_free(symbol);
    tess_free(old);
    tess_free(order);
}

/* Components that only dropped combinations have are dropped with them; their places in
 * component.to are not asked for. */
static void index_combinations(const struct tess_plan *plan, const char *used,
                               struct tess_index *index, int64_t *number)
{
    const struct tess_sets *known = &plan->combination;
    char *component_used = TESS_NEW(char, plan->component.n);
    struct tess_mapping component = {plan->component.n, TESS_NEW(int64_t, plan->component.n)};
    int64_t *old = TESS_NEW(int64_t, known->n);
    struct tess_sets sets = {0};

    for (int64_t c = 0; c < known->n; c++)
        for (int64_t k = known->first[c]; k < known->first[c + 1] && used[c]; k++)
            component_used[known->member[k]] = 1;
    keep_symbols(&plan->component, component_used, &index->perturbation, component.to);
    for (int64_t c = 0; c < known->n; c++)
        if (used[c]) {
            old[sets.n] = c;
            tess_mapping_add_set(&component, known->first[c + 1] - known->first[c],
                                 known->member + known->first[c], &sets);
        }
    sort_sets(&sets, old, number);
    index->n_combinations = sets.n;
    index->combination_first = sets.first;
    index->combination_member = sets.member;
    tess_mapping_release(&component);
    tess_free(component_used);
    tess_free(old);
}

static void index_panels(const struct tess_plan *plan, const char *used, struct tess_index *index,
                         int64_t *number)
{
    int64_t *old = TESS_NEW(int64_t, plan->n_panels);
    struct tess_sets sets = {0};

    for (size_t i = 0; i < plan->n_panels; i++)
        if (used[i]) {
            old[sets.n] = (int64_t)i;
            tess_sets_add(&sets, plan->panel[i].n, plan->panel[i].readout);
        }
    sort_sets(&sets, old, number);
    index->n_panels = sets.n;
    index->panel_first = sets.first;
    index->panel_readout = sets.member;
    tess_free(old);
}

/* A group's sort key: context, panel, combination, split; the group's own number decides ties (with
 * --aggregate none), so that qsort, which is not stable, leaves nothing open. */
struct key {
    int64_t part[5];
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    for (int i = 0; i < 5; i++)
        if (x->part[i] != y->part[i])
            return x->part[i] < y->part[i] ? -1 : 1;
    return 0;
}

/* Sets n_observed to 0: values are counted as they are written. A single replicate has no folds. */
static void index_experiments(struct tess_plan *plan, struct key *key, int64_t n,
                              struct tess_index *index)
{
    int64_t n_folds = 0;

    qsort(key, (size_t)n, sizeof *key, compare_keys);
    index->n_experiments = n;
    index->context_of = TESS_NEW(int64_t, n);
    index->panel = TESS_NEW(int64_t, n);
    index->combination = TESS_NEW(int64_t, n);
    index->split = (int8_t *)tess_alloc((size_t)n, 1);
    index->n_replicates = TESS_NEW(int64_t, n);
    index->n_observed = TESS_NEW(int64_t, n);
    if (plan->options->source.weight)
        index->weight = TESS_NEW(double, n);
    index->fold_first = TESS_NEW(int64_t, n + 1);
    for (int64_t i = 0; i < n; i++) {
        struct tess_plan_group *group = &plan->group[key[i].part[4]];

        group->experiment = i;
        index->context_of[i] = key[i].part[0];
        index->panel[i] = key[i].part[1];
        index->combination[i] = key[i].part[2];
        index->split[i] = (int8_t)key[i].part[3];
        index->n_replicates[i] = group->n_replicates;
        if (index->weight)
            index->weight[i] = group->weight;
        index->fold_first[i + 1] = n_folds += tess_plan_folds(group);
    }
    index->fold_replicates = TESS_NEW(int64_t, n_folds);
    for (int64_t i = 0; i < n; i++) {
        const struct tess_plan_group *group = &plan->group[key[i].part[4]];

        for (int64_t u = 0; u < group->n_replicates && group->n_replicates > 1; u++)
            index->fold_replicates[index->fold_first[i] + plan->fold[group->first_unit + u]]++;
    }
}

/* Only what a remaining group uses gets a number; readouts all stay, for files measured them. */
void tess_plan_index(struct tess_plan *plan, struct tess_index *index)
{
    char *used[3] = {TESS_NEW(char, plan->context.n), TESS_NEW(char, plan->n_panels),
                     TESS_NEW(char, plan->combination.n)};
    int64_t *number[3] = {TESS_NEW(int64_t, plan->context.n), TESS_NEW(int64_t, plan->n_panels),
                          TESS_NEW(int64_t, plan->combination.n)};
    struct key *key = TESS_NEW(struct key, plan->n_groups);
    int64_t n = 0;

    *index = (struct tess_index){.control = -1};
    for (int64_t g = 0; g < plan->n_groups; g++) {
        const struct tess_plan_group *group = &plan->group[g];

        if (group->experiment < 0)
            continue;
        used[0][group->context] = used[1][group->panel] = used[2][group->combination] = 1;
    }
    keep_symbols(&plan->context, used[0], &index->context, number[0]);
    index_panels(plan, used[1], index, number[1]);
    index_combinations(plan, used[2], index, number[2]);
    tess_vocab_copy(&index->readout, &plan->readout);
    for (int64_t g = 0; g < plan->n_groups; g++) {
        const struct tess_plan_group *group = &plan->group[g];

        if (group->experiment >= 0)
            key[n++] = (struct key){{number[0][group->context], number[1][group->panel],
                                     number[2][group->combination], group->split, g}};
    }
    index_experiments(plan, key, n, index);
    tess_index_finish(index);
    for (int i = 0; i < 3; i++) {
        tess_free(used[i]);
        tess_free(number[i]);
    }
    tess_free(key);
}
