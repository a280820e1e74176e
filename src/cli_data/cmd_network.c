/* cmd_network.c -- tessera network: which gene regulates which, and how right that is. */
#include "tessera/cli_data.h"

#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/regulation.h"

#include <string.h>

static const struct tess_option options[] = {
    {"context", 'c', "C", "context of the knock-outs and of the control (required)"},
    {"knockdown", 0, "C", "context of weaker perturbations of the same genes"},
    {"method", 'm', "evidence|effect|correlation", "how edges are scored [evidence]"},
    {"output", 'o', "EDGES.tsv", "where to write (required)"},
    {"edges", 0, "N", "write the N best at most [1000000]"},
    {"cutoff", 0, "Z",
     "causes below so many units of noise are left out of the refit [0; beyond 1000 genes 0.01]"},
    {"force", 'f', NULL, "replace an output that is there already"},
    {0},
};

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
        return tess_error_set(error, TESS_EUSAGE,
                              "--method: '%s' is none of evidence, effect, correlation", method);
    out->method = (enum tess_regulation_method)parsed;
    tess_call_int(call, "edges", 1, 1000000000, &out->n_edges, error);
    return tess_call_double(call, "cutoff", 0, 100, &out->cutoff, error);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_regulation_options infer;

    if (strcmp(call->args[0], "infer") != 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "network: '%s' is not infer; see tessera network --help",
                              call->args[0]);
    if (read_infer(call, &infer, error) == TESS_OK) /* the same on every rank */
        tess_regulation_infer(&infer, call->comm, error);
    return error->code;
}

const struct tess_command tess_command_network = {
    .name = "network",
    .usage = "network infer STORE|FILE.h5ad --context C [--knockdown C2] -o EDGES.tsv [options]",
    .summary = "which gene regulates which, from what perturbing each does to all",
    .details =
        "infer reads the perturbations of one context (a store, or any file with the columns\n"
        "perturbation and context, such as an imputed one) and ranks pairs of a perturbed gene "
        "and\n"
        "a readout. A perturbation's gene is its whole name if that is a readout, else what "
        "follows\nthe last _ or : (CRISPRi_TP53). evidence adds six kinds of evidence; effect is "
        "the change in\nunits of the readout's noise; correlation that of both genes over all "
        "perturbations.\nThe table has the columns regulator, target, score, sign (+ activates) "
        "and, of evidence, its\nparts.",
    .options = options,
    .outputs = (const char *const[]){"output", NULL},
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
