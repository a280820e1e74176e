/* cmd_network.c -- tessera network: which gene regulates which, and how right that is. */
#include "tessera/cli_data.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/gold.h"
#include "tessera/regulation.h"

#include <stdlib.h>
#include <string.h>

static const struct tess_option options[] = {
    {"context", 'c', "C", "context of the knock-outs and of the control (required)"},
    {"knockdown", 0, "C", "context of weaker perturbations of the same genes"},
    {"method", 'm', "evidence|effect|correlation|direct|partial",
     "how edges are scored [evidence]"},
    {"output", 'o', "EDGES.tsv", "where to write (required)"},
    {"edges", 0, "N", "write the N best at most [1000000]"},
    {"cutoff", 0, "Z",
     "causes below so many units of noise are left out of the refit [0; beyond 1000 genes 0.01]"},
    {"force", 'f', NULL, "replace an output that is there already"},
    {"gold", 0, "GOLD.tsv", "evaluate: the network that is known: regulator, target, 1 or 0"},
    {"at", 0, "K[,K]", "evaluate: precision of the first K [10,100,1000]"},
    {"json", 0, "FILE", "evaluate: write the scores there"},
    {0},
};
static const char *const of_infer[] = {"context", "knockdown", "method", "output",
                                       "edges",   "cutoff",    "force",  NULL};
static const char *const of_evaluate[] = {"gold", "at", "json", NULL};

/* Options of the other part of the command. */
static int refuse_others(const struct tess_call *call, const char *const *others,
                         struct tess_error *error)
{
    for (; *others; others++)
        if (tess_call_option(call, *others))
            return tess_error_set(error, TESS_EUSAGE,
                                  "--%s does not belong to network %s; see tessera network --help",
                                  *others, call->args[0]);
    return TESS_OK;
}

static int read_infer(const struct tess_call *call, struct tess_regulation_options *out,
                      struct tess_error *error)
{
    const char *method = tess_call_option(call, "method");
    int parsed = tess_regulation_parse(method);

    *out = (struct tess_regulation_options){.input = call->args[1],
                                            .context = tess_call_option(call, "context"),
                                            .knockdown = tess_call_option(call, "knockdown"),
                                            .output = tess_call_option(call, "output"),
                                            .force = tess_call_option(call, "force") != NULL,
                                            .n_edges = 1000000,
                                            .cutoff = -1};
    if (!out->context || !out->output || !out->output[0])
        return tess_error_set(error, TESS_EUSAGE,
                              "network infer needs --context C and -o EDGES.tsv; see tessera "
                              "network --help");
    if (out->knockdown && strcmp(out->knockdown, out->context) == 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--knockdown: '%s' is the context of the knock-outs already",
                              out->knockdown);
    if (parsed < 0)
        return tess_error_set(
            error, TESS_EUSAGE,
            "--method: '%s' is none of evidence, effect, correlation, direct, partial", method);
    out->method = (enum tess_regulation_method)parsed;
    tess_call_int(call, "edges", 1, 1000000000, &out->n_edges, error);
    return tess_call_double(call, "cutoff", 0, 100, &out->cutoff, error);
}

static int run_infer(struct tess_call *call, struct tess_error *error)
{
    struct tess_regulation_options infer;

    if (refuse_others(call, of_evaluate, error) == TESS_OK &&
        read_infer(call, &infer, error) == TESS_OK) /* the same on every rank */
        tess_regulation_infer(&infer, call->comm, error);
    return error->code;
}

static int read_evaluate(const struct tess_call *call, struct tess_gold *gold,
                         struct tess_error *error)
{
    struct tess_strings at = {0};

    gold->edges = call->args[1];
    gold->path = tess_call_option(call, "gold");
    if (!gold->path)
        return tess_error_set(error, TESS_EUSAGE,
                              "network evaluate needs --gold GOLD.tsv; see tessera network --help");
    tess_call_list(call, "at", &at);
    if (at.n == 0)
        tess_strings_split(&at, "10,100,1000", ',');
    if (at.n > TESS_GOLD_DEPTHS)
        tess_error_set(error, TESS_EUSAGE, "--at: at most %d numbers", TESS_GOLD_DEPTHS);
    for (size_t k = 0; k < at.n && error->code == TESS_OK; k++)
        if (!tess_text_int64(at.item[k], &gold->depth[gold->n_depths++]) ||
            gold->depth[gold->n_depths - 1] < 1)
            tess_error_set(error, TESS_EUSAGE, "--at: '%s' is no number from 1 on", at.item[k]);
    tess_strings_release(&at);
    return error->code;
}

/* 17 digits: doubles are read back as they were. */
static int write_json(const struct tess_gold *gold, const char *path, struct tess_error *error)
{
    json_t *json = tess_gold_json(gold);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    char *lines = tess_format("%s\n", text);

    tess_commit_text(path, lines, error);
    tess_free(lines);
    free(text);
    json_decref(json);
    return error->code;
}

/* Rank 0's work: it is that of sorting a list. */
static int run_evaluate(struct tess_call *call, struct tess_error *error)
{
    const char *json = tess_call_option(call, "json");
    struct tess_gold gold = {.edges = NULL};

    if (refuse_others(call, of_infer, error) != TESS_OK ||
        read_evaluate(call, &gold, error) != TESS_OK) /* the same on every rank */
        return error->code;
    if (call->rank == 0 && tess_gold_score(&gold, error) == TESS_OK) {
        tess_gold_print(&gold, stdout);
        if (json)
            write_json(&gold, json, error);
    }
    return tess_agree(call->comm, error);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    if (strcmp(call->args[0], "infer") == 0)
        return run_infer(call, error);
    if (strcmp(call->args[0], "evaluate") == 0)
        return run_evaluate(call, error);
    return tess_error_set(error, TESS_EUSAGE,
                          "network: '%s' is neither infer nor evaluate; see tessera network --help",
                          call->args[0]);
}

const struct tess_command tess_command_network = {
    .name = "network",
    .usage = "network infer STORE|FILE.h5ad --context C [--knockdown C2] -o EDGES.tsv [options]\n"
             "       tessera network evaluate EDGES.tsv --gold GOLD.tsv [--json FILE]",
    .summary = "which gene regulates which, from what perturbing each does to all",
    .details =
        "infer reads the perturbations of one context (a store, or any file with the columns\n"
        "perturbation and context, such as an imputed one) and ranks pairs of a perturbed gene "
        "and\n"
        "a readout. A perturbation's gene is its whole name if that is a readout, else what "
        "follows\nthe last _ or : (CRISPRi_TP53). evidence adds six kinds of evidence; effect is "
        "the change in\nunits of the readout's noise; correlation that of both genes over all "
        "perturbations;\ndirect inverts the effects, so that paths over other genes are taken off "
        "(ScaLAPACK);\npartial is the partial correlation of readouts over all rows, for matrices "
        "in which nothing\nis perturbed. The table has the columns regulator, target, score, sign "
        "(+ activates) "
        "and, of evidence, its\nparts.\n\n"
        "evaluate scores such a list beside a network that is known: AUROC, AUPR (average "
        "precision),\n"
        "precision at k. Pairs that the list lacks come last; equal scores count together.",
    .options = options,
    .outputs = (const char *const[]){"output", "json", NULL},
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
