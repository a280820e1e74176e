/* labels.c -- the files' metadata columns to numbers, a few bytes a row. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <stdio.h>
#include <string.h>

enum { UNSEEN = -2, BAD = -1 };

/* Two columns to one: "a_b" for every pair that occurs. */
static void join(struct tess_column *column, const struct tess_column *next, int64_t n_rows)
{
    struct tess_intern pairs = {0};
    struct tess_column joined = {0};

    for (int64_t i = 0; i < n_rows; i++) {
        int32_t pair[2] = {column->code[i], next->code[i]};

        column->code[i] = pair[0] < 0 || pair[1] < 0
                              ? -1
                              : (int32_t)tess_intern_add(&pairs, (const char *)pair, sizeof pair);
    }
    joined.n_levels = pairs.n;
    joined.level = TESS_NEW(char *, pairs.n);
    for (int64_t i = 0; i < pairs.n; i++) {
        int32_t pair[2];

        memcpy(pair, pairs.text[i], sizeof pair);
        joined.level[i] = tess_format("%s_%s", column->level[pair[0]], next->level[pair[1]]);
    }
    joined.code = column->code;
    column->code = NULL;
    tess_column_release(column);
    *column = joined;
    tess_intern_release(&pairs);
}

static int read_labels(struct tess_source *source, const struct tess_strings *names,
                       struct tess_column *column, struct tess_error *error)
{
    tess_source_read_column(source, names->item[0], column, error);
    for (size_t i = 1; i < names->n && error->code == TESS_OK; i++) {
        struct tess_column next = {0};

        if (tess_source_read_column(source, names->item[i], &next, error) == TESS_OK)
            join(column, &next, source->n_rows);
        tess_column_release(&next);
    }
    return error->code;
}

/* The number of a label's text; BAD with the reason. */
typedef int32_t number_label(struct tess_plan *plan, const char *text, char *reason);

static int32_t number_context(struct tess_plan *plan, const char *text, char *reason)
{
    (void)reason;
    return (int32_t)tess_intern_add(&plan->context, text, strlen(text));
}

static int32_t number_split(struct tess_plan *plan, const char *text, char *reason)
{
    int split = tess_split_parse(text);

    (void)plan;
    if (split < 0)
        snprintf(reason, 256, "'%.150s' is no split: train, val, test or unused", text);
    return split;
}

/* Levels to numbers (in place), at their first row; a level that has none is one problem. So is
 * every row without a label, if `missing` is BAD. */
static void number_levels(struct tess_plan *plan, const struct tess_source *source,
                          const char *name, struct tess_column *column, number_label *number,
                          int32_t missing, struct tess_problems *problems)
{
    int32_t *of = TESS_NEW(int32_t, column->n_levels);
    char reason[256];

    for (int64_t i = 0; i < column->n_levels; i++)
        of[i] = UNSEEN;
    for (int64_t row = 0; row < source->n_rows; row++) {
        int32_t level = column->code[row];

        if (level < 0 || !*column->level[level]) {
            if (missing == BAD)
                tess_problems_add(problems, source->path, tess_source_place(source, row), name,
                                  "missing");
            column->code[row] = missing;
            continue;
        }
        if (of[level] == UNSEEN) {
            of[level] = number(plan, column->level[level], reason);
            if (of[level] == BAD)
                tess_problems_add(problems, source->path, tess_source_place(source, row), name,
                                  "%s", reason);
        }
        column->code[row] = of[level];
    }
    tess_free(of);
}

static int32_t *take_codes(struct tess_column *column)
{
    int32_t *code = column->code;

    column->code = NULL;
    tess_column_release(column);
    return code;
}

static int label_rows(struct tess_plan *plan, struct tess_plan_file *file,
                      const struct tess_strings *names, number_label *number, int32_t **out,
                      struct tess_problems *problems, struct tess_error *error)
{
    struct tess_column column = {0};

    if (error->code == TESS_OK && read_labels(&file->source, names, &column, error) == TESS_OK) {
        char *name = tess_strings_join(names, "_", names->n);

        number_levels(plan, &file->source, name, &column, number, BAD, problems);
        tess_free(name);
        *out = take_codes(&column);
    }
    tess_column_release(&column);
    return error->code;
}

static int split_rows(struct tess_plan *plan, struct tess_plan_file *file,
                      struct tess_problems *problems, struct tess_error *error)
{
    const char *name = plan->options->source.split_column;
    struct tess_column column = {0};

    file->split = (int8_t *)tess_alloc((size_t)file->source.n_rows, 1);
    if (!name || error->code != TESS_OK ||
        tess_source_read_column(&file->source, name, &column, error) != TESS_OK)
        return error->code;
    number_levels(plan, &file->source, name, &column, number_split, TESS_UNUSED, problems);
    for (int64_t i = 0; i < file->source.n_rows; i++) {
        file->split[i] = (int8_t)(column.code[i] < 0 ? 0 : column.code[i]);
        if (column.code[i] < 0)
            file->context[i] = BAD;
    }
    tess_column_release(&column);
    return TESS_OK;
}

/* Replicate labels keep the order of their texts, so that folds do not depend on the rows' order.
 */
static int replicate_rows(struct tess_plan_file *file, const char *name,
                          struct tess_problems *problems, struct tess_error *error)
{
    struct tess_column column = {0};
    struct tess_vocab sorted;
    int64_t *order;
    int32_t *rank;

    if (!name || error->code != TESS_OK ||
        tess_source_read_column(&file->source, name, &column, error) != TESS_OK)
        return error->code;
    order = TESS_NEW(int64_t, column.n_levels);
    rank = TESS_NEW(int32_t, column.n_levels);
    tess_vocab_init(&sorted, column.n_levels, (const char *const *)column.level, order);
    for (int64_t i = 0; i < column.n_levels; i++)
        rank[order[i]] = (int32_t)i;
    for (int64_t row = 0; row < file->source.n_rows; row++) {
        int32_t level = column.code[row];

        if (level < 0) {
            tess_problems_add(problems, file->source.path, tess_source_place(&file->source, row),
                              name, "missing");
            file->context[row] = BAD;
        }
        column.code[row] = level < 0 ? BAD : rank[level];
    }
    file->replicate = take_codes(&column);
    tess_vocab_release(&sorted);
    tess_free(order);
    tess_free(rank);
    return TESS_OK;
}

static int open_file(struct tess_plan *plan, struct tess_plan_file *file, const char *path,
                     struct tess_problems *problems, struct tess_error *error)
{
    const struct tess_import_options *options = plan->options;

    if (tess_source_open(&file->source, path, &options->source, problems, error) != TESS_OK)
        return error->code;
    tess_debug("%s: %s, %lld rows, %lld readouts", path,
               file->source.kind ? file->source.kind : file->source.type->name,
               (long long)file->source.n_rows, (long long)file->source.n_readouts);
    if (file->source.n_readouts == 0)
        tess_problems_add(problems, path, 0, NULL, "has no readouts");
    if (file->source.n_rows == 0)
        tess_problems_add(problems, path, 0, NULL, "has no rows");
    label_rows(plan, file, &options->source.perturbation, tess_plan_combination, &file->combination,
               problems, error);
    label_rows(plan, file, &options->source.context, number_context, &file->context, problems,
               error);
    split_rows(plan, file, problems, error);
    return replicate_rows(file, options->source.replicate, problems, error);
}

/* The union of the files' readouts, and each file's numbers in it. */
static void number_readouts(struct tess_plan *plan)
{
    const char *prefix = plan->options->readout_prefix ? plan->options->readout_prefix : "";
    struct tess_intern all = {0};
    int64_t *order, *number;

    for (int64_t f = 0; f < plan->n_files; f++) {
        struct tess_source *source = &plan->file[f].source;

        plan->file[f].readout = TESS_NEW(int32_t, source->n_readouts);
        for (int64_t i = 0; i < source->n_readouts; i++) {
            char *symbol = tess_format("%s%s", prefix, source->readout.item[i]);

            plan->file[f].readout[i] = (int32_t)tess_intern_add(&all, symbol, strlen(symbol));
            tess_free(symbol);
        }
    }
    order = TESS_NEW(int64_t, all.n);
    number = TESS_NEW(int64_t, all.n);
    tess_vocab_init(&plan->readout, all.n, all.text, order);
    for (int64_t i = 0; i < all.n; i++)
        number[order[i]] = i;
    for (int64_t f = 0; f < plan->n_files; f++)
        for (int64_t i = 0; i < plan->file[f].source.n_readouts; i++)
            plan->file[f].readout[i] = (int32_t)number[plan->file[f].readout[i]];
    tess_free(order);
    tess_free(number);
    tess_intern_release(&all);
}

static void check_controls(struct tess_plan *plan, struct tess_problems *problems)
{
    const struct tess_strings *control = &plan->options->control;

    for (size_t i = 0; i < control->n; i++)
        if (tess_strings_find(&plan->control_seen, control->item[i]) < 0) {
            if (plan->control_seen.n == 0)
                tess_problems_add(problems, plan->options->file[0], 0, NULL,
                                  "--control '%s' is no perturbation of any file",
                                  control->item[i]);
            else
                tess_warn("--control '%s' is no perturbation of any file", control->item[i]);
        }
}

static void release_file(struct tess_plan_file *file)
{
    tess_source_release(&file->source);
    tess_free(file->readout);
    tess_free(file->position);
    tess_free(file->combination);
    tess_free(file->context);
    tess_free(file->replicate);
    tess_free(file->split);
    tess_free(file->group);
    tess_free(file->slot);
}

/* One more file of the plan; one that cannot be read is left out, if problems go on. */
static int add_file(struct tess_plan *plan, const char *path, struct tess_problems *problems,
                    struct tess_error *error)
{
    struct tess_plan_file *file = &plan->file[plan->n_files++];

    if (open_file(plan, file, path, problems, error) == TESS_OK) {
        plan->n_rows += file->source.n_rows;
    } else if (problems->go_on && error->code == TESS_EDATA) {
        tess_problems_take(problems, error);
        release_file(file);
        *file = (struct tess_plan_file){0};
        plan->n_files--;
        plan->n_unread++;
    }
    return error->code;
}

int tess_plan_open(struct tess_plan *plan, const struct tess_import_options *options,
                   struct tess_problems *problems, struct tess_error *error)
{
    *plan = (struct tess_plan){.options = options};
    plan->file = TESS_NEW(struct tess_plan_file, options->n_files);
    for (int64_t f = 0; f < options->n_files && error->code == TESS_OK; f++)
        add_file(plan, options->file[f], problems, error);
    if (error->code == TESS_OK && plan->n_rows > INT32_MAX)
        tess_error_set(error, TESS_EDATA, "%s: more than 2^31 rows in one store: import in parts",
                       options->file[0]);
    if (error->code != TESS_OK)
        return error->code;
    number_readouts(plan);
    if (plan->n_unread == 0)
        check_controls(plan, problems);
    return TESS_OK;
}

void tess_plan_release(struct tess_plan *plan)
{
    for (int64_t f = 0; plan->file && f < plan->n_files; f++)
        release_file(&plan->file[f]);
    for (size_t i = 0; i < plan->n_panels; i++)
        tess_free(plan->panel[i].readout);
    tess_intern_release(&plan->component);
    tess_intern_release(&plan->context);
    tess_intern_release(&plan->combination);
    tess_vocab_release(&plan->readout);
    tess_strings_release(&plan->control_seen);
    tess_free(plan->n_members);
    tess_free(plan->panel);
    tess_free(plan->group);
    tess_free(plan->fold);
    tess_free(plan->file);
    *plan = (struct tess_plan){0};
}
