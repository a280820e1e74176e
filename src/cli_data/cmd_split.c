/* cmd_split.c -- train, val and test of a store. */
#include "tessera/cli_data.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/split.h"

#include <string.h>

static const struct tess_option options[] = {
    {"target", 't', "CONTEXT[,…]", "hold out perturbations of these contexts that others measure"},
    {"random", 0, NULL, "hold out random pairs of a perturbation and a context"},
    {"contexts", 0, NULL, "hold out whole contexts"},
    {"file", 'f', "TSV", "take the split from a table: perturbation, context, split"},
    {"val", 0, "SHARE", "share for validation [0.15]"},
    {"test", 0, "SHARE", "share for the test [0.15]"},
    {"val-contexts", 0, "C[,C]", "with --contexts: these, instead of random ones"},
    {"test-contexts", 0, "C[,C]", "with --contexts: these, instead of random ones"},
    {"keep", 0, "N", "with --random: training contexts every perturbation keeps [1]"},
    {"share-contexts", 0, "SHARE",
     "train on so many of the contexts that have nothing held out; the rest is unused [1]"},
    {"share-perturbations", 0, "SHARE", "likewise of perturbations; alone: of the split there is"},
    {"seed", 0, "N", "of what is random [0]"},
    {"export", 0, "FILE", "write the split as a table, too (alone: change nothing)"},
    {0},
};

static const char *const rules[] = {"target", "random", "contexts", "file"};
enum { FILE_RULE = 3, N_RULES, NO_RULE = -1 };

static int is_thinned(const struct tess_call *call)
{
    return tess_call_option(call, "share-contexts") ||
           tess_call_option(call, "share-perturbations");
}

static int read_share(const struct tess_call *call, struct tess_split_share *share,
                      struct tess_error *error)
{
    *share = (struct tess_split_share){.contexts = 1, .perturbations = 1};
    tess_call_double(call, "share-contexts", 0, 1, &share->contexts, error);
    tess_call_double(call, "share-perturbations", 0, 1, &share->perturbations, error);
    return tess_call_int(call, "seed", 0, INT64_MAX, &share->seed, error);
}

static int read_options(const struct tess_call *call, struct tess_split_options *out,
                        struct tess_error *error)
{
    *out = (struct tess_split_options){.rule = NO_RULE, .val = 0.15, .test = 0.15, .keep = 1};
    for (int i = 0; i < N_RULES; i++)
        if (tess_call_option(call, rules[i])) {
            if (out->rule != NO_RULE)
                tess_error_set(error, TESS_EUSAGE, "--%s and --%s exclude each other",
                               rules[out->rule], rules[i]);
            out->rule = i;
        }
    tess_call_selection(call, "target", &out->target, error);
    tess_call_selection(call, "val-contexts", &out->val_names, error);
    tess_call_selection(call, "test-contexts", &out->test_names, error);
    tess_call_double(call, "val", 0, 1, &out->val, error);
    tess_call_double(call, "test", 0, 1, &out->test, error);
    tess_call_int(call, "keep", 0, INT64_MAX, &out->keep, error);
    tess_call_int(call, "seed", 0, INT64_MAX, &out->seed, error);
    if (out->val + out->test > 1)
        tess_error_set(error, TESS_EUSAGE, "--val and --test are more than 1 together");
    if (out->val + out->test <= 0 && out->rule != NO_RULE && out->rule != FILE_RULE)
        tess_error_set(error, TESS_EUSAGE,
                       "--val and --test are both 0: nothing would be held out");
    return error->code;
}

/* Rank 0 decides and exports; without a rule the split stays as it is. */
static int decide(struct tess_call *call, const struct tess_store *store,
                  const struct tess_split_options *in, int8_t *split, char *method,
                  struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    const char *export = tess_call_option(call, "export");
    struct tess_split_share share;

    read_share(call, &share, error);
    if (in->rule == NO_RULE) {
        memcpy(split, index->split, (size_t)index->n_experiments);
        snprintf(method, TESS_SPLIT_METHOD, "%s", store->split_method);
    } else if (in->rule == FILE_RULE)
        tess_split_read(index, tess_call_option(call, "file"), split, method, error);
    else
        tess_split_draw(index, in, split, method, error);
    if (error->code == TESS_OK && is_thinned(call))
        tess_split_thin(index, &share, split, method);
    if (error->code == TESS_OK && export)
        tess_split_write(index, split, export, error);
    return error->code;
}

/* A store whose split is damaged can still be given a new one. Collective. */
static int run_split(struct tess_call *call, const struct tess_split_options *in,
                     struct tess_error *error)
{
    char method[TESS_SPLIT_METHOD] = "";
    struct tess_store store;
    int changes = in->rule != NO_RULE || is_thinned(call);
    int8_t *split;
    int64_t n;

    if ((in->rule == NO_RULE ? tess_store_open : tess_store_open_to_split)(
            &store, call->args[0], call->comm, error) != TESS_OK)
        return error->code;
    n = store.index.n_experiments;
    split = (int8_t *)tess_alloc((size_t)n, 1);
    if (call->rank == 0)
        decide(call, &store, in, split, method, error);
    tess_h5_close(&store.h5, error); /* so that it can be opened for writing */
    if (tess_agree(call->comm, error) == TESS_OK && changes)
        tess_store_write_split(call->args[0], call->comm, split, n, method, error);
    if (call->rank == 0 && error->code == TESS_OK) {
        printf("%s\n", method);
        tess_split_print(&store.index, split, stdout);
    }
    tess_free(split);
    tess_store_release(&store);
    return error->code;
}

static int run(struct tess_call *call, struct tess_error *error)
{
    struct tess_split_options in;

    if (read_options(call, &in, error) == TESS_OK)
        run_split(call, &in, error);
    tess_strings_release(&in.target);
    tess_strings_release(&in.val_names);
    tess_strings_release(&in.test_names);
    return error->code;
}

const struct tess_command tess_command_split = {
    .name = "split",
    .usage = "split STORE [--target C[,C] | --random | --contexts | --file TSV] [options]",
    .summary = "decide which experiments are trained on, and show what leaks",
    .details =
        "--target is the protocol of the LPM paper: of the perturbations of the target contexts "
        "that\n"
        "other contexts measure, too, a share is held out there; everything else is trained on.\n"
        "The split is kept in the store; without a rule it is only shown. Control is always "
        "trained\n"
        "on. With --share-contexts and --share-perturbations less is trained on, whatever the "
        "rule,\n"
        "and the same is held out: how much more data would bring. A larger share holds the "
        "smaller\n"
        "ones of the same seed. What is drawn depends on the seed and on names, never on the "
        "number of ranks.",
    .options = options,
    .outputs = (const char *const[]){"export", NULL},
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
