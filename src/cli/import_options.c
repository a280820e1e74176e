/* import_options.c -- the options of check and import, read. */
#include "import_options.h"

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

int tess_import_call_init(struct tess_import_call *in, const struct tess_call *call,
                          struct tess_error *error)
{
    struct tess_import_options *options = &in->options;
    double gigabytes = 1;

    *in = (struct tess_import_call){.limit = 100};
    columns(call, "perturbation", "perturbation", &options->source.perturbation);
    columns(call, "context", "context", &options->source.context);
    tess_call_list(call, "control", &options->control);
    tess_call_list(call, "plus-literal", &options->plus_literal);
    tess_call_list(call, "id-columns", &options->source.id_columns);
    options->plus_literal_all =
        tess_call_option(call, "plus-literal") && options->plus_literal.n == 0;
    options->prefix = tess_call_option(call, "prefix");
    options->readout_prefix = tess_call_option(call, "readout-prefix");
    options->source.layer = tess_call_option(call, "layer");
    options->source.modality = tess_call_option(call, "modality");
    options->source.readout = tess_call_option(call, "readout");
    options->source.metadata = tess_call_option(call, "metadata");
    options->source.metadata_id = tess_call_option(call, "metadata-id");
    options->source.value = tess_call_option(call, "value");
    options->source.split_column = tess_call_option(call, "split-column");
    options->source.replicate = tess_call_option(call, "replicate");
    options->log1p = tess_call_option(call, "log1p") != NULL;
    options->min_replicates = 1;
    options->n_files = call->n_args;
    options->file = call->args;
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
    tess_strings_release(&in->options.control);
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
    if (result->n_dropped)
        fprintf(out, "%-15s %lld experiments of too few replicates (%lld rows)\n", "left out",
                (long long)result->n_dropped, (long long)result->n_dropped_rows);
    tess_summary_print(&result->summary, out);
}
