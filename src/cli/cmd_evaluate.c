/* cmd_evaluate.c -- tessera evaluate: a trained model, or anybody's predictions, on held-out data.
 */
#include "commands.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/h5.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/scorecard.h"
#include "tessera/sheet.h"
#include "tessera/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct tess_option options[] = {
    {"split", 0, "train|val|test", "which experiments (default test)"},
    {"json", 0, "FILE", "write all scores there"},
    {"store", 0, "STORE", "measured data (default: the store that the model was trained on)"},
    {"predictions", 0, "FILE",
     "score these in place of the model's: a table or .h5ad with the columns perturbation, context "
     "(a long one: readout, value)"},
    {"control", 0, "NAME[,NAME]",
     "with --predictions: what they call the control, in A+NAME (besides control and ctrl)"},
    {"blend", 0, "auto|on|off",
     "score the model together with the baseline that the training found best (default auto: where "
     "it pays)"},
    TESS_CALL_PRECISION,
    {"resamples", 0, "N", "of perturbations, for the intervals (default 1000)"},
    {"halvings", 0, "N", "of the replicates, for the noise ceiling (default 20)"},
    {"seed", 0, "N", "of resamples and halvings (default 0)"},
    {"strata", 0, NULL,
     "scores by the number of contexts that a perturbation is trained in, and by the strength of "
     "its measured effect, too"},
    {"epistasis", 0, NULL,
     "how well it is predicted by how much combinations deviate from the sum of their components' "
     "changes, too"},
    {"transfer", 0, NULL,
     "what the other contexts gave each one, too: trains a model of each context alone "
     "(RUN/transfer), beside which the run's stands"},
    {"contexts", 'c', "LIST", "with --transfer: of these contexts (default: all)"},
    {"groups", 0, "N", "with --transfer: of ranks, which train side by side (default 1)"},
    {"time-limit", 't', "MINUTES",
     "with --transfer: save a checkpoint and stop (exit code 75) before this is over"},
    {"dry-run", 'n', NULL, "with --transfer: say what would be trained, and stop"},
    {"profile", 0, "cell-eval",
     "write predictions (-o) and measured values (--real) as cell-eval reads them, too"},
    {"output", 'o', "FILE.h5ad", "with --profile: the predictions"},
    {"real", 0, "FILE.h5ad", "with --profile: the measured values"},
    {"force", 'f', NULL, "with --profile: replace files that are there already"},
    {"memory", 0, "SIZE", "at most so much of each rank (500M, 2G); default: what suits"},
    {0},
};

struct inputs {
    struct tess_strings member; /* paths of the models */
    struct tess_store store;
    struct tess_model model;
    int has_store, has_model;
    int precision; /* of the model's predictions */
    struct tess_transfer transfer; /* of --transfer */
};

/* Rank 0 looks: a run directory or a checkpoint (0), or a store (1)? What is neither is refused
 * later, by who reads checkpoints. Collective. */
static int is_store(const struct tess_call *call, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_error ignored = TESS_ERROR_INIT;
    struct stat status;
    char *format = NULL;
    int found = 0;

    if (call->rank == 0 && stat(call->args[0], &status) != 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no such file or directory; expected a run, a checkpoint or a store",
                       call->args[0]);
    else if (call->rank == 0 && !S_ISDIR(status.st_mode) &&
             tess_h5_open(&h5, call->args[0], MPI_COMM_NULL, 0, error) == TESS_OK) {
        tess_h5_read_string(&h5, "/", "format", &format, &ignored);
        found = format && strcmp(format, "tessera-store") == 0;
        tess_free(format);
        tess_h5_close(&h5, &ignored);
    }
    if (tess_agree(call->comm, error) == TESS_OK)
        MPI_Bcast(&found, 1, MPI_INT, 0, call->comm);
    return found;
}

/* Scores of other data than the model's are asked for by name. */
static int compare_hashes(const struct inputs *inputs, const char *named, struct tess_error *error)
{
    const struct tess_index *index = &inputs->store.index;
    const struct tess_model *other =
        inputs->has_model
            ? tess_model_trained_elsewhere(&inputs->model, index->hash, index->split_hash)
            : NULL;

    if (!other)
        return TESS_OK;
    if (!named)
        return tess_error_set(error, TESS_EDATA,
                              "%s: its %s changed since the model was trained on it (%s): what is "
                              "held out now may have "
                              "been trained on; give --store %s to score it nevertheless",
                              inputs->store.h5.path,
                              index->hash == other->store_hash ? "split has" : "values have",
                              other->path, inputs->store.h5.path);
    tess_warn("%s is not the store that the model was trained on: what is held out there may have "
              "been trained on",
              named);
    return TESS_OK;
}

/* The first argument says what is scored: a store alone, or models and the store that they name.
 * Collective. */
static int open_inputs(struct inputs *inputs, const struct tess_call *call, const char *predictions,
                       struct tess_error *error)
{
    const char *named = tess_call_option(call, "store"), *path = named;
    int store_first = is_store(call, error);

    if (error->code == TESS_OK)
        tess_call_precision(call, &inputs->precision, error); /* the same on every rank */
    if (error->code != TESS_OK)
        return error->code;
    if (store_first && call->n_args > 1)
        return tess_error_set(error, TESS_EUSAGE,
                              "'%s' is a store: it is scored alone; several runs are an ensemble",
                              call->args[0]);
    if (store_first && named)
        return tess_error_set(error, TESS_EUSAGE,
                              "'%s' is a store already: --store belongs to a run", call->args[0]);
    if (store_first)
        path = call->args[0];
    else {
        inputs->has_model = 1;
        if (tess_call_models(call, call->n_args, &inputs->member, error) != TESS_OK ||
            tess_model_open_ensemble(&inputs->model, (int)inputs->member.n, inputs->member.item,
                                     inputs->precision, call->comm, error) != TESS_OK)
            return error->code;
        path = tess_model_store(&inputs->model, named, 1, error);
    }
    if (!path)
        return error->code;
    inputs->has_store = 1;
    if (tess_store_open(&inputs->store, path, call->comm, error) != TESS_OK ||
        compare_hashes(inputs, named, error) != TESS_OK)
        return error->code;
    if (!store_first && predictions)
        tess_info("scoring %s in place of the model's predictions", predictions);
    return TESS_OK;
}

/* Both files or none, and names that say what they are. */
static int check_profile(const struct tess_call *call, struct tess_error *error)
{
    static const char *const files[] = {"output", "real"};
    const char *profile = tess_call_option(call, "profile");

    if (profile && strcmp(profile, "cell-eval") != 0)
        return tess_error_set(error, TESS_EUSAGE, "--profile: '%s' is not cell-eval", profile);
    for (int f = 0; f < 2; f++) {
        const char *path = tess_call_option(call, files[f]);
        size_t n = path ? strlen(path) : 0;

        if (!profile && path)
            return tess_error_set(error, TESS_EUSAGE, "--%s needs --profile cell-eval", files[f]);
        if (profile && (n < 6 || strcmp(path + n - 5, ".h5ad") != 0))
            return tess_error_set(error, TESS_EUSAGE,
                                  "--profile cell-eval needs --%s with a name that ends in .h5ad",
                                  files[f]);
    }
    return TESS_OK;
}

/* At most 60000 halvings: the number of one has 16 bits (ceiling.c). */
static int read_options(const struct tess_call *call, struct tess_evaluate_options *out,
                        struct tess_error *error)
{
    const char *split = tess_call_option(call, "split");
    int64_t seed = 0;

    *out = (struct tess_evaluate_options){.split = split ? tess_split_parse(split) : TESS_TEST,
                                          .n_resamples = 1000,
                                          .n_halvings = 20};
    out->predictions = tess_call_option(call, "predictions");
    out->epistasis = tess_call_option(call, "epistasis") != NULL;
    out->strata = tess_call_option(call, "strata") != NULL;
    if (tess_call_blend(call, &out->blend, error) != TESS_OK)
        return error->code;
    tess_call_list(call, "control", &out->control);
    if (check_profile(call, error) != TESS_OK)
        return error->code;
    if (out->control.n > 0 && !out->predictions)
        return tess_error_set(error, TESS_EUSAGE,
                              "--control says what a predictions file calls the control: it needs "
                              "--predictions");
    if (out->split < 0 || out->split == TESS_UNUSED)
        return tess_error_set(error, TESS_EUSAGE, "--split: '%s' is none of train, val, test",
                              split);
    if (tess_call_int(call, "resamples", 0, 1000000, &out->n_resamples, error) != TESS_OK ||
        tess_call_int(call, "halvings", 1, 60000, &out->n_halvings, error) != TESS_OK ||
        tess_call_int(call, "seed", 0, INT64_MAX, &seed, error) != TESS_OK ||
        tess_call_size(call, "memory", &out->memory, error) != TESS_OK)
        return error->code;
    out->seed = (uint64_t)seed;
    return TESS_OK;
}

/* 17 digits: doubles are read back as they were. */
static int report(const struct tess_evaluation *evaluation, const char *path,
                  struct tess_error *error)
{
    json_t *json;
    char *text, *lines;

    for (size_t i = 0; i < evaluation->unscored.n && i < 20; i++)
        tess_debug("not scored: %s", evaluation->unscored.item[i]);
    tess_scorecard_print(evaluation, stdout);
    fflush(stdout);
    if (!path)
        return TESS_OK;
    json = tess_scorecard_json(evaluation);
    text = json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    lines = tess_format("%s\n", text);
    tess_commit_text(path, lines, error);
    tess_free(lines);
    free(text);
    json_decref(json);
    return error->code;
}

/* What --profile would be refused for in the end is refused before anything is scored. Collective.
 */
static int check_files(const struct tess_call *call, const struct inputs *inputs,
                       const struct tess_evaluate_options *chosen, struct tess_error *error)
{
    static const char *const files[] = {"output", "real"};
    int force = tess_call_option(call, "force") != NULL;

    if (!tess_call_option(call, "profile"))
        return TESS_OK;
    if (!inputs->has_model && !chosen->predictions)
        return tess_error_set(error, TESS_EUSAGE,
                              "--profile cell-eval writes predictions: no model was given; name a "
                              "run, or --predictions");
    for (int f = 0; f < 2 && call->rank == 0; f++)
        tess_sheet_check_new(tess_call_option(call, files[f]), force, error);
    return tess_agree(call->comm, error);
}

/* Whose options are given without it? */
static int check_transfer(const struct tess_call *call, const struct tess_evaluate_options *chosen,
                          struct tess_error *error)
{
    static const char *const with[] = {"contexts", "groups", "time-limit", "dry-run"};

    for (int i = 0; i < 4; i++)
        if (!tess_call_option(call, "transfer") && tess_call_option(call, with[i]))
            return tess_error_set(error, TESS_EUSAGE, "--%s needs --transfer", with[i]);
    if (tess_call_option(call, "transfer") && (call->n_args > 1 || chosen->predictions))
        return tess_error_set(error, TESS_EUSAGE,
                              "--transfer is of one run, whose settings each context is trained "
                              "with alone: %s",
                              chosen->predictions ? "leave out --predictions" : "name one");
    return TESS_OK;
}

/* The models of each context alone, before anything is scored. Collective. */
static int train_alone(const struct tess_call *call, struct inputs *inputs,
                       const struct tess_evaluate_options *chosen, struct tess_error *error)
{
    struct tess_transfer_options wanted = {.run = call->args[0],
                                           .split = chosen->split,
                                           .groups = 1,
                                           .dry_run = tess_call_option(call, "dry-run") != NULL};
    const struct tess_index *index = &inputs->store.index;
    struct tess_strings contexts = {0};
    double minutes = 0;

    if (!tess_call_option(call, "transfer"))
        return TESS_OK;
    if (!inputs->has_model)
        tess_error_set(error, TESS_EUSAGE, "'%s' is a store: --transfer needs a run",
                       call->args[0]);
    else if (tess_model_trained_elsewhere(&inputs->model, index->hash, index->split_hash))
        tess_error_set(error, TESS_EUSAGE,
                       "--transfer compares trainings on one store: leave out --store %s",
                       inputs->store.h5.path);
    else if (tess_call_double(call, "time-limit", 0, 1e6, &minutes, error) == TESS_OK &&
             tess_call_int(call, "groups", 1, INT32_MAX, &wanted.groups, error) == TESS_OK)
        tess_call_selection(call, "contexts", &contexts, error);
    wanted.contexts = &contexts;
    wanted.time_limit = 60 * minutes;
    if (error->code == TESS_OK && tess_transfer_init(&inputs->transfer, &inputs->store, &wanted,
                                                     call->comm, error) == TESS_OK)
        tess_transfer_train(&inputs->transfer, error);
    inputs->transfer.options.contexts = NULL;
    tess_strings_release(&contexts);
    return error->code;
}

/* All that was asked for. Collective. */
static int score(const struct tess_call *call, struct inputs *inputs,
                 const struct tess_evaluate_options *chosen, struct tess_error *error)
{
    struct tess_evaluation evaluation = {0};

    if (tess_evaluate_run(&evaluation, &inputs->store, inputs->has_model ? &inputs->model : NULL,
                          chosen, call->comm, error) == TESS_OK &&
        (!inputs->transfer.directory || tess_transfer_score(&inputs->transfer, inputs->precision,
                                                            &evaluation, error) == TESS_OK)) {
        if (call->rank == 0)
            report(&evaluation, tess_call_option(call, "json"), error);
        if (tess_agree(call->comm, error) == TESS_OK && tess_call_option(call, "profile"))
            tess_scorecard_cell_eval(&evaluation, tess_call_option(call, "output"),
                                     tess_call_option(call, "real"), error);
    }
    tess_evaluate_release(&evaluation);
    return error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct inputs inputs = {0};
    struct tess_evaluate_options chosen;

    read_options(call, &chosen, error); /* the same on every rank */
    if (error->code == TESS_OK && check_transfer(call, &chosen, error) == TESS_OK &&
        open_inputs(&inputs, call, chosen.predictions, error) == TESS_OK &&
        check_files(call, &inputs, &chosen, error) == TESS_OK &&
        train_alone(call, &inputs, &chosen, error) == TESS_OK && !tess_call_option(call, "dry-run"))
        score(call, &inputs, &chosen, error);
    tess_transfer_release(&inputs.transfer);
    tess_strings_release(&chosen.control);
    tess_strings_release(&inputs.member);
    if (inputs.has_store)
        tess_store_release(&inputs.store);
    if (inputs.has_model)
        tess_model_release(&inputs.model);
    return error->code;
}

const struct tess_command tess_command_evaluate = {
    .name = "evaluate",
    .usage = "evaluate RUN…|CHECKPOINT…|STORE [--split test] [--json FILE] [options]",
    .summary = "scores on held-out experiments, beside every baseline and the noise ceiling",
    .details = "A run or a checkpoint is scored on the store that it was trained on. A store alone "
               "gives the\nbaselines' scores, or those of --predictions. Several runs (seeds), and "
               "the members of one\n(train.members), are scored as one model, the mean of their "
               "predictions; then how good their\ndeviation is, too.\n"
               "\n--transfer trains a model of each context alone, with the run's settings, and "
               "says whether the\nothers helped or hurt. The same command again goes on where it "
               "was stopped; what is trained\nalready is used again (docs/reach.md).",
    .options = options,
    .outputs = (const char *const[]){"json", "output", "real", NULL},
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
