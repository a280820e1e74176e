/* cmd_train.c -- tessera train. */
#include "commands.h"

#include "tessera/call.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/run.h"

#include <string.h>

static const struct tess_option options[] = {
    {"set", 's', "KEY=VALUE", "override a setting of the configuration; may be given often"},
    {"init", 0, "RUN|CHECKPOINT",
     "begin from this model: what it knows keeps its rows (train.init); new contexts, "
     "perturbations "
     "and readouts are added"},
    {"fresh", 0, NULL, "start over; an earlier run in the directory is moved aside, not deleted"},
    {"time-limit", 't', "MINUTES", "save a checkpoint and stop (exit code 75) before this is over"},
    {"dry-run", 'n', NULL, "say what would be done and how much memory it needs, and stop"},
    {0},
};

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_train_options train = {.fresh = tess_call_option(call, "fresh") != NULL,
                                       .dry_run = tess_call_option(call, "dry-run") != NULL};
    const char *init = tess_call_option(call, "init");
    struct tess_config config;
    double minutes = 0;

    if (tess_call_double(call, "time-limit", 0, 1e6, &minutes, error) != TESS_OK)
        return error->code;
    train.time_limit = 60 * minutes;
    /* value[0] is --set (the first of the table), as given: a setting may hold commas */
    if (tess_config_read(&config, call->args[0], &call->value[0], call->comm, error) != TESS_OK)
        return error->code;
    if (init && tess_config_set(&config, "train.init", init, "--init", error) != TESS_OK)
        return error->code;
    if (tess_train(&config, &train, call->comm, error) == TESS_OK && !train.dry_run &&
        (config.train.members > 1 || config.model.noise))
        tess_evaluate_calibrate(config.run.directory, call->comm, error);
    return error->code;
}

const struct tess_command tess_command_train = {
    .name = "train",
    .usage = "train CONFIG [--set KEY=VALUE …]",
    .summary = "train a model on a store, into a run directory; resumes by itself",
    .details =
        "CONFIG is a YAML file; config/reference.yaml explains every setting, and\n"
        "docs/configuration.md lists them. data.store and run.directory must be set, there or\n"
        "with --set. The run directory holds used.yaml (the settings), log.jsonl (a line an\n"
        "epoch), checkpoint-<step>.h5 (the newest few) and best-<step>.h5 (lowest validation "
        "RMSE). With train.members above 1 it holds a directory member-<number> of these for each\n"
        "seed, and deviation.json.\n"
        "\nThe same command again goes on from the newest intact checkpoint, on any number of\n"
        "ranks. SIGUSR1, SIGTERM, SIGINT, the time limit, the batch system's end time and a file\n"
        "STOP in the run directory lead to a checkpoint and exit code 75: run me again. STOP is\n"
        "renamed to STOPPED, which tells scripts that run again on 75 that somebody said stop.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
