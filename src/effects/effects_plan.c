/* effects_plan.c -- rows put together by who was perturbed.
 *
 * A perturbation's gene is its whole name if that is a readout, else what follows the last `_` or
 * `:` (CRISPRi_TP53). Several rows of a gene in a context are averaged. */
#include "effects_plan.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/genes.h"
#include "tessera/inverse.h"

#include <stdio.h>
#include <string.h>

void tess_effects_plan_init(struct tess_effects_plan *plan, int64_t n_rows, int sampled)
{
    *plan = (struct tess_effects_plan){.sampled = sampled,
                                       .n_rows = n_rows,
                                       .regulator = TESS_NEW(int64_t, n_rows),
                                       .kind = TESS_NEW(int8_t, n_rows),
                                       .gained = TESS_NEW(uint8_t, n_rows)};
}

void tess_effects_plan_readout(struct tess_effects_plan *plan, const char *name)
{
    tess_intern_add(&plan->readouts, name, strlen(name));
}

void tess_effects_plan_label(struct tess_effects_plan *plan, int64_t row, int kind,
                             const char *text, struct tess_effects *effects)
{
    plan->regulator[row] = -1;
    plan->kind[row] = (int8_t)kind;
    if (kind == TESS_LEFT_OUT)
        return;
    plan->n_of[kind]++;
    if (plan->sampled) {
        char name[24];
        int length = snprintf(name, sizeof name, "%lld", (long long)row);

        plan->regulator[row] = tess_intern_add(&plan->regulators, name, (size_t)length);
    } else if (text && tess_gene_is_control(text))
        plan->regulator[row] = kind == TESS_KNOCKOUT ? -2 : -1;
    else if (text && tess_gene_is_combination(text, &plan->readouts))
        effects->n_combinations++;
    else if (text) {
        const char *gene = tess_gene_of(text, &plan->readouts);

        plan->regulator[row] = tess_intern_add(&plan->regulators, gene, strlen(gene));
        plan->gained[row] = (uint8_t)tess_gene_is_gained(text, gene);
    } else
        effects->n_unlabelled++;
}

enum { LOST = 1, GAINED = 2 };

/* Where each regulator has rows, and of what: of one that was lost and gained the losses count. */
static void mark_rows(const struct tess_effects_plan *plan, const int64_t *to,
                      struct tess_effects *effects)
{
    size_t m = effects->regulator.n;

    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        effects->row[kind] = TESS_NEW(int64_t, m);
        effects->gained[kind] = TESS_NEW(uint8_t, m);
        memset(effects->row[kind], 0, m * sizeof(int64_t));
    }
    for (int64_t row = 0; row < plan->n_rows; row++)
        if (plan->regulator[row] >= 0)
            effects->row[plan->kind[row]][to[plan->regulator[row]]] |=
                plan->gained[row] ? GAINED : LOST;
    for (int kind = 0; kind < TESS_PERTURBED; kind++)
        for (size_t i = 0; i < m; i++) {
            effects->gained[kind][i] = effects->row[kind][i] == GAINED;
            effects->n_gained += effects->gained[kind][i];
            effects->row[kind][i] = effects->row[kind][i] ? effects->n_rows++ : -1;
        }
}

static int64_t place_of(const struct tess_effects_plan *plan, const int64_t *to, int64_t row,
                        struct tess_effects *effects)
{
    int kind = plan->kind[row];
    int64_t i;

    if (plan->regulator[row] == -2)
        return effects->n_rows;
    if (plan->regulator[row] < 0)
        return TESS_LEFT_OUT;
    i = to[plan->regulator[row]];
    if (plan->gained[row] == effects->gained[kind][i])
        return effects->row[kind][i];
    effects->n_contrary++;
    return TESS_LEFT_OUT;
}

/* The names in order, each regulator's rows. */
static void number_rows(const struct tess_effects_plan *plan, struct tess_effects *effects,
                        int64_t *place)
{
    int64_t *to = TESS_NEW(int64_t, plan->regulators.n);

    for (int64_t i = 0; i < plan->regulators.n; i++)
        tess_strings_add(&effects->regulator, plan->regulators.text[i]);
    tess_genes_sort(&effects->regulator);
    for (int64_t i = 0; i < plan->regulators.n; i++)
        to[i] = tess_genes_find(&effects->regulator, plan->regulators.text[i]);
    mark_rows(plan, to, effects);
    for (int64_t row = 0; row < plan->n_rows; row++)
        place[row] = place_of(plan, to, row, effects);
    tess_free(to);
}

static void match_columns(const struct tess_effects_plan *plan, struct tess_effects *effects)
{
    for (int64_t k = 0; k < plan->readouts.n; k++)
        tess_strings_add(&effects->target, plan->readouts.text[k]);
    tess_genes_sort(&effects->target);
    effects->column = TESS_NEW(int64_t, effects->regulator.n);
    for (size_t i = 0; i < effects->regulator.n; i++) {
        effects->column[i] =
            plan->sampled ? -1 : tess_genes_find(&effects->target, effects->regulator.item[i]);
        effects->n_unread += effects->column[i] < 0 && !plan->sampled;
    }
}

/* Before anything is read that would be refused afterwards. */
static int check_size(const struct tess_effects *effects,
                      const struct tess_regulation_options *options, struct tess_error *error)
{
    int64_t t = (int64_t)effects->target.n, unread = effects->n_unread,
            read = (int64_t)effects->regulator.n - unread;
    int is_direct = options->method == TESS_BY_DIRECT,
        fits = is_direct ? tess_inverse_fits(read, unread, t - read, effects->n_ranks)
                         : tess_inverse_fits(t, 0, 0, effects->n_ranks);

    if (fits || (!is_direct && options->method != TESS_BY_PARTIAL))
        return TESS_OK;
    return tess_error_set(error, TESS_EOS,
                          "%s: %zu readouts%s on %d ranks are more numbers than ScaLAPACK counts "
                          "(2^31 a rank): use more ranks, or --method %s",
                          options->input, effects->target.n,
                          is_direct ? " and the perturbed genes" : "", effects->n_ranks,
                          is_direct ? "evidence" : "correlation");
}

int tess_effects_plan_finish(struct tess_effects_plan *plan, struct tess_effects *effects,
                             const struct tess_regulation_options *options, int64_t *place,
                             struct tess_error *error)
{
    number_rows(plan, effects, place);
    match_columns(plan, effects);
    if (effects->regulator.n < 3 || effects->target.n < 3)
        tess_error_set(error, TESS_EDATA,
                       "%s: %zu %s and %zu readouts in context '%s': a network needs "
                       "at least 3 of each",
                       options->input, effects->regulator.n,
                       plan->sampled ? "rows" : "perturbed genes", effects->target.n,
                       options->context);
    else
        check_size(effects, options, error);
    return error->code;
}

void tess_effects_plan_release(struct tess_effects_plan *plan)
{
    tess_intern_release(&plan->readouts);
    tess_intern_release(&plan->regulators);
    tess_free(plan->regulator);
    tess_free(plan->kind);
    tess_free(plan->gained);
}
