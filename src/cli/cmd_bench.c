/* cmd_bench.c -- tessera bench: rates of training and imputation beside what the machine can do. */
#include "commands.h"

#include "tessera/bench.h"
#include "tessera/call.h"
#include "tessera/error.h"

#include <stdlib.h>

static const struct tess_option options[] = {
    {"recipe", 'r', "lincs|replogle", "this one alone (default both)"},
    {"store", 0, "STORE", "data for the recipes (default: simulated, of the published size)"},
    {"set", 's', "KEY=VALUE", "override a setting of CONFIG; may be given often"},
    {"json", 0, "FILE", "write all numbers there"},
    {"repeat", 0, "N", "medians of so many (default 5)"},
    {"threads", 0, "N", "threads of a rank (default 1, or as OMP_NUM_THREADS says)"},
    {"directory", 0, "DIR", "for temporary files (default TMPDIR or /tmp); all ranks must see it"},
    {"rates", 0, NULL, "nothing but the rates of training and imputation"},
    {"quick", 0, NULL, "small data, short stretches, medians of 3: a look"},
    {0},
};

static int run(struct tess_call *call, struct tess_error *error)
{
    const char *threads = getenv("OMP_NUM_THREADS");
    struct tess_bench bench = {.recipe = tess_call_option(call, "recipe"),
                               .store = tess_call_option(call, "store"),
                               .directory = tess_call_option(call, "directory"),
                               .json = tess_call_option(call, "json"),
                               .rates = tess_call_option(call, "rates") != NULL,
                               .quick = tess_call_option(call, "quick") != NULL};
    struct tess_config config;

    bench.repeat = bench.quick ? 3 : 5;
    bench.threads = threads && strtol(threads, NULL, 10) > 0 ? strtol(threads, NULL, 10) : 1;
    if (tess_call_int(call, "repeat", 1, 101, &bench.repeat, error) != TESS_OK ||
        tess_call_int(call, "threads", 1, 4096, &bench.threads, error) != TESS_OK)
        return error->code;
    if (call->n_args > 0) {
        /* value[2] is --set (the third of the table), as given: a setting may hold commas. */
        if (tess_config_read(&config, call->args[0], &call->value[2], call->comm, error) != TESS_OK)
            return error->code;
        bench.config = &config;
        if (tess_call_check_more(call, config.data.store, error) != TESS_OK)
            return error->code;
    }
    return tess_bench_run(&bench, call->comm, error);
}

const struct tess_command tess_command_bench = {
    .name = "bench",
    .usage = "bench [CONFIG] [--recipe NAME] [--store STORE] [options]",
    .summary = "how fast this machine is, and how near to that training and imputation come",
    .details =
        "Rates of multiply-adds, of sgemm and of the processor's unit for bfloat16 at the shapes\n"
        "that training has, of memory and messages; then training and imputation at the published\n"
        "recipes' shapes (or CONFIG's own), each beside the time of the very same products\n"
        "replayed alone, and where the time of a step goes. Where there is a unit for bfloat16,\n"
        "in float32 and in bfloat16; elsewhere in what train.precision chooses. Under mpirun also\n"
        "against as many runs side by side. Leave the machine alone meanwhile: medians forgive\n"
        "little noise.",
    .options = options,
    .outputs = (const char *const[]){"json", NULL},
    .max_args = 1,
    .run = run,
};
