/* cmd_impute.c -- tessera impute: the experiments nobody ran. */
#include "commands.h"

#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/impute.h"
#include "tessera/preempt.h"

#include <string.h>

static const struct tess_option options[] = {
    {"output", 'o', "OUT{ENDINGS}", "where to write (required)"},
    {"per-context", 0, "DIR", "in place of -o: a file CONTEXT{ENDINGS} for each context"},
    {"format", 0, "h5ad|gctx",
     "AnnData or GCTX, whatever OUT is called (default: as its name ends)"},
    {"contexts", 'c', "LIST", "contexts (default: all that were trained)"},
    {"perturbations", 'p', "LIST",
     "perturbations and combinations A+B (default: all trained singles)"},
    {"readouts", 'r', "LIST", "readouts (default: all that were trained)"},
    {"pairs", 0, "FILE|all",
     "combinations of two: those of a file (A<tab>B or A+B), or all of --perturbations"},
    {"triples", 0, "FILE", "lines of perturbation<tab>readout<tab>context: the rest is NaN"},
    {"delta", 0, NULL, "the change against the context's control, as the model predicts that"},
    {"observed", 0, "predict|keep", "keep: measured training values, marked in the layer observed"},
    {"dtype", 0, "float32|float16", "of values (default float32)"},
    {"store", 0, "STORE", "marks what it measured (default: the store the model was trained on)"},
    {"blend", 0, "auto|on|off",
     "with the baseline that the training found best (default auto: where it pays)"},
    TESS_CALL_PRECISION,
    {"threads", 't', "N", "threads of a rank (default: OMP_NUM_THREADS, else 1)"},
    {"memory", 0, "SIZE", "at most so much of each rank (500M, 2G); default: what suits"},
    {"max-size", 0, "SIZE",
     "of the file; above it nothing is written (default: half the free space)"},
    {"time-limit", 0, "MINUTES", "save and stop (exit code 75) before this is over"},
    {"save-every", 0, "SECONDS", "that an interruption may cost (default 20)"},
    {"force", 'f', NULL, "replace a file of that name"},
    {"fresh", 0, NULL, "start over; an unfinished file of that name is not gone on with"},
    {"dry-run", 'n', NULL, "say what it takes of disk and memory and what is there, and stop"},
    {0},
};

/* Which of two words an option says: 0, also if it is not given, or 1. */
static int read_word(const struct tess_call *call, const char *name, const char *const word[2],
                     int *second, struct tess_error *error)
{
    const char *text = tess_call_option(call, name);

    *second = text && strcmp(text, word[1]) == 0;
    if (text && !*second && strcmp(text, word[0]) != 0)
        tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is none of %s, %s", name, text, word[0],
                       word[1]);
    return error->code;
}

static void read_forms(const struct tess_call *call, struct tess_impute *impute,
                       struct tess_error *error)
{
    impute->directory = tess_call_option(call, "per-context");
    impute->format = tess_call_option(call, "format");
    impute->pairs = tess_call_option(call, "pairs");
    impute->triples = tess_call_option(call, "triples");
    impute->delta = tess_call_option(call, "delta") != NULL;
    read_word(call, "observed", (const char *const[]){"predict", "keep"}, &impute->keep, error);
    read_word(call, "dtype", (const char *const[]){"float32", "float16"}, &impute->half, error);
}

static int read_options(const struct tess_call *call, struct tess_impute *impute,
                        struct tess_error *error)
{
    double minutes = 0;

    impute->output = tess_call_option(call, "output");
    read_forms(call, impute, error);
    impute->store = tess_call_option(call, "store");
    impute->dry_run = tess_call_option(call, "dry-run") != NULL;
    impute->replace = tess_call_option(call, "force") != NULL;
    impute->fresh = tess_call_option(call, "fresh") != NULL;
    tess_call_size(call, "memory", &impute->memory, error);
    tess_call_size(call, "max-size", &impute->max_size, error);
    tess_call_double(call, "save-every", 1e-3, 1e6, &impute->save_every, error);
    tess_call_double(call, "time-limit", 0, 1e6, &minutes, error);
    impute->time_limit = 60 * minutes;
    tess_call_blend(call, &impute->blend, error);
    tess_call_precision(call, &impute->precision, error);
    tess_call_selection(call, "contexts", &impute->context, error);
    tess_call_selection(call, "perturbations", &impute->perturbation, error);
    tess_call_selection(call, "readouts", &impute->readout, error);
    tess_call_int(call, "threads", 1, 4096, &impute->threads, error);
    return error->code == TESS_OK ? tess_impute_check(impute, error) : error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_impute impute = {0};
    struct tess_strings member = {0};
    char *command = tess_call_text(call);

    tess_preempt_install(); /* what signals ask for is done between two rounds */
    impute.command = command;
    if (tess_call_models(call, call->n_args, &member, error) == TESS_OK) {
        impute.n_models = (int)member.n;
        impute.model = member.item;
    }
    if (error->code == TESS_OK &&
        read_options(call, &impute, error) == TESS_OK) /* the same on every rank */
        tess_impute_write(&impute, call->comm, error);
    tess_impute_release(&impute);
    tess_strings_release(&member);
    tess_free(command);
    return error->code;
}

const struct tess_command tess_command_impute = {
    .name = "impute",
    .usage = "impute RUN|CHECKPOINT… -o OUT{ENDINGS} [options]",
    .summary = "predict every perturbation x readout of the contexts asked for",
    .details =
        "A LIST holds symbols, shell patterns ('CRISPRi_*') and files of symbols, one a line\n"
        "(@FILE), separated by commas; options may be repeated. Blanks around a name, and a "
        "file's\n"
        "byte order mark and CRLF, do not count. The perturbation '@combinations' means all\n"
        "combinations that were trained on. Symbols that the model does not know are\n"
        "refused. Rows are PERTURBATION@CONTEXT; obs has perturbation, context, type, "
        "target,\n"
        "and where the store can be read observed and what was trained on. Memory is bounded: rows "
        "are predicted and written block by\n"
        "block. Of several models (seeds, or the members of one run), X is the mean, layers/std "
        "the\nstandard deviation, and layers/std_calibrated that of a measured value, where the "
        "training\nfitted it (deviation.json).\n"
        "\nUntil the file is whole it is OUT.part, and OUT.part.json says how far it is. The same\n"
        "command again goes on from there, on any number of ranks; another model, selection or\n"
        "option is refused. SIGUSR1, SIGTERM, SIGINT, the time limit and the batch system's end\n"
        "time lead to exit code 75: run me again. A whole file is replaced only with --force.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .with_sums = 1,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
