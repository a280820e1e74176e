/* cmd_neighbors.c -- tessera neighbors: perturbations that are alike. */
#include "commands.h"

#include "tessera/bfloat16.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/model.h"
#include "tessera/neighbors.h"
#include "tessera/sheet.h"

#include <string.h>

static const struct tess_option options[] = {
    {"of", 0, "LIST", "whose neighbours (default: of all that were trained, but control)"},
    {"type", 0, "TYPE", "in place of --of: those of a type (compound, CRISPRi, …)"},
    {"among", 0, "TYPE", "neighbours of a type alone (default: any but control)"},
    {"neighbors", 'k', "K", "how many of each (default 10)"},
    {"vectors", 0, "effective|raw|completed",
     "as the network sees them; the rows themselves; measured changes, completed by the model "
     "(default effective)"},
    {"center", 0, "type|all|none", "less the mean of their type, of all, or none (default type)"},
    {"csls", 0, "K",
     "twice the cosine, less the mean cosines of both to their K nearest: what is near to "
     "everything is nobody's (default 0: cosines)"},
    {"pairs", 0, "FILE", "scores known pairs (perturbation<tab>target) in place of listing"},
    {"resamples", 0, "N", "of the intervals, and permutations (default 1000)"},
    {"output", 'o', "OUT.tsv", "where to write (default: standard output)"},
    {"force", 'f', NULL, "replace a file that is there already"},
    {0},
};

/* Which of some words an option says; the first one if it is not given. */
static int read_word(const struct tess_call *call, const char *name, const char *const *word,
                     struct tess_error *error)
{
    const char *text = tess_call_option(call, name);
    int i = 0;

    while (text && word[i] && strcmp(text, word[i]) != 0)
        i++;
    if (text && !word[i])
        tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is none of its words (see --help)", name,
                       text);
    return i;
}

static int read_options(const struct tess_call *call, struct tess_neighbors *neighbors,
                        struct tess_error *error)
{
    static const char *const spaces[] = {"effective", "raw", "completed", NULL};
    static const char *const centers[] = {"type", "all", "none", NULL};

    neighbors->type = tess_call_option(call, "type");
    neighbors->among = tess_call_option(call, "among");
    neighbors->pairs = tess_call_option(call, "pairs");
    neighbors->output = tess_call_option(call, "output");
    neighbors->force = tess_call_option(call, "force") != NULL;
    neighbors->vectors = read_word(call, "vectors", spaces, error);
    neighbors->center = read_word(call, "center", centers, error);
    if (neighbors->pairs && (tess_call_option(call, "of") || neighbors->type))
        tess_error_set(error, TESS_EUSAGE,
                       "--pairs names the perturbations: --of and --type do not go with it");
    if (neighbors->pairs && neighbors->output && strcmp(neighbors->output, TESS_SHEET_PIPE) == 0)
        tess_error_set(error, TESS_EUSAGE,
                       "--pairs writes its scores to standard output: give the ranks a file, -o "
                       "OUT.tsv");
    if (neighbors->output)
        tess_sheet_check(neighbors->output, "neighbors", error);
    if (neighbors->type && tess_call_option(call, "of"))
        tess_error_set(error, TESS_EUSAGE, "--of and --type: one of them says whose neighbours");
    tess_call_int(call, "neighbors", 1, TESS_NEIGHBORS_MOST, &neighbors->k, error);
    tess_call_int(call, "csls", 0, TESS_NEIGHBORS_MOST, &neighbors->csls, error);
    return tess_call_int(call, "resamples", 10, 1000000, &neighbors->resamples, error);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_strings of = {0}, member = {0};
    struct tess_neighbors neighbors = {.of = &of, .k = 10, .resamples = 1000};
    struct tess_model model = {.step = 0};

    if (read_options(call, &neighbors, error) == TESS_OK &&
        tess_call_selection(call, "of", &of, error) == TESS_OK &&
        tess_call_models(call, call->n_args, &member, error) == TESS_OK &&
        tess_model_open_ensemble(&model, (int)member.n, member.item, TESS_PRECISION_FLOAT32,
                                 call->comm, error) == TESS_OK)
        tess_neighbors_run(&neighbors, &model, call->comm, error);
    tess_model_release(&model);
    tess_strings_release(&of);
    tess_strings_release(&member);
    return error->code;
}

const struct tess_command tess_command_neighbors = {
    .name = "neighbors",
    .usage = "neighbors RUN|CHECKPOINT… [options]",
    .summary = "perturbations that the model holds for alike, or how it ranks known pairs",
    .details =
        "Lists perturbation, rank, neighbour and cosine, the mean over the members. A LIST holds "
        "symbols,\npatterns and @FILEs, as for impute. A type is what a symbol begins with "
        "(compound:…, CRISPRi_…);\nobs['type'] of embed's file has it. With --pairs: recall, "
        "reciprocal rank and percentile of each\ntarget among the candidates, with 95 % intervals, "
        "beside the same by principal components of the\nmeasured profiles, and targets permuted "
        "among the pairs (99 %). OUT.tsv then has the pairs' ranks.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
