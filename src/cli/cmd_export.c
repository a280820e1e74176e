/* cmd_export.c -- tessera export: a model for NumPy and PyTorch. */
#include "commands.h"

#include "tessera/bfloat16.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/export.h"
#include "tessera/model.h"

static const struct tess_option options[] = {
    {"output", 'o', "FILE.npz|DIR", "where to write (required): one file, or a folder of .npy"},
    {"force", 'f', NULL, "replace a file that is there already"},
    {0},
};

static int run(struct tess_call *call, struct tess_error *error)
{
    const char *out = tess_call_option(call, "output");
    struct tess_model model;

    if (!out || !out[0])
        return tess_error_set(error, TESS_EUSAGE, "-o FILE.npz|DIR is missing; usage: tessera %s",
                              call->command->usage);
    if (tess_model_open(&model, call->args[0], TESS_PRECISION_FLOAT32, call->comm, error) ==
        TESS_OK)
        tess_export_write(&model, out, tess_call_option(call, "force") != NULL, call->comm, error);
    tess_model_release(&model);
    return error->code;
}

const struct tess_command tess_command_export = {
    .name = "export",
    .usage = "export RUN|CHECKPOINT -o FILE.npz|DIR [options]",
    .summary = "a model's tables and weights, for NumPy and PyTorch",
    .details = "Writes every table with its symbols, the network's matrices and the scaling as "
               "arrays of\nNumPy; docs/export.md lists them and predicts with them in Python. Of "
               "an ensemble each\nmember is exported by itself.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
