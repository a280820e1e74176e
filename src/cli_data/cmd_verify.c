/* cmd_verify.c -- tessera verify. */
#include "tessera/cli_data.h"

#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/verify.h"

#include <stdio.h>

static const struct tess_option options[] = {{0}};

/* Problems are known to rank 0 alone; their number becomes everybody's code. */
static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_verified verified = {.right = {0}};
    int64_t n;

    for (int i = 0; i < call->n_args && error->code == TESS_OK; i++)
        tess_verify(call->args[i], call->comm, &verified, error);
    for (size_t i = 0; i < verified.problem.n; i++)
        printf("%s\n", verified.problem.item[i]);
    for (size_t i = 0; i < verified.right.n; i++)
        printf("%s\n", verified.right.item[i]);
    n = (int64_t)verified.problem.n;
    MPI_Bcast(&n, 1, MPI_INT64_T, 0, call->comm);
    if (n > 0)
        tess_error_set(error, TESS_EDATA, "%lld problem%s", (long long)n, n == 1 ? "" : "s");
    tess_verified_release(&verified);
    return error->code;
}

const struct tess_command tess_command_verify = {
    .name = "verify",
    .usage = "verify CHECKPOINT|STORE|FILE{ENDINGS}|RUN…",
    .summary = "every checksum and every number of checkpoints, stores, imputed files and runs",
    .details =
        "Prints a line for each problem and ends with exit code 65 if there is any. A checkpoint\n"
        "is held against its sidecar (NAME.sum, a checksum for every 4 MiB) and the checksums in\n"
        "it, its numbers against what they can be; a store against its checksums; an imputed file\n"
        "against its sidecar, its structure and that predictions are finite. AnnData of others "
        "has\n"
        "no checksums. Of a run every checkpoint, the log and the settings are looked at.",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
