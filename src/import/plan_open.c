/* plan_open.c -- the files are opened; what the options name is held against what they hold. */
#include "plan.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/source_open.h"

#include <string.h>
#include <sys/stat.h>

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
    return tess_plan_label(plan, file, problems, error);
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

/* Did a control that was given occur? As a whole, or as a list of which each part is looked at. */
static void check_controls(struct tess_plan *plan, struct tess_problems *problems)
{
    const struct tess_controls *control = &plan->options->control;
    struct tess_strings unseen = {0};

    for (size_t i = 0; i < control->given.n; i++) {
        struct tess_strings part = {0};

        if (tess_strings_find(&plan->control_seen, control->given.item[i]) < 0)
            tess_strings_split(&part, control->given.item[i], ',');
        for (size_t k = 0; k < part.n; k++)
            if (tess_strings_find(&plan->control_seen, part.item[k]) < 0)
                tess_strings_add(&unseen, part.item[k]);
        tess_strings_release(&part);
    }
    for (size_t i = 0; i < unseen.n; i++) {
        if (plan->control_seen.n == 0)
            tess_problems_add(problems, plan->options->file[0], 0, NULL,
                              "--control '%s' is no perturbation of any file", unseen.item[i]);
        else
            tess_warn("--control '%s' is no perturbation of any file", unseen.item[i]);
    }
    if (control->name.n > 0 && control->given.n == 0 && plan->control_seen.n == 0)
        tess_problems_add(problems, plan->options->file[0], 0, NULL,
                          "--control: none of the %zu names in its file is a perturbation of any "
                          "file",
                          control->name.n);
    tess_strings_release(&unseen);
}

/* A value that no row has is misspelt, or does no harm: a warning. */
static void check_filter(const struct tess_plan *plan)
{
    struct tess_strings unmet = {0};

    if (plan->options->source.filter)
        tess_filter_unmet(plan->options->source.filter, &unmet);
    for (size_t i = 0; i < unmet.n; i++)
        tess_warn("%s: no row of any file has that", unmet.item[i]);
    tess_strings_release(&unmet);
}

/* A split that was found, not asked for, counts if every file has one. */
static void settle_split(struct tess_plan *plan)
{
    const struct tess_source_options *options = &plan->options->source;
    int64_t n = 0;

    plan->split_column = options->split_column;
    for (int64_t f = 0; f < plan->n_files; f++)
        n += plan->file[f].has_split;
    if (options->split_column || n == 0)
        return;
    if (n == plan->n_files) {
        plan->split_column = "split";
        tess_info("column 'split' says what is held out (--split-column none: nothing is)");
        return;
    }
    tess_warn("only %lld of %lld files have a column 'split': it is not used", (long long)n,
              (long long)plan->n_files);
    for (int64_t f = 0; f < plan->n_files; f++)
        memset(plan->file[f].split, TESS_TRAIN, (size_t)plan->file[f].source.n_rows);
}

/* The same file twice would be replicates that agree perfectly. */
static void check_repeats(const struct tess_plan *plan, struct tess_problems *problems)
{
    const struct tess_import_options *options = plan->options;
    struct stat *status = TESS_NEW(struct stat, options->n_files);

    for (int64_t f = 0; f < options->n_files; f++) {
        if (stat(options->file[f], &status[f]) < 0)
            continue; /* opening it will say why */
        for (int64_t k = 0; k < f; k++)
            if (status[k].st_ino == status[f].st_ino && status[k].st_dev == status[f].st_dev) {
                tess_problems_add(problems, options->file[f], 0, NULL,
                                  "is the same file as '%s': its rows would count as further "
                                  "replicates; name it once",
                                  options->file[k]);
                break;
            }
    }
    tess_free(status);
}

static void count_left_out(const struct tess_plan *plan, struct tess_import_result *result)
{
    for (int64_t f = 0; f < plan->n_files; f++)
        result->n_unwanted += plan->file[f].source.n_unwanted;
    for (int64_t f = 0; f < plan->n_files; f++)
        for (int64_t i = 0; i < plan->file[f].source.n_rows; i++) {
            result->n_unwanted += plan->file[f].left_out[i] == TESS_LEFT_UNWANTED;
            result->n_unlabelled += plan->file[f].left_out[i] == TESS_LEFT_UNLABELLED;
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
    tess_free(file->left_out);
    tess_free(file->weight);
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
                   struct tess_problems *problems, struct tess_import_result *result,
                   struct tess_error *error)
{
    *plan = (struct tess_plan){.options = options};
    plan->file = TESS_NEW(struct tess_plan_file, options->n_files);
    check_repeats(plan, problems);
    for (int64_t f = 0; f < options->n_files && error->code == TESS_OK; f++)
        add_file(plan, options->file[f], problems, error);
    if (error->code == TESS_OK && plan->n_rows > INT32_MAX)
        tess_error_set(error, TESS_EDATA, "%s: more than 2^31 rows in one store: import in parts",
                       options->file[0]);
    if (error->code != TESS_OK)
        return error->code;
    number_readouts(plan);
    if (plan->n_unread == 0) {
        check_controls(plan, problems);
        check_filter(plan);
    }
    settle_split(plan);
    count_left_out(plan, result);
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
    tess_intern_release(&plan->dosed);
    tess_free(plan->dosed_kind);
    tess_sets_release(&plan->combination);
    tess_vocab_release(&plan->readout);
    tess_strings_release(&plan->control_seen);
    tess_free(plan->panel);
    tess_free(plan->group);
    tess_free(plan->fold);
    tess_free(plan->file);
    *plan = (struct tess_plan){0};
}
