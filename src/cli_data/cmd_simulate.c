/* cmd_simulate.c -- tessera simulate: synthetic data with a known answer. */
#include "tessera/cli_data.h"

#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/simulate.h"

static const struct tess_option options[] = {
    {"output", 'o', "FILE", "{kinds} if the name ends in {endings}, else a store (required)"},
    {"truth", 0, "FILE{ENDINGS}",
     "write the noise-free values of every experiment, measured or not"},
    {"seed", 0, "N", "another seed, other data (default 1)"},
    {"perturbations", 0, "N", "single perturbations (default 100; --network: every gene)"},
    {"readouts", 0, "N", "readouts (default 200)"},
    {"contexts", 0, "N", "contexts (default 4)"},
    {"combinations", 0, "N", "combinations of perturbations (default 0)"},
    {"order", 0, "N", "perturbations in the largest of them (default 2)"},
    {"replicates", 0, "N", "replicates of an experiment; cells: batches (default 1)"},
    {"controls", 0, "N", "controls in each context; cells: times --cells (default 4)"},
    {"cells", 0, "N", "single cells of each experiment, as counts (.h5ad only)"},
    {"depth", 0, "X", "mean counts of a cell (default 10 times the readouts)"},
    {"dispersion", 0, "X", "variance of a count: m + X m^2 (default 0.3)"},
    {"mechanisms", 0, "N", "of the perturbations: compounds that act as knock-outs do (default 0)"},
    {"off-target", 0, "X", "size of a compound's own part beside that (default 0.5)"},
    {"pairs", 0, "FILE.tsv", "write which knock-out each compound acts as, and how strongly"},
    {"rank", 0, "N", "latent factors of the truth (default 5)"},
    {"effect", 0, "X", "size of an effect (default 1; cells 0.5; network 2)"},
    {"interaction", 0, "X", "size of its part that depends on the context (default 0.5)"},
    {"epistasis", 0, "X",
     "how far combinations are from sums of effects, each by chance (default 0.5)"},
    {"synergy", 0, "X",
     "the same as the components' factors have it, each pair's product (default 0)"},
    {"nonlinearity", 0, "X",
     "0: linear; 1: effects (network: regulators) act through tanh (default 0)"},
    {"noise", 0, "X", "deviation of a replicate (default 0.5; cells 0.1; network 0.3)"},
    {"sparsity", 0, "SHARE", "of the (perturbation, context) pairs: not measured (default 0)"},
    {"missing", 0, "SHARE", "of the values: not measured (default 0)"},
    {"panel-fraction", 0, "SHARE", "of the contexts: measure about half the readouts (default 0)"},
    {"split-target", 0, "CONTEXT,…", "contexts with held-out experiments (default the last; none)"},
    {"network", 0, NULL, "a sparse causal network: genes are perturbations and readouts"},
    {"gold", 0, "FILE.tsv", "write the network's edges: regulator, target, weight"},
    {"degree", 0, "X", "mean number of a gene's regulators (default 2)"},
    {0},
};

static int read_options(const struct tess_call *call, struct tess_simulate *simulate,
                        struct tess_error *error)
{
    for (int i = 0; i < tess_n_simulate_fields; i++) {
        const struct tess_simulate_field *field = &tess_simulate_fields[i];
        char *at = (char *)simulate + field->offset;

        if (field->is_real)
            tess_call_double(call, field->name, field->low, field->high, (double *)at, error);
        else
            tess_call_int(call, field->name, (int64_t)field->low, (int64_t)field->high,
                          (int64_t *)at, error);
    }
    simulate->output = tess_call_option(call, "output");
    simulate->truth = tess_call_option(call, "truth");
    simulate->gold = tess_call_option(call, "gold");
    simulate->pairs = tess_call_option(call, "pairs");
    simulate->network = tess_call_option(call, "network") != NULL;
    tess_call_list(call, "split-target", &simulate->split_target);
    if (!simulate->output)
        tess_error_set(error, TESS_EUSAGE, "-o FILE is missing; see tessera simulate --help");
    return error->code == TESS_OK ? tess_simulate_check(simulate, error) : error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_simulate simulate;
    char *command = tess_call_text(call);

    tess_simulate_init(&simulate);
    simulate.command = command;
    if (read_options(call, &simulate, error) == TESS_OK) /* the same on every rank */
        tess_simulate_write(&simulate, call->comm, error);
    tess_simulate_release(&simulate);
    tess_free(command);
    return error->code;
}

const struct tess_command tess_command_simulate = {
    .name = "simulate",
    .usage = "simulate -o STORE|FILE{ENDINGS} [options]",
    .summary = "synthetic data with a known answer, of any size",
    .details =
        "Expression on a log scale: a baseline for each context and readout, low-rank effects\n"
        "of perturbations, a low-rank part of them that depends on the context, noise. Or a\n"
        "causal network's steady states. Cells are counts drawn from that: import them with\n"
        "--normalize-total 1e4 --log1p. With --mechanisms the first perturbations are compounds\n"
        "(DRUG:…), which act as one of the others (KO:…) does, times a strength of 0.5 to 1.5, "
        "and\n"
        "in a way of their own beside it. The same seed gives the same bits on any number of\n"
        "ranks. The column 'split' holds out 15 % + 15 % of what the target contexts share\n"
        "with the others.",
    .options = options,
    .outputs = (const char *const[]){"output", "truth", "gold", "pairs", NULL},
    .max_args = 0,
    .run = run,
};
