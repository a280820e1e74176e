/* cmd_sweep.c -- tessera sweep. */
#include "commands.h"

#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/sweep.h"
#include "tessera/trials.h"

#include <stdint.h>
#include <string.h>

static const struct tess_option options[] = {
    {"set", 's', "KEY=VALUE", "override a setting of the configuration; may be given often"},
    {"list", 'l', NULL, "print the number and the settings of every trial, and stop"},
    {"array", 0, NULL, "print the numbers that are not done, as sbatch --array takes them"},
    {"trial", 0, "NUMBER", "train this one alone: a task of a job array"},
    {"table", 0, NULL, "write and print the tables of what is done; train nothing"},
    {"time-limit", 't', "MINUTES", "save a checkpoint and stop (exit code 75) before this is over"},
    {"dry-run", 'n', NULL, "check every trial, say how much memory and disk they need, and stop"},
    {0},
};

/* One of these says what to do. */
static int check_options(const struct tess_call *call, struct tess_error *error)
{
    static const char *const what[] = {"list", "array", "trial", "table", "dry-run"};
    const char *given = NULL;

    for (int i = 0; i < 5; i++) {
        if (!tess_call_option(call, what[i]) ||
            (given && strcmp(given, "trial") == 0 && strcmp(what[i], "dry-run") == 0))
            continue;
        if (given)
            tess_error_set(error, TESS_EUSAGE, "--%s and --%s exclude each other", given, what[i]);
        given = what[i];
    }
    return error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_sweep_options sweep = {.dry_run = tess_call_option(call, "dry-run") != NULL,
                                       .only_table = tess_call_option(call, "table") != NULL};
    struct tess_trials trials;
    double minutes = 0;

    if (check_options(call, error) != TESS_OK ||
        tess_call_double(call, "time-limit", 0, 1e6, &minutes, error) != TESS_OK ||
        tess_call_int(call, "trial", 1, INT32_MAX, &sweep.trial, error) != TESS_OK)
        return error->code;
    sweep.time_limit = 60 * minutes;
    /* value[0] is --set (the first of the table), as given: a setting may hold commas */
    if (tess_trials_read(&trials, call->args[0], &call->value[0], call->comm, error) == TESS_OK) {
        if (tess_call_option(call, "list"))
            tess_sweep_list(&trials, call->comm, error);
        else if (tess_call_option(call, "array"))
            tess_sweep_array(&trials, call->comm, error);
        else
            tess_sweep_run(&trials, &sweep, call->comm, error);
    }
    tess_trials_release(&trials);
    return error->code;
}

const struct tess_command tess_command_sweep = {
    .name = "sweep",
    .usage = "sweep CONFIG [--set KEY=VALUE …]",
    .summary = "train with many settings, side by side, and name the best by validation",
    .details =
        "CONFIG is what 'tessera train' takes, with a section 'sweep' of settings that have a "
        "list\n"
        "of values, or a range: {from: A, to: B, steps: N, scale: log}. method: grid takes all\n"
        "combinations, method: random draws 'samples' of them from 'seed'; 'groups' of ranks "
        "train\n"
        "side by side (docs/sweep.md). Each trial is a run of its own, "
        "run.directory/trial-NUMBER,\n"
        "with the bits of 'tessera train' with its settings; 'best' is a link to the winner. The\n"
        "tables of all are sweep.tsv and sweep.json.\n"
        "\nThe same command again leaves alone what is done and goes on with the rest, on any "
        "number\n"
        "of ranks; more values or samples add trials. It stops as 'tessera train' does, with exit\n"
        "code 75: run me again. On a cluster jobs/sweep.sbatch trains each trial as a task of an\n"
        "array.",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
