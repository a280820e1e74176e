/* plan_dose.c -- the columns of doses and times become part of the perturbation's name. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/dose.h"
#include "tessera/error.h"
#include "tessera/tuples.h"

#include <stdio.h>
#include <string.h>

/* The numbers of --dose-levels Low=1,High=9: a level's text, or the text as it is. */
static const char *level_of(const struct tess_import_options *options, const char *text)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < options->dose_levels.n; i++)
        if (strncmp(options->dose_levels.item[i], text, n) == 0 &&
            options->dose_levels.item[i][n] == '=')
            return options->dose_levels.item[i] + n + 1;
    return text;
}

static int is_control(const struct tess_import_options *options, const char *text)
{
    return tess_strings_find(&options->control.name, text) >= 0 || strcmp(text, TESS_CONTROL) == 0;
}

/* One dose cannot be that of several components. */
static int is_combination(const struct tess_import_options *options, const char *text)
{
    return !options->plus_literal_all && tess_strings_find(&options->plus_literal, text) < 0 &&
           strstr(text, options->separator ? options->separator : "+") != NULL;
}

/* A drug's doses are of one kind. */
static int same_kind(struct tess_plan *plan, const char *drug, int kind)
{
    int64_t before = plan->dosed.n, number = tess_intern_add(&plan->dosed, drug, strlen(drug));

    plan->dosed_kind = tess_grow(plan->dosed_kind, &plan->room_dosed, (size_t)number + 1,
                                 sizeof *plan->dosed_kind);
    if (number == before)
        plan->dosed_kind[number] = kind;
    return plan->dosed_kind[number] == kind;
}

/* What a row is called: texts of its columns, NULL where one is missing. */
struct dosed {
    const char *drug, *amount, *time;
};

/* The name with its dose; NULL with the reason. */
static char *name_of(struct tess_plan *plan, const struct dosed *row, char *reason)
{
    const struct tess_import_options *options = plan->options;
    const char *text = row->amount ? level_of(options, row->amount) : NULL;
    struct tess_dose dose = {.hours = 0};

    if (is_control(options, row->drug))
        return tess_strdup(row->drug);
    if (!text || (options->source.time && !row->time))
        snprintf(reason, 256, "'%.80s' has no %s", row->drug, text ? "time" : "dose");
    else if (!tess_dose_amount(text, options->dose_unit, &dose))
        snprintf(
            reason, 256,
            "'%.60s' is no dose: a number and fM, pM, nM, uM, mM, M, or pg/mL … g/mL, or a "
            "number alone (--dose-unit says of what, --dose-levels which word is which number)",
            row->amount);
    else if (dose.amount < 0)
        snprintf(reason, 256, "the dose '%.80s' is negative", row->amount);
    else if (row->time && !tess_dose_hours(row->time, options->time_unit, &dose.hours))
        snprintf(
            reason, 256,
            "'%.80s' is no time: a number and s, min, h or d (--time-unit says of what numbers "
            "alone are)",
            row->time);
    else if (row->time && dose.hours <= 0)
        snprintf(reason, 256, "the time '%.80s' is not above 0", row->time);
    else if (is_combination(options, row->drug))
        snprintf(reason, 256,
                 "'%.80s' is a combination, and a dose is one component's: write "
                 "A@1uM+B@2uM as the perturbation, without --dose",
                 row->drug);
    else if (dose.amount == 0)
        return tess_strdup(TESS_CONTROL);
    else if (!same_kind(plan, row->drug, dose.kind))
        snprintf(reason, 256, "'%.60s' has doses in units of different kinds ('%.60s' here)",
                 row->drug, row->amount);
    else
        return tess_dose_name(row->drug, strlen(row->drug), &dose);
    return NULL;
}

/* The text of a row's level, NULL: missing. */
static const char *text_of(const struct tess_column *column, int64_t row)
{
    int32_t level = column->code ? column->code[row] : -1;

    return level < 0 || !*column->level[level] ? NULL : column->level[level];
}

/* The columns of names, doses and times to one, a name for each triple that occurs. Rows whose name
 * cannot be made are left out, and a problem each first one. */
static void join(struct tess_plan *plan, struct tess_plan_file *file, struct tess_column column[3],
                 struct tess_problems *problems)
{
    const struct tess_source *source = &file->source;
    struct tess_column joined = {0};
    struct tess_tuples triples;
    size_t room = 0;

    tess_tuples_init(&triples, 3);
    for (int64_t row = 0; row < source->n_rows; row++) {
        int32_t triple[3] = {column[0].code[row], column[1].code ? column[1].code[row] : -1,
                             column[2].code ? column[2].code[row] : -1};
        const struct dosed texts = {text_of(&column[0], row), text_of(&column[1], row),
                                    text_of(&column[2], row)};
        char reason[256];
        int64_t number;

        if (file->left_out[row] || !texts.drug)
            continue;
        number = tess_tuples_add(&triples, triple);
        if (number == joined.n_levels) {
            joined.level = tess_grow(joined.level, &room, (size_t)number + 1, sizeof *joined.level);
            joined.level[joined.n_levels++] = name_of(plan, &texts, reason);
            if (!joined.level[number])
                tess_problems_add(problems, source->path, tess_source_place(source, row),
                                  plan->options->source.dose, "%s", reason);
        }
        column[0].code[row] = (int32_t)number;
        if (!joined.level[number])
            file->left_out[row] = TESS_LEFT_UNLABELLED;
    }
    for (int64_t i = 0; i < joined.n_levels; i++)
        joined.level[i] = joined.level[i] ? joined.level[i] : tess_strdup("");
    joined.code = column[0].code;
    column[0].code = NULL;
    tess_column_release(&column[0]);
    column[0] = joined;
    tess_tuples_release(&triples);
}

int tess_plan_add_doses(struct tess_plan *plan, struct tess_plan_file *file,
                        struct tess_column *column, struct tess_problems *problems,
                        struct tess_error *error)
{
    const struct tess_source_options *options = &plan->options->source;
    struct tess_column all[3] = {*column, {0}, {0}};

    if (!options->dose)
        return TESS_OK;
    if (tess_source_read_column(&file->source, options->dose, &all[1], error) == TESS_OK &&
        (!options->time ||
         tess_source_read_column(&file->source, options->time, &all[2], error) == TESS_OK))
        join(plan, file, all, problems);
    *column = all[0];
    tess_column_release(&all[1]);
    tess_column_release(&all[2]);
    return error->code;
}
