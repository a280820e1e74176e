/* transfer.c -- each context trained on alone, beside the model of all. */
#include "transfer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/preempt.h"
#include "tessera/run.h"
#include "tessera/rundir.h"
#include "tessera/select.h"
#include "tessera/trainings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* Trainings of this session. */
struct session {
    struct tess_transfer *transfer;
    struct tess_trainings trainings;
    int64_t *todo; /* (trainings.n) own */
};

/* Of one context, experiments but control that have any value. */
static void count(struct tess_transfer *transfer, struct tess_transfer_context *of)
{
    const struct tess_index *index = &transfer->store->index;

    for (int64_t e = 0; e < index->n_experiments; e++) {
        if (index->context_of[e] != of->context || index->n_observed[e] == 0 ||
            tess_index_is_control(index, index->combination[e]))
            continue;
        of->n_train += index->split[e] == TESS_TRAIN;
        of->n_held_out += index->split[e] == transfer->options.split;
    }
}

/* The run's settings, as it used them. Rank 0. */
static int read_settings(struct tess_transfer *transfer, struct tess_error *error)
{
    const char *run = transfer->options.run;
    char *used = tess_format("%s/used.yaml", run), *yaml, *all;

    if (access(used, R_OK) != 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: there is no used.yaml in it, whose settings each context would be "
                       "trained with alone: name the directory of a run",
                       run);
    else if (tess_rundir_read_used(used, &transfer->config, error) == TESS_OK &&
             transfer->config.train.init[0])
        tess_error_set(error, TESS_EDATA,
                       "%s: began from another model (train.init), which other contexts shaped: "
                       "nothing of that kind is trained on one context alone; name a run that "
                       "began from nothing",
                       run);
    if (error->code == TESS_OK) {
        char *one = tess_rundir_holds_members(run) ? tess_rundir_member(run, 1) : tess_strdup(run);
        struct tess_state head;

        if (tess_checkpoint_find_head(one, &head)) /* what `auto` came to with all */
            tess_checkpoint_settle(&transfer->config, &head.config);
        tess_state_release(&head);
        tess_free(one);
        yaml = tess_config_yaml(&transfer->config, 1, 0);
        all = tess_format("%s%s", yaml, transfer->config.train.member_kinds);
        transfer->settings = XXH3_64bits(all, strlen(all));
        tess_free(all);
        free(yaml);
    }
    tess_free(used);
    return error->code;
}

/* Those that were chosen and have something to score, in the store's order. Rank 0. */
static int choose(struct tess_transfer *transfer, struct tess_error *error)
{
    const struct tess_index *index = &transfer->store->index;
    const struct tess_choice choice = {
        .vocab = &index->context, .what = "context", .source = transfer->store->h5.path};
    const struct tess_strings *names = transfer->options.contexts;
    struct tess_sets chosen = {0};

    transfer->context = TESS_NEW(struct tess_transfer_context, index->context.n);
    if (tess_select(&choice, names, &chosen, error) == TESS_OK)
        for (int64_t i = 0; i < chosen.n; i++) {
            struct tess_transfer_context *one = &transfer->context[transfer->n];

            *one = (struct tess_transfer_context){.context = chosen.member[chosen.first[i]]};
            count(transfer, one);
            if (one->n_held_out > 0)
                tess_transfer_look(transfer, transfer->n++);
            else if (names->n > 0)
                tess_warn("context %s has no experiment of split '%s': there is nothing to compare",
                          index->context.symbol[one->context],
                          tess_split_name(transfer->options.split));
        }
    tess_sets_release(&chosen);
    if (error->code == TESS_OK && transfer->n == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no %scontext has an experiment of split '%s': hold some out with "
                       "'tessera split', or choose another --split",
                       transfer->store->h5.path, names->n > 0 ? "such " : "",
                       tess_split_name(transfer->options.split));
    return error->code;
}

int tess_transfer_init(struct tess_transfer *transfer, const struct tess_store *store,
                       const struct tess_transfer_options *options, MPI_Comm comm,
                       struct tess_error *error)
{
    *transfer = (struct tess_transfer){.store = store,
                                       .options = *options,
                                       .comm = comm,
                                       .directory = tess_format("%s/transfer", options->run)};
    MPI_Comm_rank(comm, &transfer->rank);
    if (transfer->rank == 0 && read_settings(transfer, error) == TESS_OK)
        choose(transfer, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    tess_broadcast(comm, &transfer->config, sizeof transfer->config);
    tess_broadcast(comm, &transfer->settings, sizeof transfer->settings);
    tess_broadcast(comm, &transfer->n, sizeof transfer->n);
    transfer->context =
        tess_broadcast_array(comm, transfer->context, transfer->n, sizeof *transfer->context);
    return TESS_OK;
}

void tess_transfer_release(struct tess_transfer *transfer)
{
    tess_free(transfer->directory);
    tess_free(transfer->context);
    *transfer = (struct tess_transfer){.n = 0};
}

/* The run's own settings but for place and layout. */
static int describe(void *closure, int64_t k, struct tess_training *training,
                    struct tess_error *error)
{
    const struct session *session = closure;
    const struct tess_transfer *transfer = session->transfer;
    int64_t i = session->todo[k];
    char *directory = tess_transfer_path(transfer, i, "");
    struct tess_config *config = &training->config;

    training->context = transfer->store->index.context.symbol[transfer->context[i].context];
    training->name = tess_format("context %s alone", training->context);
    training->words =
        tess_format("%lld training experiments", (long long)transfer->context[i].n_train);
    *config = transfer->config;
    config->train.groups = 1;
    if (tess_config_set(config, "run.directory", directory, "a context", error) == TESS_OK)
        tess_config_set(config, "data.store", transfer->store->h5.path, "a context", error);
    tess_free(directory);
    return error->code;
}

static int finish(void *closure, int64_t k, const struct tess_config *config, int diverged,
                  MPI_Comm group, struct tess_error *error)
{
    const struct session *session = closure;
    int own;

    (void)config;
    MPI_Comm_rank(group, &own);
    if (own == 0)
        tess_transfer_finish(session->transfer, session->todo[k],
                             diverged ? TESS_TRANSFER_DIVERGED : TESS_TRANSFER_DONE, error);
    return error->code;
}

static const struct tess_trainings_kind contexts_kind = {"between two contexts", describe, finish};

static void announce(const struct session *session)
{
    const struct tess_transfer *transfer = session->transfer;
    int64_t experiments = 0, untrained = 0, n = session->trainings.n;
    int groups = session->trainings.groups.n;

    for (int64_t i = 0; i < transfer->n; i++)
        untrained += transfer->context[i].n_train == 0;
    for (int64_t k = 0; k < n; k++)
        experiments += transfer->context[session->todo[k]].n_train;
    tess_info(
        "%lld contexts have something to compare; %lld of them are still to be trained on "
        "alone, on %d group%s of ranks: %lld model%s each, up to %lld epochs of %lld training "
        "experiments in all",
        (long long)transfer->n, (long long)n, groups, groups == 1 ? "" : "s",
        (long long)transfer->config.train.members, transfer->config.train.members == 1 ? "" : "s",
        (long long)transfer->config.train.epochs, (long long)experiments);
    if (untrained > 0)
        tess_info("%lld of them have no training experiment: there is no model of them alone",
                  (long long)untrained);
    tess_trainings_announce(&session->trainings);
}

/* Collective. */
static int train_all(struct session *session, struct tess_error *error)
{
    struct tess_transfer *transfer = session->transfer;

    if (transfer->rank == 0)
        tess_run_make_directory(transfer->directory, error);
    if (tess_agree(transfer->comm, error) == TESS_OK)
        tess_trainings_run(&session->trainings, error);
    if (error->code == TESS_OK && transfer->rank == 0)
        for (int64_t k = 0; k < session->trainings.n; k++)
            tess_transfer_look(transfer, session->todo[k]);
    tess_broadcast(transfer->comm, transfer->context,
                   (size_t)transfer->n * sizeof *transfer->context);
    return error->code;
}

int tess_transfer_train(struct tess_transfer *transfer, struct tess_error *error)
{
    struct session session = {.transfer = transfer};
    struct tess_trainings *trainings = &session.trainings;
    int ranks;

    MPI_Comm_size(transfer->comm, &ranks);
    if (tess_groups_check(transfer->options.groups, ranks, "--groups", TESS_EUSAGE, error) !=
        TESS_OK)
        return error->code;
    *trainings = (struct tess_trainings){.kind = &contexts_kind,
                                         .closure = &session,
                                         .comm = transfer->comm,
                                         .directory = transfer->directory,
                                         .started = tess_clock(),
                                         .time_limit = transfer->options.time_limit};
    tess_preempt_install();
    session.todo = TESS_NEW(int64_t, transfer->n);
    for (int64_t i = 0; i < transfer->n; i++)
        if (transfer->context[i].state == TESS_TRANSFER_NEW && transfer->context[i].n_train > 0)
            session.todo[trainings->n++] = i;
    tess_trainings_init(trainings, transfer->options.groups);
    if (tess_trainings_check(trainings, error) == TESS_OK) {
        announce(&session);
        if (!transfer->options.dry_run && trainings->n > 0)
            train_all(&session, error);
    }
    tess_trainings_release(trainings);
    tess_free(session.todo);
    return error->code;
}

/* Collective. */
static int score_one(const struct tess_transfer *transfer, int64_t i, int precision,
                     struct tess_evaluation *evaluation, struct tess_error *error)
{
    struct tess_pair *pair = &evaluation->pair[i];
    struct tess_model model = {0};
    struct tess_strings member = {0};

    pair->context = transfer->context[i].context;
    pair->n_train = transfer->context[i].n_train;
    if (pair->n_train == 0)
        pair->no_pair = "no training experiment";
    else if (transfer->context[i].state == TESS_TRANSFER_DIVERGED)
        pair->no_pair = "diverged alone";
    if (pair->no_pair)
        return tess_evaluate_pair(evaluation, NULL, pair, error);
    if (transfer->rank == 0) {
        char *run = tess_transfer_path(transfer, i, "");

        tess_rundir_expand(run, &member, error);
        tess_free(run);
    }
    if (tess_agree(transfer->comm, error) == TESS_OK) {
        tess_broadcast_strings(transfer->comm, &member);
        if (tess_model_open_ensemble(&model, (int)member.n, member.item, precision, transfer->comm,
                                     error) == TESS_OK)
            tess_evaluate_pair(evaluation, &model, pair, error);
        tess_model_release(&model);
    }
    tess_strings_release(&member);
    return error->code;
}

int tess_transfer_score(const struct tess_transfer *transfer, int precision,
                        struct tess_evaluation *evaluation, struct tess_error *error)
{
    evaluation->pair = TESS_NEW(struct tess_pair, transfer->n);
    for (int64_t i = 0; i < transfer->n && error->code == TESS_OK; i++) {
        evaluation->n_pairs = i + 1;
        score_one(transfer, i, precision, evaluation, error);
    }
    if (error->code == TESS_OK && transfer->rank == 0)
        tess_transfer_table(transfer, evaluation, error);
    return tess_agree(transfer->comm, error);
}
