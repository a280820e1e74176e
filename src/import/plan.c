/* plan.c -- panels, then groups of rows (experiments), their replicates and folds. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/random.h"
#include "tessera/tuples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The number of a panel; takes over `readout` (n, ascending). A search from end to end: there are
 * as many panels as files or contexts, at most. */
static int64_t add_panel(struct tess_plan *plan, int64_t *readout, int64_t n)
{
    for (size_t i = 0; i < plan->n_panels; i++)
        if (plan->panel[i].n == n &&
            memcmp(plan->panel[i].readout, readout, (size_t)n * sizeof *readout) == 0) {
            tess_free(readout);
            return (int64_t)i;
        }
    plan->panel =
        tess_grow(plan->panel, &plan->room_panels, plan->n_panels + 1, sizeof plan->panel[0]);
    plan->panel[plan->n_panels] = (struct tess_plan_panel){n, readout};
    return (int64_t)plan->n_panels++;
}

/* All readouts of a file, and where each of them stands. */
static void panel_of_file(struct tess_plan *plan, struct tess_plan_file *file)
{
    int64_t n = file->source.n_readouts, *readout = TESS_NEW(int64_t, n);

    for (int64_t i = 0; i < n; i++)
        readout[i] = file->readout[i];
    tess_set_tidy(n, readout);
    file->panel = add_panel(plan, readout, n);
    readout = plan->panel[file->panel].readout;
    file->position = TESS_NEW(int32_t, n);
    for (int64_t i = 0; i < n; i++)
        file->position[i] = (int32_t)tess_set_place(n, readout, file->readout[i]);
}

/* Which readouts a block measures, by context. A row that measures none may be no row at all. */
static void mark_block(const struct tess_plan *plan, const struct tess_plan_file *file,
                       const struct tess_block *block, uint8_t *measured)
{
    for (int64_t i = 0; i < block->n; i++) {
        int32_t context = file->context[block->first + i];
        int64_t n =
            block->dense ? file->source.n_readouts : block->indptr[i + 1] - block->indptr[i];
        int64_t first = block->dense ? i * n : block->indptr[i], found = 0;

        if (context < 0 || file->combination[block->first + i] < 0)
            continue;
        for (int64_t k = first; k < first + n; k++) {
            float x = block->dense ? block->dense[k] : block->data[k];
            int64_t j = block->dense ? k - first : block->index[k];

            if (!isnan(x)) {
                measured[(int64_t)context * plan->readout.n + file->readout[j]] = 1;
                found++;
            }
        }
        if (file->source.skips_empty && !found)
            file->combination[block->first + i] = -1;
    }
}

/* The file's values are read here for the first time: problems are reported now, and not again. */
static int survey(struct tess_plan *plan, struct tess_plan_file *file, uint8_t *measured,
                  struct tess_problems *problems, struct tess_error *error)
{
    struct tess_progress progress;
    struct tess_block block = {0};

    tess_progress_init(&progress, "looking for what is measured", "rows", file->source.n_rows);
    for (int64_t i = 0, n; i < file->source.n_rows && error->code == TESS_OK; i += n) {
        n = file->source.n_rows - i;
        n = n < file->source.rows_at_once ? n : file->source.rows_at_once;
        if (tess_source_read_rows(&file->source, i, n, &block, problems, error) == TESS_OK)
            mark_block(plan, file, &block, measured);
        tess_progress_show(&progress, i + n);
    }
    tess_progress_release(&progress);
    tess_block_release(&block);
    file->surveyed = 1;
    return error->code;
}

/* Ragged files share one panel a context: what any of their rows measures there. */
static int panels_of_contexts(struct tess_plan *plan, int64_t *panel_of,
                              struct tess_problems *problems, struct tess_error *error)
{
    int64_t n = plan->readout.n, ragged = 0;
    uint8_t *measured;

    for (int64_t f = 0; f < plan->n_files; f++)
        ragged += plan->file[f].source.ragged;
    if (!ragged)
        return TESS_OK;
    measured =
        tess_alloc_large((size_t)plan->context.n, (size_t)n, "what each context measures", error);
    for (int64_t f = 0; f < plan->n_files && error->code == TESS_OK; f++)
        if (plan->file[f].source.ragged)
            survey(plan, &plan->file[f], measured, problems, error);
    for (int64_t c = 0; c < plan->context.n && error->code == TESS_OK; c++) {
        int64_t *readout = TESS_NEW(int64_t, n), length = 0;

        for (int64_t j = 0; j < n; j++)
            if (measured[c * n + j])
                readout[length++] = j;
        panel_of[c] = add_panel(plan, readout, length);
    }
    tess_free(measured);
    return error->code;
}

/* The number of the combination that is control alone, or -1. */
static int64_t find_control(const struct tess_plan *plan)
{
    int64_t number = tess_intern_find(&plan->component, TESS_CONTROL, strlen(TESS_CONTROL));

    return number < 0 ? -1 : tess_sets_find(&plan->combination, 1, &number);
}

/* Rows to groups: a group for every (combination, context, panel, split). Control is never held
 * out. Labels are freed file by file, for rows are what memory goes to. */
static void group_rows(struct tess_plan *plan, const int64_t *panel_of)
{
    int64_t control = find_control(plan), n_control = 0;
    struct tess_tuples keys;
    size_t room = 0;

    tess_tuples_init(&keys, 4);
    for (int64_t f = 0; f < plan->n_files; f++) {
        struct tess_plan_file *file = &plan->file[f];

        file->group = TESS_NEW(int32_t, file->source.n_rows);
        for (int64_t i = 0; i < file->source.n_rows; i++) {
            int32_t key[4] = {file->combination[i], file->context[i], (int32_t)file->panel,
                              file->split[i]};

            file->group[i] = -1;
            if (key[0] < 0 || key[1] < 0)
                continue;
            if (key[0] == control && (key[3] == TESS_VAL || key[3] == TESS_TEST)) {
                key[3] = TESS_TRAIN;
                n_control++;
            }
            if (file->source.ragged)
                key[2] = (int32_t)panel_of[key[1]];
            if (plan->panel[key[2]].n == 0)
                continue;
            file->group[i] = (int32_t)tess_tuples_add(&keys, key);
            if (keys.n > plan->n_groups) {
                plan->group = tess_grow(plan->group, &room, (size_t)keys.n, sizeof plan->group[0]);
                plan->group[plan->n_groups++] = (struct tess_plan_group){
                    .combination = key[0], .context = key[1], .panel = key[2], .split = key[3]};
            }
            plan->group[file->group[i]].n_rows++;
        }
        tess_free(file->combination);
        tess_free(file->context);
        tess_free(file->split);
        file->combination = file->context = NULL;
        file->split = NULL;
    }
    tess_tuples_release(&keys);
    if (n_control)
        tess_warn("%lld rows of the control are marked val or test: control is trained on",
                  (long long)n_control);
}

struct labelled {
    int32_t group, label, file, row;
};

static int compare_labelled(const void *a, const void *b)
{
    const struct labelled *x = a, *y = b;

    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Rows of labelled replicates: slot = the replicate's number within its group, in order of the
 * labels (those of another file are other replicates). */
static int number_labelled(struct tess_plan *plan, struct tess_error *error)
{
    struct labelled *all =
        tess_alloc_large((size_t)plan->n_rows, sizeof *all, "the rows' replicates", error);
    int64_t n = 0;

    if (!all)
        return error->code;
    for (int32_t f = 0; f < plan->n_files; f++)
        for (int32_t i = 0; i < plan->file[f].source.n_rows; i++)
            if (plan->file[f].group[i] >= 0)
                all[n++] =
                    (struct labelled){plan->file[f].group[i], plan->file[f].replicate[i], f, i};
    qsort(all, (size_t)n, sizeof *all, compare_labelled);
    for (int64_t k = 0; k < n; k++) {
        struct tess_plan_group *group = &plan->group[all[k].group];

        group->n_replicates += k == 0 || all[k].group != all[k - 1].group ||
                               all[k].label != all[k - 1].label || all[k].file != all[k - 1].file;
        plan->file[all[k].file].slot[all[k].row] = (int32_t)group->n_replicates - 1;
    }
    tess_free(all);
    return TESS_OK;
}

/* Without labels every row is a replicate, in order of the files. */
static void number_rows(struct tess_plan *plan)
{
    for (int64_t f = 0; f < plan->n_files; f++)
        for (int64_t i = 0; i < plan->file[f].source.n_rows; i++)
            if (plan->file[f].group[i] >= 0)
                plan->file[f].slot[i] = (int32_t)plan->group[plan->file[f].group[i]].n_replicates++;
}

static int number_replicates(struct tess_plan *plan, struct tess_error *error)
{
    for (int64_t f = 0; f < plan->n_files; f++)
        plan->file[f].slot = TESS_NEW(int32_t, plan->file[f].source.n_rows);
    if (plan->options->source.replicate)
        number_labelled(plan, error);
    else
        number_rows(plan);
    for (int64_t f = 0; f < plan->n_files; f++) {
        tess_free(plan->file[f].replicate);
        plan->file[f].replicate = NULL;
    }
    return error->code;
}

/* Groups of too few replicates are dropped; units are numbered over those that stay: a group's are
 * consecutive, in order of its replicates. */
static void drop_small(struct tess_plan *plan, struct tess_import_result *result)
{
    for (int64_t g = 0; g < plan->n_groups; g++) {
        struct tess_plan_group *group = &plan->group[g];

        result->n_replicate_rows += group->n_rows - 1;
        if (group->n_replicates < plan->options->min_replicates) {
            result->n_dropped++;
            result->n_dropped_rows += group->n_rows;
            group->experiment = -1;
            continue;
        }
        group->first_unit = plan->n_units;
        plan->n_units += group->n_replicates;
    }
    for (int64_t f = 0; f < plan->n_files && result->n_dropped; f++)
        for (int64_t i = 0; i < plan->file[f].source.n_rows; i++) {
            int32_t *at = &plan->file[f].group[i];

            if (*at >= 0 && plan->group[*at].experiment < 0)
                *at = -1;
        }
}

/* --aggregate none: every replicate becomes a group of its own. */
static void explode(struct tess_plan *plan)
{
    struct tess_plan_group *single = TESS_NEW(struct tess_plan_group, plan->n_units);

    for (int64_t g = 0; g < plan->n_groups; g++)
        for (int64_t k = 0; k < plan->group[g].n_replicates && plan->group[g].experiment >= 0;
             k++) {
            int64_t u = plan->group[g].first_unit + k;

            single[u] = plan->group[g];
            single[u].n_rows = 0;
            single[u].n_replicates = 1;
            single[u].first_unit = u;
        }
    for (int64_t f = 0; f < plan->n_files; f++)
        for (int64_t i = 0; i < plan->file[f].source.n_rows; i++) {
            int32_t *group = &plan->file[f].group[i], *slot = &plan->file[f].slot[i];

            if (*group < 0)
                continue;
            *group = (int32_t)plan->group[*group].first_unit + *slot;
            *slot = 0;
            single[*group].n_rows++;
        }
    tess_free(plan->group);
    plan->group = single;
    plan->n_groups = plan->n_units;
}

/* A number of the group that does not depend on the order of files and rows. */
static uint64_t name_hash(const struct tess_plan *plan, const struct tess_plan_group *group)
{
    const char *context = plan->context.text[group->context];
    const int64_t *first = plan->combination.first + group->combination;
    uint64_t hash = 0;

    for (int64_t k = first[0]; k < first[1]; k++) { /* a sum: in any order */
        const char *component = plan->component.text[plan->combination.member[k]];

        hash += XXH3_64bits(component, strlen(component));
    }
    return XXH3_64bits_withSeed(context, strlen(context), hash + (uint64_t)group->split);
}

/* Up to 8 replicates are a fold each; more are dealt out evenly at random, from a stream of the
 * group's names: other groups in the same import do not change its folds. */
static void deal_folds(struct tess_plan *plan)
{
    plan->fold = (int8_t *)tess_alloc((size_t)plan->n_units, 1);
    for (int64_t g = 0; g < plan->n_groups; g++) {
        struct tess_plan_group *group = &plan->group[g];
        int64_t n = group->n_replicates, *order;

        if (group->experiment < 0)
            continue;
        order = TESS_NEW(int64_t, n);
        for (int64_t i = 0; i < n; i++)
            order[i] = i;
        if (n > TESS_STORE_FOLDS)
            tess_random_permute(tess_random_stream((uint64_t)plan->options->seed, TESS_RANDOM_FOLD,
                                                   name_hash(plan, group)),
                                n, order);
        for (int64_t i = 0; i < n; i++)
            plan->fold[group->first_unit + order[i]] = (int8_t)(i % TESS_STORE_FOLDS);
        tess_free(order);
    }
}

/* Weights of an experiment's rows, added up in the order of the files: as if each row was trained
 * on by itself with its own. */
static void weigh_groups(struct tess_plan *plan)
{
    for (int64_t f = 0; f < plan->n_files; f++) {
        struct tess_plan_file *file = &plan->file[f];

        for (int64_t i = 0; file->weight && i < file->source.n_rows; i++)
            if (file->group[i] >= 0)
                plan->group[file->group[i]].weight += (double)file->weight[i];
        tess_free(file->weight);
        file->weight = NULL;
    }
}

int tess_plan_group(struct tess_plan *plan, struct tess_problems *problems,
                    struct tess_import_result *result, struct tess_error *error)
{
    int64_t *panel_of = TESS_NEW(int64_t, plan->context.n);

    for (int64_t f = 0; f < plan->n_files; f++)
        if (!plan->file[f].source.ragged)
            panel_of_file(plan, &plan->file[f]);
    if (panels_of_contexts(plan, panel_of, problems, error) == TESS_OK) {
        group_rows(plan, panel_of);
        if (number_replicates(plan, error) == TESS_OK) {
            drop_small(plan, result);
            if (plan->options->aggregate == TESS_AGGREGATE_NONE)
                explode(plan);
            deal_folds(plan);
            weigh_groups(plan);
        }
    }
    tess_free(panel_of);
    return error->code;
}
