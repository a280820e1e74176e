/* import_options.c -- the options of check and import, read. */
#include "import_options.h"

#include "tessera/dose.h"
#include "tessera/error.h"

#include <string.h>

static int read_aggregate(const struct tess_call *call, struct tess_import_options *options,
                          struct tess_error *error)
{
    static const char *const names[] = {"mean", "median", "none"};
    const char *given = tess_call_option(call, "aggregate");

    for (int i = 0; given && i < 3; i++)
        if (strcmp(given, names[i]) == 0) {
            options->aggregate = i;
            return TESS_OK;
        }
    if (given)
        tess_error_set(error, TESS_EUSAGE, "--aggregate: '%s' is not mean, median or none", given);
    return error->code;
}

static void columns(const struct tess_call *call, const char *option, const char *otherwise,
                    struct tess_strings *out)
{
    tess_call_list(call, option, out);
    if (out->n == 0)
        tess_strings_add(out, otherwise);
}

/* Every value given is a name, and if it holds commas, a list of names as well. */
static int read_controls(const struct tess_strings *given, struct tess_controls *control,
                         struct tess_error *error)
{
    for (size_t i = 0; i < given->n && error->code == TESS_OK; i++) {
        const char *text = given->item[i];

        if (text[0] == '@') {
            tess_strings_read(&control->name, text + 1, error);
            continue;
        }
        tess_strings_add(&control->given, text);
        tess_strings_add(&control->name, text);
        if (strchr(text, ','))
            tess_strings_split(&control->name, text, ',');
    }
    return error->code;
}

static int read_filter(const struct tess_call *call, struct tess_filter *filter,
                       struct tess_error *error)
{
    for (int keep = 0; keep < 2; keep++) {
        const struct tess_strings *given = tess_call_all(call, keep ? "keep" : "drop");

        for (size_t i = 0; i < given->n && error->code == TESS_OK; i++)
            tess_filter_add(filter, keep, given->item[i], error);
    }
    return error->code;
}

/* --columns, and what it makes the labels' columns by default. */
static int read_columns(const struct tess_call *call, struct tess_source_options *source,
                        struct tess_error *error)
{
    static const char *const names[] = {"readout", "perturbation", "context"};
    const char *given = tess_call_option(call, "columns");
    const struct tess_strings *label;

    source->columns = given ? -1 : TESS_COLUMNS_READOUT;
    for (int i = 0; given && i < 3; i++)
        if (strcmp(given, names[i]) == 0)
            source->columns = i;
    if (source->columns < 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--columns: '%s' is not readout, perturbation or context", given);
    tess_call_list(call, "combine", &source->combine);
    if (source->combine.n == 0)
        columns(call, "perturbation",
                source->columns == TESS_COLUMNS_PERTURBATION ? TESS_COLUMN_NAMES : "perturbation",
                &source->perturbation);
    else if (tess_call_option(call, "perturbation"))
        return tess_error_set(error, TESS_EUSAGE,
                              "--combine names the columns of the perturbation: leave out "
                              "--perturbation");
    columns(call, "context",
            source->columns == TESS_COLUMNS_CONTEXT ? TESS_COLUMN_NAMES : "context",
            &source->context);
    label = source->columns == TESS_COLUMNS_CONTEXT ? &source->context
            : source->combine.n                     ? &source->combine
                                                    : &source->perturbation;
    if (source->columns && !source->metadata && tess_strings_find(label, TESS_COLUMN_NAMES) < 0)
        tess_error_set(error, TESS_EUSAGE,
                       "--columns %s: --%s names other columns: leave it out, or name %s too",
                       given, given, TESS_COLUMN_NAMES);
    if (source->columns && source->value)
        tess_error_set(error, TESS_EUSAGE, "--columns %s: --value is for long tables", given);
    return error->code;
}

static int read_values(const struct tess_call *call, struct tess_source_options *source,
                       struct tess_error *error)
{
    const char *infinite = tess_call_option(call, "infinite");

    tess_call_list(call, "values", &source->values);
    tess_call_list(call, "missing", &source->missing);
    if (infinite && strcmp(infinite, "missing") != 0)
        return tess_error_set(error, TESS_EUSAGE, "--infinite: '%s' is not missing", infinite);
    source->infinite_missing = infinite != NULL;
    return TESS_OK;
}

/* Units are checked before a file is opened: with the number 1. */
static int read_doses(const struct tess_call *call, struct tess_import_options *options,
                      struct tess_error *error)
{
    struct tess_dose one;
    double hours;

    options->source.dose = tess_call_option(call, "dose");
    options->source.time = tess_call_option(call, "time");
    options->dose_unit = tess_call_option(call, "dose-unit");
    options->time_unit = tess_call_option(call, "time-unit");
    tess_call_list(call, "dose-levels", &options->dose_levels);
    if (!options->source.dose && (options->source.time || options->dose_unit ||
                                  options->time_unit || options->dose_levels.n > 0))
        return tess_error_set(error, TESS_EUSAGE,
                              "--time, --dose-unit, --time-unit and --dose-levels go with --dose, "
                              "which names the column of doses");
    if (options->source.dose && tess_call_option(call, "combine"))
        return tess_error_set(error, TESS_EUSAGE,
                              "--dose: a dose is one component's: leave out --combine, or give "
                              "perturbations such as A@1uM+B@2uM without --dose");
    if (options->dose_unit && !tess_dose_amount("1", options->dose_unit, &one))
        return tess_error_set(error, TESS_EUSAGE,
                              "--dose-unit: '%s' is no unit: fM, pM, nM, uM, mM, M, or pg/mL, "
                              "ng/mL, ug/mL, mg/mL, g/mL",
                              options->dose_unit);
    if (options->time_unit && !tess_dose_hours("1", options->time_unit, &hours))
        return tess_error_set(error, TESS_EUSAGE, "--time-unit: '%s' is no unit: s, min, h or d",
                              options->time_unit);
    for (size_t i = 0; i < options->dose_levels.n; i++) {
        const char *value = strrchr(options->dose_levels.item[i], '=');

        if (!value || !tess_dose_amount(value + 1, options->dose_unit, &one))
            return tess_error_set(error, TESS_EUSAGE,
                                  "--dose-levels: '%s' is not WORD=NUMBER, as in Low=1,High=9",
                                  options->dose_levels.item[i]);
    }
    return error->code;
}

/* What goes into symbols must be text that others can read. */
static int check_prefix(const char *option, const char *text, struct tess_error *error)
{
    if (text && !tess_text_is_utf8(text, strlen(text)))
        return tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is no UTF-8", option, text);
    return error->code;
}

/* Every option is read even after an error: the first error's sentence stays (error.h), and what is
 * read is released by the caller either way. */
int tess_import_call_init(struct tess_import_call *in, const struct tess_call *call,
                          struct tess_error *error)
{
    struct tess_import_options *options = &in->options;
    double gigabytes = 1;

    *in = (struct tess_import_call){.limit = 100};
    read_controls(tess_call_all(call, "control"), &options->control, error);
    read_filter(call, &in->filter, error);
    options->source.filter = &in->filter;
    options->source.control_column = tess_call_option(call, "control-column");
    read_doses(call, options, error);
    options->separator = tess_call_option(call, "separator");
    options->drop_unlabelled = tess_call_option(call, "drop-unlabelled") != NULL;
    if (options->separator && !*options->separator)
        tess_error_set(error, TESS_EUSAGE, "--separator: an empty text separates nothing");
    tess_call_list(call, "plus-literal", &options->plus_literal);
    tess_call_list(call, "id-columns", &options->source.id_columns);
    options->plus_literal_all =
        tess_call_option(call, "plus-literal") && options->plus_literal.n == 0;
    if (options->plus_literal_all && options->separator)
        tess_error_set(error, TESS_EUSAGE,
                       "--plus-literal without symbols joins nothing, and --separator says what "
                       "joins: leave out one of them");
    options->prefix = tess_call_option(call, "prefix");
    options->readout_prefix = tess_call_option(call, "readout-prefix");
    check_prefix("prefix", options->prefix, error);
    check_prefix("readout-prefix", options->readout_prefix, error);
    options->source.layer = tess_call_option(call, "layer");
    options->source.modality = tess_call_option(call, "modality");
    options->source.readout = tess_call_option(call, "readout");
    options->source.metadata = tess_call_option(call, "metadata");
    options->source.metadata_id = tess_call_option(call, "metadata-id");
    options->source.value = tess_call_option(call, "value");
    options->source.split_column = tess_call_option(call, "split-column");
    options->ignore_split =
        options->source.split_column && strcmp(options->source.split_column, "none") == 0;
    if (options->ignore_split)
        options->source.split_column = NULL;
    options->source.find_split = !options->source.split_column;
    options->source.replicate = tess_call_option(call, "replicate");
    options->source.weight = tess_call_option(call, "weight");
    options->log1p = tess_call_option(call, "log1p") != NULL;
    options->min_replicates = 1;
    options->n_files = call->n_args;
    options->file = call->args;
    options->source.spools = &in->spools;
    read_columns(call, &options->source, error);
    read_values(call, &options->source, error);
    read_aggregate(call, options, error);
    tess_call_double(call, "normalize-total", 1e-30, 1e30, &options->normalize_total, error);
    tess_call_double(call, "clip", 1e-30, 1e30, &options->clip, error);
    tess_call_double(call, "memory", 1e-6, 1e6, &gigabytes, error);
    tess_call_int(call, "min-replicates", 1, INT32_MAX, &options->min_replicates, error);
    tess_call_int(call, "seed", 0, INT64_MAX, &options->seed, error);
    tess_call_int(call, "limit", 0, INT64_MAX, &in->limit, error);
    options->memory = gigabytes * 1e9;
    return error->code;
}

void tess_import_call_release(struct tess_import_call *in)
{
    tess_strings_release(&in->options.source.perturbation);
    tess_strings_release(&in->options.source.context);
    tess_strings_release(&in->options.source.id_columns);
    tess_strings_release(&in->options.source.combine);
    tess_strings_release(&in->options.dose_levels);
    tess_strings_release(&in->options.control.name);
    tess_strings_release(&in->options.control.given);
    tess_filter_release(&in->filter);
    tess_strings_release(&in->options.source.values);
    tess_strings_release(&in->options.source.missing);
    tess_spools_release(&in->spools);
    tess_strings_release(&in->options.plus_literal);
}

void tess_import_print(const struct tess_import_result *result, FILE *out)
{
    for (size_t i = 0; i < result->kind.n; i++)
        fprintf(out, "%s\n", result->kind.item[i]);
    fprintf(out,
            "%-15s %lld, %lld of them beyond the first of their experiment (duplicates or "
            "replicates)\n",
            "rows", (long long)result->n_rows, (long long)result->n_replicate_rows);
    if (result->n_unwanted)
        fprintf(out, "%-15s %lld rows (--keep, --drop)\n", "left out",
                (long long)result->n_unwanted);
    if (result->n_unlabelled)
        fprintf(out, "%-15s %lld rows without a label (--drop-unlabelled)\n", "left out",
                (long long)result->n_unlabelled);
    if (result->n_dropped)
        fprintf(out, "%-15s %lld experiments of too few replicates (%lld rows)\n", "left out",
                (long long)result->n_dropped, (long long)result->n_dropped_rows);
    tess_summary_print(&result->summary, out);
    for (size_t i = 0; i < result->remark.n; i++)
        fprintf(out, "%-15s %s\n", "remark", result->remark.item[i]);
}
