/* cmd_network.c -- tessera network: which gene regulates which, and how right that is. */
#include "tessera/cli_data.h"

#include "network_cells.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/cell_groups.h"
#include "tessera/cell_scores.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/gold.h"
#include "tessera/regulation.h"
#include "tessera/sheet.h"

#include <stdlib.h>
#include <string.h>

static const struct tess_option options[] = {
    {"context", 'c', "C",
     "context of the knock-outs and of the control (required; cells: if there are several)"},
    {"knockdown", 0, "C", "context of weaker perturbations of the same genes"},
    {"complete", 0, "RUN", "perturbations that were not measured in C are imputed by this model"},
    {"method", 'm', "evidence|effect|correlation|wasserstein|direct|inspre|partial",
     "how edges are scored [evidence]"},
    {"output", 'o', "FILE.tsv",
     "infer: where to write edges (required); evaluate --cells: the pairs that were looked at"},
    {"edges", 0, "N", "write the N best at most [1000000]"},
    {"cutoff", 0, "Z",
     "evidence: causes below so many units of noise are left out of the refit [0; beyond 1000 "
     "genes 0.01]"},
    {"force", 'f', NULL, "replace an output that is there already"},
    {"gold", 0, "GOLD.tsv", "evaluate: the network that is known: regulator, target, 1 or 0"},
    {"cells", 0, "CELLS.h5ad", "evaluate: instead of a network, single cells are the judge"},
    {"path-length", 0, "L", "evaluate --cells: omitted pairs have no path of up to L edges [1]"},
    {"pairs", 0, "N", "evaluate --cells: omitted pairs that are drawn [500]"},
    {"seed", 0, "N", "evaluate --cells: of the random network and the pairs that are drawn [1]"},
    {"at", 0, "K[,K]", "evaluate: the first K edges [10,100,1000]"},
    {"json", 0, "FILE", "evaluate: write the scores there"},
    TESS_NETWORK_CELL_OPTIONS,
    {0},
};
static const char *const of_infer[] = {"context", "knockdown", "complete", "method", "output",
                                       "edges",   "cutoff",    "force",    NULL};
static const char *const of_cells[] = {
    "context", "method", "output", "edges", "force", TESS_NETWORK_CELL_NAMES, NULL};
static const char *const of_judges[] = {
    "context", "cells", "path-length",           "pairs", "seed", "at", "json",
    "output",  "force", TESS_NETWORK_CELL_NAMES, NULL};
static const char *const of_gold[] = {"gold", "at", "json", "force", NULL};

static int is_among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* Options of another part of the command, or of another method. */
static int refuse_others(const struct tess_call *call, const char *const *own, const char *what,
                         struct tess_error *error)
{
    for (const struct tess_option *option = options; option->name; option++)
        if (tess_call_option(call, option->name) && !is_among(option->name, own))
            return tess_error_set(
                error, TESS_EUSAGE,
                "--%s does not belong to network %s%s; see tessera network --help", option->name,
                call->args[0], what);
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
                                            .complete = tess_call_option(call, "complete"),
                                            .output = tess_call_option(call, "output"),
                                            .force = tess_call_option(call, "force") != NULL,
                                            .n_edges = TESS_REGULATION_EDGES,
                                            .cutoff = -1};
    if (!out->context || !out->output || !out->output[0])
        return tess_error_set(error, TESS_EUSAGE,
                              "network infer needs --context C and -o EDGES.tsv; see tessera "
                              "network --help");
    if (tess_sheet_check(out->output, "edges", error) != TESS_OK)
        return error->code;
    if (out->knockdown && strcmp(out->knockdown, out->context) == 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--knockdown: '%s' is the context of the knock-outs already",
                              out->knockdown);
    if (parsed < 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--method: '%s' is none of evidence, effect, correlation, "
                              "wasserstein, direct, inspre, partial",
                              method);
    out->method = (enum tess_regulation_method)parsed;
    if (tess_call_option(call, "cutoff") && out->method != TESS_BY_EVIDENCE)
        return tess_error_set(error, TESS_EUSAGE,
                              "--cutoff belongs to --method evidence: the others have no refit");
    if (out->complete && out->method == TESS_BY_PARTIAL)
        return tess_error_set(error, TESS_EUSAGE,
                              "--complete: a partial correlation takes measured rows alone");
    tess_call_int(call, "edges", 1, 1000000000, &out->n_edges, error);
    return tess_call_double(call, "cutoff", 0, 100, &out->cutoff, error);
}

static int run_infer(struct tess_call *call, struct tess_error *error)
{
    const char *method = tess_call_option(call, "method");
    struct tess_regulation_options infer;

    if (method && strcmp(method, "wasserstein") == 0) {
        if (refuse_others(call, of_cells, " --method wasserstein", error) == TESS_OK)
            tess_network_cells_infer(call, error);
        return error->code;
    }
    if (refuse_others(call, of_infer, "", error) == TESS_OK &&
        read_infer(call, &infer, error) == TESS_OK) /* the same on every rank */
        tess_regulation_infer(&infer, call->comm, error);
    return error->code;
}

static int is_there(int64_t x, int n, const int64_t *list)
{
    while (n > 0 && list[n - 1] != x)
        n--;
    return n > 0;
}

/* Those that are given twice count once. */
static int read_depths(const struct tess_call *call, int *n_depths, int64_t *depth,
                       struct tess_error *error)
{
    struct tess_strings at = {0};

    tess_call_list(call, "at", &at);
    if (at.n == 0)
        tess_strings_split(&at, "10,100,1000", ',');
    if (at.n > TESS_GOLD_DEPTHS)
        tess_error_set(error, TESS_EUSAGE, "--at: at most %d numbers", TESS_GOLD_DEPTHS);
    for (size_t k = 0; k < at.n && error->code == TESS_OK; k++)
        if (!tess_text_int64(at.item[k], &depth[*n_depths]) || depth[*n_depths] < 1)
            tess_error_set(error, TESS_EUSAGE, "--at: '%s' is no number from 1 on", at.item[k]);
        else if (!is_there(depth[*n_depths], *n_depths, depth))
            ++*n_depths;
    tess_strings_release(&at);
    return error->code;
}

static int read_gold(const struct tess_call *call, struct tess_gold *gold, struct tess_error *error)
{
    gold->edges = call->args[1];
    gold->path = tess_call_option(call, "gold");
    if (!gold->path)
        return tess_error_set(error, TESS_EUSAGE,
                              "network evaluate needs --gold GOLD.tsv or --cells CELLS.h5ad; see "
                              "tessera network --help");
    return read_depths(call, &gold->n_depths, gold->depth, error);
}

/* Before any work. Collective over call->comm. */
static int check_json(const struct tess_call *call, struct tess_error *error)
{
    const char *json = tess_call_option(call, "json");

    if (json && call->rank == 0)
        tess_sheet_check_new(json, tess_call_option(call, "force") != NULL, error);
    return tess_agree(call->comm, error);
}

/* 17 digits: doubles are read back as they were. */
static int write_json(json_t *json, const char *path, struct tess_error *error)
{
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    char *lines = tess_format("%s\n", text);

    tess_commit_text(path, lines, error);
    tess_free(lines);
    free(text);
    json_decref(json);
    return error->code;
}

static int run_judges(struct tess_call *call, struct tess_error *error)
{
    const char *json = tess_call_option(call, "json");
    struct tess_cell_options cells;
    struct tess_cell_scores scores = {.edges = call->args[1],
                                      .cells = &cells,
                                      .output = tess_call_option(call, "output"),
                                      .force = tess_call_option(call, "force") != NULL,
                                      .path_length = 1,
                                      .n_pairs = 500,
                                      .seed = 1};

    refuse_others(call, of_judges, " --cells", error);
    read_depths(call, &scores.n_depths, scores.depth, error);
    tess_call_int(call, "path-length", 1, INT32_MAX, &scores.path_length, error);
    tess_call_int(call, "pairs", 1, 1000000000, &scores.n_pairs, error);
    tess_call_int(call, "seed", 0, INT64_MAX, &scores.seed, error);
    if (scores.output)
        tess_sheet_check(scores.output, "pairs", error);
    if (tess_network_cells_read(call, tess_call_option(call, "cells"), &cells, error) == TESS_OK &&
        check_json(call, error) == TESS_OK &&
        tess_cell_scores_make(&scores, call->comm, error) == TESS_OK && call->rank == 0) {
        tess_cell_scores_print(&scores, stdout);
        if (json)
            write_json(tess_cell_scores_json(&scores), json, error);
    }
    tess_cell_options_release(&cells);
    return tess_agree(call->comm, error);
}

/* Rank 0's work: it is that of sorting a list. */
static int run_evaluate(struct tess_call *call, struct tess_error *error)
{
    const char *json = tess_call_option(call, "json");
    struct tess_gold gold = {.edges = NULL};

    if (tess_call_option(call, "cells"))
        return run_judges(call, error);
    if (refuse_others(call, of_gold, "", error) != TESS_OK ||
        read_gold(call, &gold, error) != TESS_OK || /* the same on every rank */
        check_json(call, error) != TESS_OK)
        return error->code;
    if (call->rank == 0 && tess_gold_score(&gold, error) == TESS_OK) {
        tess_gold_print(&gold, stdout);
        if (json)
            write_json(tess_gold_json(&gold), json, error);
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
    .usage = "network infer STORE|FILE.h5ad|RUN --context C [--knockdown C2]\n"
             "                                  -o EDGES.tsv [options]\n"
             "       tessera network infer CELLS.h5ad --method wasserstein -o EDGES.tsv [options]\n"
             "       tessera network evaluate EDGES.tsv --gold GOLD.tsv [--json FILE] [options]\n"
             "       tessera network evaluate EDGES.tsv --cells CELLS.h5ad [--json FILE]\n"
             "                                          [-o PAIRS.tsv] [options]",
    .summary = "which gene regulates which, from what perturbing each does to all",
    .details =
        "infer reads the perturbations of one context (a store, or any file with the columns\n"
        "perturbation and context, such as an imputed one) and ranks pairs of a perturbed gene "
        "and\n"
        "a readout. A perturbation's gene is its whole name if that is a readout, else what "
        "follows\nthe last _ or : (CRISPRi_TP53). evidence adds six kinds of evidence; effect is "
        "the change in\nunits of the readout's noise; correlation that of both genes over all "
        "perturbations;\nwasserstein, of a file of single cells, the distance between a readout's "
        "values in cells\nwithout the gene and in control cells; direct inverts the effects, so "
        "that paths over other\ngenes are taken off (ScaLAPACK); inspre finds few direct effects "
        "by "
        "a sparse inverse; partial\nis the partial correlation of readouts over all rows, for "
        "matrices in which nothing is\nperturbed. The table has the columns regulator, target, "
        "score, sign (+ activates) and, of\nevidence, its parts; of wasserstein the change of the "
        "mean, Mann-Whitney's p and how many\ncells lost the gene. With --complete a model's "
        "predictions, shrunk where its members disagree,\nstand in for perturbations that C lacks, "
        "and a column row says measured, completed or other.\nOf a RUN (or a checkpoint) all is "
        "predicted, for every perturbation that it was trained on; several\nmembers, of a RUN or "
        "of --complete: the "
        "scores of their mean, and the standard deviation over\nthem in a column std, for which "
        "the "
        "network is inferred once more for each.\n\n"
        "evaluate scores such a list beside a network that is known: AUROC, AUPR (average "
        "precision),\n"
        "precision at k. Pairs that the list lacks come last; equal scores count together.\n\n"
        "evaluate --cells scores it by cells in which one gene was perturbed: the mean "
        "Wasserstein\n"
        "distance of the edges, the share whose Mann-Whitney p is below 0.05, and that share of "
        "pairs\n"
        "that are no edge (false omission rate), beside a random network of as many edges. Take "
        "other\ncells than the edges are from: infer with --keep @half=1, evaluate with --keep "
        "@half=2.",
    .options = options,
    .outputs = (const char *const[]){"output", "json", NULL},
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
