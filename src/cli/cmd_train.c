/* cmd_train.c -- not built yet. */
#include "tessera/cli.h"
#include "tessera/error.h"

static int run(struct tess_call *call, struct tess_error *error)
{
    return tess_error_set(error, TESS_EUSAGE, "'%s' is not built yet", call->command->name);
}

const struct tess_command tess_command_train = {
    .name = "train", .usage = "train", .summary = "not built yet", .max_args = -1, .run = run};
