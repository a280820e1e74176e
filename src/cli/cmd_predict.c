/* cmd_predict.c -- tessera predict: a model's values for a list of queries. */
#include "commands.h"

#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/queries.h"

#include <string.h>

static const struct tess_option options[] = {
    {"output", 'o', "OUT.tsv|OUT.csv|-", "where to write (required); -: standard output"},
    {"readouts", 'r', "LIST",
     "readouts of queries that name none (default: all that were trained)"},
    {"curve", 0, "DRUG[,DRUG]",
     "instead of QUERIES: doses of these drugs (drug, or drug@24h), a line each"},
    {"doses", 0, "FROM:TO:N",
     "with --curve: as 0.01uM:100uM:13, even by the logarithm (default: what was measured and "
     "beyond)"},
    {"contexts", 'c', "LIST", "with --curve: in these contexts (default: all that were trained)"},
    {"unknown", 0, "nan", "unknown symbols get nan (default: they are refused)"},
    {"force", 'f', NULL, "replace an output that is there already"},
    {"store", 0, "STORE", "of the baselines (default: the store the model was trained on)"},
    {"blend", 0, "auto|on|off",
     "with the baseline that the training found best (default auto: where it pays)"},
    TESS_CALL_PRECISION,
    {"memory", 0, "SIZE", "at most so much of each rank (500M, 2G); default: what suits"},
    {"threads", 't', "N", "threads of a rank (default: OMP_NUM_THREADS, else 1)"},
    {0},
};

static int read_options(const struct tess_call *call, struct tess_queries *queries,
                        struct tess_error *error)
{
    const char *unknown = tess_call_option(call, "unknown");

    queries->doses = tess_call_option(call, "doses");
    tess_call_selection(call, "curve", &queries->curve, error);
    tess_call_selection(call, "contexts", &queries->curve_context, error);
    if (!queries->curve.n && (queries->doses || queries->curve_context.n))
        return tess_error_set(error, TESS_EUSAGE, "--doses and --contexts go with --curve");
    queries->input = queries->curve.n ? NULL : call->args[call->n_args - 1];
    queries->output = tess_call_option(call, "output");
    queries->store = tess_call_option(call, "store");
    queries->force = tess_call_option(call, "force") != NULL;
    queries->unknown = unknown != NULL;
    if (unknown && strcmp(unknown, "nan") != 0)
        return tess_error_set(error, TESS_EUSAGE, "--unknown: '%s' is not nan", unknown);
    tess_call_size(call, "memory", &queries->memory, error);
    tess_call_blend(call, &queries->blend, error);
    tess_call_precision(call, &queries->precision, error);
    tess_call_selection(call, "readouts", &queries->readout, error);
    tess_call_int(call, "threads", 1, 4096, &queries->threads, error);
    return error->code == TESS_OK ? tess_queries_check(queries, error) : error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_queries queries = {0};
    struct tess_strings member = {0};
    int curve = tess_call_option(call, "curve") != NULL;

    if (!curve && call->n_args < 2)
        return tess_error_set(
            error, TESS_EUSAGE,
            "predict needs a model and QUERIES.tsv (or --curve DRUG); see tessera "
            "predict --help");

    /* The last argument is the queries, the others are models; with --curve all are. */
    if (tess_call_models(call, call->n_args - !curve, &member, error) == TESS_OK) {
        queries.n_models = (int)member.n;
        queries.model = member.item;
    }
    if (error->code == TESS_OK &&
        read_options(call, &queries, error) == TESS_OK) /* the same on every rank */
        tess_queries_run(&queries, call->comm, error);
    tess_queries_release(&queries);
    tess_strings_release(&member);
    return error->code;
}

const struct tess_command tess_command_predict = {
    .name = "predict",
    .usage = "predict RUN|CHECKPOINT… QUERIES.tsv|- -o OUT.tsv|OUT.csv|- [options]\n"
             "       tessera predict RUN|CHECKPOINT… --curve DRUG -o OUT.tsv [--doses FROM:TO:N] "
             "[options]",
    .summary = "values for a list of contexts, perturbations and readouts",
    .details =
        "QUERIES is a table of text (tabs, commas or semicolons; gzip, too; - is standard input)\n"
        "with the columns context, perturbation and readout among others, in any order; without\n"
        "the column readout a line asks for all readouts. It may lack the line of names, and has\n"
        "these columns alone then, in this order. Each line goes out as it came in, with the\n"
        "prediction behind it, or one column a readout. Values are those of impute, to the bit.\n"
        "Of several models (seeds, or the members of one run) a value is the mean, and std their\n"
        "standard deviation; std_calibrated is that of a measured value, where the training fitted "
        "it\n(deviation.json).",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
