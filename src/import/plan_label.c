/* plan_label.c -- the files' metadata columns to numbers, a few bytes a row. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/number.h"
#include "tessera/tuples.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Numbers that are none: without a label, which a later column may give; not looked at yet; bad, or
 * left out. */
enum { ABSENT = -3, UNSEEN = -2, BAD = -1 };

/* -666 is the missing value of CMap, in tables as well. */
static void take_missing(struct tess_column *column, int64_t n_rows)
{
    for (int64_t row = 0; row < n_rows; row++) {
        int32_t level = column->code[row];

        if (level >= 0 && (!*column->level[level] || strcmp(column->level[level], "-666") == 0))
            column->code[row] = -1;
    }
}

/* Two columns to one: "a_b" for every pair that occurs. */
static void join(struct tess_column *column, const struct tess_column *next, int64_t n_rows)
{
    struct tess_tuples pairs;
    struct tess_column joined = {0};

    tess_tuples_init(&pairs, 2);
    for (int64_t i = 0; i < n_rows; i++) {
        int32_t pair[2] = {column->code[i], next->code[i]};

        column->code[i] = pair[0] < 0 || pair[1] < 0 ? -1 : (int32_t)tess_tuples_add(&pairs, pair);
    }
    joined.n_levels = pairs.n;
    joined.level = TESS_NEW(char *, pairs.n);
    for (int64_t i = 0; i < pairs.n; i++) {
        const int32_t *pair = pairs.code + 2 * i;

        joined.level[i] = tess_format("%s_%s", column->level[pair[0]], next->level[pair[1]]);
    }
    joined.code = column->code;
    column->code = NULL;
    tess_column_release(column);
    *column = joined;
    tess_tuples_release(&pairs);
}

/* Different tuples that give the same text would be taken for one label. */
static int check_joined(const struct tess_source *source, const struct tess_column *column,
                        struct tess_error *error)
{
    struct tess_intern seen = {0};

    for (int64_t i = 0; i < column->n_levels && error->code == TESS_OK; i++) {
        int64_t before = seen.n;

        if (tess_intern_add(&seen, column->level[i], strlen(column->level[i])) < before)
            tess_error_set(error, TESS_EDATA,
                           "%s: joined by _, different labels become the same text '%s': rename "
                           "one of them",
                           source->path, column->level[i]);
    }
    tess_intern_release(&seen);
    return error->code;
}

static int read_labels(struct tess_source *source, const struct tess_strings *names,
                       struct tess_column *column, struct tess_error *error)
{
    if (tess_source_read_column(source, names->item[0], column, error) == TESS_OK)
        take_missing(column, source->n_rows);
    for (size_t i = 1; i < names->n && error->code == TESS_OK; i++) {
        struct tess_column next = {0};

        if (tess_source_read_column(source, names->item[i], &next, error) == TESS_OK) {
            take_missing(&next, source->n_rows);
            join(column, &next, source->n_rows);
            check_joined(source, column, error);
        }
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

static int32_t number_truth(struct tess_plan *plan, const char *text, char *reason)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "f", "t", "n", "y"};

    (void)plan;
    for (int i = 0; i < 10; i++)
        if (strcasecmp(text, words[i]) == 0)
            return i % 2;
    snprintf(reason, 256, "'%.150s' is neither true nor false", text);
    return BAD;
}

/* A row without a label: a problem, or left out. */
static void settle_absent(const struct tess_plan *plan, struct tess_plan_file *file,
                          const char *name, int64_t row, struct tess_problems *problems)
{
    if (plan->options->drop_unlabelled)
        file->left_out[row] = TESS_LEFT_UNLABELLED;
    else
        tess_problems_add(problems, file->source.path, tess_source_place(&file->source, row), name,
                          "missing (--drop-unlabelled leaves out rows without a label)");
}

/* How labels become numbers, and what a row without one gets; if that is BAD, it is settled. */
struct numbering {
    number_label *number;
    int32_t missing;
};

/* Levels to numbers (in place), at their first row; a level that has none is one problem. Rows that
 * are left out get BAD. */
static void number_levels(struct tess_plan *plan, struct tess_plan_file *file, const char *name,
                          struct tess_column *column, struct numbering rule,
                          struct tess_problems *problems)
{
    const struct tess_source *source = &file->source;
    int32_t *of = TESS_NEW(int32_t, column->n_levels);
    char reason[256];

    for (int64_t i = 0; i < column->n_levels; i++)
        of[i] = UNSEEN;
    for (int64_t row = 0; row < source->n_rows; row++) {
        int32_t level = column->code[row];

        if (file->left_out[row]) {
            column->code[row] = BAD;
            continue;
        }
        if (level < 0 || !*column->level[level]) {
            if (rule.missing == BAD)
                settle_absent(plan, file, name, row, problems);
            column->code[row] = rule.missing;
            continue;
        }
        if (of[level] == UNSEEN) {
            of[level] = rule.number(plan, column->level[level], reason);
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

/* One number a row from the columns, whose texts are joined; own of the caller. NULL and an error
 * if they cannot be read, or if there is an error already. */
static int32_t *label_rows(struct tess_plan *plan, struct tess_plan_file *file,
                           const struct tess_strings *names, struct numbering rule,
                           struct tess_problems *problems, struct tess_error *error)
{
    struct tess_column column = {0};
    int32_t *labels = NULL;

    if (error->code == TESS_OK && read_labels(&file->source, names, &column, error) == TESS_OK &&
        (names != &plan->options->source.perturbation ||
         tess_plan_add_doses(plan, file, &column, problems, error) == TESS_OK)) {
        char *name = tess_strings_join(names, "_", names->n);

        number_levels(plan, file, name, &column, rule, problems);
        tess_free(name);
        labels = take_codes(&column);
    }
    tess_column_release(&column);
    return labels;
}

/* The combinations a and b of n rows, one for each pair, into a. One that is ABSENT adds nothing.
 */
static void combine(struct tess_plan *plan, int64_t n, int32_t *a, const int32_t *b)
{
    struct tess_tuples pairs;
    int32_t *of = NULL;
    size_t room = 0;

    tess_tuples_init(&pairs, 2);
    for (int64_t row = 0; row < n; row++) {
        int32_t pair[2] = {a[row], b[row]};
        int64_t before = pairs.n, number;

        if (a[row] == BAD || b[row] == BAD || b[row] == ABSENT) {
            a[row] = b[row] == BAD ? BAD : a[row];
            continue;
        }
        if (a[row] == ABSENT) {
            a[row] = b[row];
            continue;
        }
        number = tess_tuples_add(&pairs, pair);
        if (number == before) {
            of = tess_grow(of, &room, (size_t)pairs.n, sizeof *of);
            of[number] = tess_plan_combine(plan, pair[0], pair[1]);
        }
        a[row] = of[number];
    }
    tess_free(of);
    tess_tuples_release(&pairs);
}

/* --combine: each column has a symbol (or a combination) of its own. */
static int combine_rows(struct tess_plan *plan, struct tess_plan_file *file,
                        const struct tess_strings *names, struct tess_problems *problems,
                        struct tess_error *error)
{
    for (size_t i = 0; i < names->n && error->code == TESS_OK; i++) {
        struct tess_strings one = {.n = 1, .item = &names->item[i]};
        int32_t *labels = label_rows(
            plan, file, &one, (struct numbering){tess_plan_combination, ABSENT}, problems, error);

        if (i == 0) {
            file->combination = labels;
            continue;
        }
        if (labels)
            combine(plan, file->source.n_rows, file->combination, labels);
        tess_free(labels);
    }
    return error->code;
}

/* Rows that --control-column marks are the control, whatever else they are called. */
static int mark_controls(struct tess_plan *plan, struct tess_plan_file *file,
                         struct tess_problems *problems, struct tess_error *error)
{
    const char *name = plan->options->source.control_column;
    struct tess_column column = {0};
    char reason[256];

    if (!name || error->code != TESS_OK ||
        tess_source_read_column(&file->source, name, &column, error) != TESS_OK)
        return error->code;
    number_levels(plan, file, name, &column, (struct numbering){number_truth, 0}, problems);
    for (int64_t row = 0; row < file->source.n_rows; row++)
        if (column.code[row] == 1)
            file->combination[row] = tess_plan_combination(plan, TESS_CONTROL, reason);
    tess_column_release(&column);
    return TESS_OK;
}

static int label_perturbations(struct tess_plan *plan, struct tess_plan_file *file,
                               struct tess_problems *problems, struct tess_error *error)
{
    const struct tess_source_options *options = &plan->options->source;
    const struct tess_strings *names =
        options->combine.n ? &options->combine : &options->perturbation;
    int later = options->combine.n || options->control_column; /* may give a row its label */
    char *name;

    if (options->combine.n)
        combine_rows(plan, file, names, problems, error);
    else
        file->combination = label_rows(
            plan, file, names, (struct numbering){tess_plan_combination, later ? ABSENT : BAD},
            problems, error);
    if (mark_controls(plan, file, problems, error) != TESS_OK || !later)
        return error->code;
    name = tess_strings_join(names, "_", names->n);
    for (int64_t row = 0; row < file->source.n_rows; row++)
        if (file->combination[row] == ABSENT) {
            settle_absent(plan, file, name, row, problems);
            file->combination[row] = BAD;
        }
    tess_free(name);
    return TESS_OK;
}

/* Does the column hold splits, and nothing else, in the rows that count? Says so if it holds some.
 */
static int holds_splits(const struct tess_plan_file *file, const struct tess_column *column)
{
    int64_t odd = -1, found = 0;

    for (int64_t row = 0; row < file->source.n_rows; row++) {
        const char *text = column->code[row] < 0 ? "" : column->level[column->code[row]];

        if (file->left_out[row])
            continue;
        if (*text && tess_split_parse(text) >= 0)
            found++;
        else if (odd < 0)
            odd = row;
    }
    if (found && odd >= 0) {
        int32_t level = column->code[odd];

        tess_warn("%s: column 'split' is not used, since row %lld has %s there: name it with "
                  "--split-column (nothing is unused), or turn it off with --split-column none",
                  file->source.path, (long long)tess_source_place(&file->source, odd),
                  level < 0 || !*column->level[level] ? "nothing" : column->level[level]);
    }
    return found && odd < 0;
}

/* A row whose split cannot be read loses its context, and so its place in any experiment; the
 * problem has been told. Without a split everything is TESS_TRAIN, which is 0. */
static int split_rows(struct tess_plan *plan, struct tess_plan_file *file,
                      struct tess_problems *problems, struct tess_error *error)
{
    const struct tess_source_options *options = &plan->options->source;
    const char *name = options->split_column;
    struct tess_column column = {0};

    file->split = (int8_t *)tess_alloc((size_t)file->source.n_rows, 1);
    if (!name && options->find_split && !plan->options->ignore_split &&
        tess_source_has_column(&file->source, "split"))
        name = "split";
    if (!name || error->code != TESS_OK ||
        tess_source_read_column(&file->source, name, &column, error) != TESS_OK)
        return error->code;
    file->has_split = options->split_column || holds_splits(file, &column);
    if (file->has_split) {
        number_levels(plan, file, name, &column, (struct numbering){number_split, TESS_UNUSED},
                      problems);
        for (int64_t i = 0; i < file->source.n_rows; i++) {
            file->split[i] = (int8_t)(column.code[i] < 0 ? 0 : column.code[i]);
            if (column.code[i] < 0)
                file->context[i] = BAD;
        }
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

        if (level < 0 && !file->left_out[row]) {
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

/* A row without a usable weight loses its context, as one without a split. */
static int weigh_rows(struct tess_plan_file *file, const char *name, struct tess_problems *problems,
                      struct tess_error *error)
{
    struct tess_column column = {0};

    if (!name || error->code != TESS_OK ||
        tess_source_read_column(&file->source, name, &column, error) != TESS_OK)
        return error->code;
    file->weight = TESS_NEW(float, file->source.n_rows);
    for (int64_t row = 0; row < file->source.n_rows; row++) {
        const char *text = column.code[row] < 0 ? "" : column.level[column.code[row]];
        enum tess_number kind = tess_number_read(text, strlen(text), &file->weight[row]);

        if (file->left_out[row] || (kind == TESS_NUMBER_FINITE && file->weight[row] >= 0))
            continue;
        tess_problems_add(problems, file->source.path, tess_source_place(&file->source, row), name,
                          kind == TESS_NUMBER_MISSING
                              ? "missing: a weight is a number, 0 or more"
                              : "'%.150s' is no weight: a number, 0 or more",
                          text);
        file->context[row] = BAD;
    }
    tess_column_release(&column);
    return TESS_OK;
}

/* The order matters: the filter says which rows count, perturbations leave out rows without one,
 * and those are then asked for no context, split or replicate. */
int tess_plan_label(struct tess_plan *plan, struct tess_plan_file *file,
                    struct tess_problems *problems, struct tess_error *error)
{
    const struct tess_source_options *options = &plan->options->source;

    file->left_out = (int8_t *)tess_alloc((size_t)file->source.n_rows, 1);
    file->source.left_out = file->left_out;
    if (options->filter &&
        tess_filter_apply(options->filter, &file->source, file->left_out, error) != TESS_OK)
        return error->code;
    label_perturbations(plan, file, problems, error);
    file->context = label_rows(plan, file, &options->context,
                               (struct numbering){number_context, BAD}, problems, error);
    split_rows(plan, file, problems, error);
    replicate_rows(file, options->replicate, problems, error);
    return weigh_rows(file, options->weight, problems, error);
}
