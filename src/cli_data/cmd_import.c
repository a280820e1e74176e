/* cmd_import.c -- files to a store. */
#include "tessera/cli_data.h"

#include "import_options.h"

#include "tessera/agree.h"
#include "tessera/error.h"
#include "tessera/log.h"

static const struct tess_option options[] = {
    {"output", 'o', "STORE", "the store to be written (NAME.prc.h5)"},
    TESS_IMPORT_OPTIONS,
    {0},
};

static int import_files(struct tess_call *call, const char *out, struct tess_error *error)
{
    struct tess_problems problems = {.limit = 1};
    struct tess_import_result result = {0};
    struct tess_import_call in;

    if (tess_import_call_init(&in, call, error) == TESS_OK &&
        tess_import_run(&in.options, out, &problems, &result, error) == TESS_OK) {
        tess_import_print(&result, stdout);
        tess_info("written to %s (files read %lld time%s)", out, (long long)result.n_passes,
                  result.n_passes == 1 ? "" : "s");
    }
    tess_import_result_release(&result);
    tess_problems_release(&problems);
    tess_import_call_release(&in);
    return error->code;
}

/* Rank 0 alone reads and writes (a source may be a pipe); the others wait for its code. */
static int run(struct tess_call *call, struct tess_error *error)
{
    const char *out = tess_call_option(call, "output");

    if (!out)
        return tess_error_set(error, TESS_EUSAGE, "-o STORE is missing; usage: tessera %s",
                              call->command->usage);
    if (call->rank == 0)
        import_files(call, out, error);
    return tess_agree(call->comm, error);
}

const struct tess_command tess_command_import = {
    .name = "import",
    .usage = "import FILE… -o STORE [options]",
    .summary = "make a store from .h5ad, .gctx, .gct, long or wide tables",
    .details =
        "Files are told apart by their content. Several become one store: the union of their\n"
        "symbols; rows of the same perturbation, context, split and readouts are replicates of "
        "one\n"
        "experiment, whichever file they are from. Order: total count, log1p, aggregate, clip.\n"
        "A+B is a combination, the same as B+A; the control beside others is dropped.\n"
        "Columns that every file has: @file, its name without endings, @folder, and @half, 1 or 2: "
        "a\n"
        "random half of its rows. A table's first column is called index if it has no name. Files "
        "may\nbe pipes (/dev/stdin).",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
