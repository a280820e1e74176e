/* cmd_embed.c -- tessera embed: a model's tables for scanpy. */
#include "commands.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/call.h"
#include "tessera/embed.h"
#include "tessera/error.h"
#include "tessera/model.h"

static const struct tess_option options[] = {
    {"output", 'o', "FILE.h5ad", "where to write (required)"},
    {"pca", 0, "K", "principal components (default: 50, or as many as there are)"},
    {"force", 'f', NULL, "replace a file that is there already"},
    {0},
};

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_embed embed = {.output = tess_call_option(call, "output"),
                               .force = tess_call_option(call, "force") != NULL};
    struct tess_model model = {.step = 0};
    struct tess_strings member = {0};
    char *command = tess_call_text(call);

    embed.command = command;
    if (!embed.output || !embed.output[0])
        tess_error_set(error, TESS_EUSAGE, "-o FILE.h5ad is missing; usage: tessera %s",
                       call->command->usage);
    if (tess_call_int(call, "pca", 1, INT32_MAX, &embed.components, error) == TESS_OK &&
        tess_call_models(call, call->n_args, &member, error) == TESS_OK &&
        tess_model_open_ensemble(&model, (int)member.n, member.item, TESS_PRECISION_FLOAT32,
                                 call->comm, error) == TESS_OK)
        tess_embed_write(&embed, &model, call->comm, error);
    tess_model_release(&model);
    tess_strings_release(&member);
    tess_free(command);
    return error->code;
}

const struct tess_command tess_command_embed = {
    .name = "embed",
    .usage = "embed RUN|CHECKPOINT… -o FILE.h5ad [options]",
    .summary = "a model's tables of perturbations, readouts and contexts, for scanpy",
    .details =
        "Rows are the symbols of all three tables (obs['table'] says which), with type, target and "
        "the\nnumber of their training experiments. X is what the network sees of a row, projected "
        "through\nthe first layer, the members of an ensemble side by side; obsm['raw'] are the "
        "rows as they\nare trained; obsm['X_pca'] are the principal components of X, of each table "
        "by itself: one\nspace for all members. docs/discovery.md has more.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .with_sums = 1,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
