/* transfer.c -- each context trained on alone, beside the model of all. */
#include "transfer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/feature_file.h"
#include "tessera/groups.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/preempt.h"
#include "tessera/run.h"
#include "tessera/rundir.h"
#include "tessera/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

/* Trainings of this session. */
struct session {
    struct tess_transfer *transfer;
    struct tess_groups groups;
    int64_t n, *todo; /* (n) own */
    double started;
    struct tess_train_need need; /* of the largest */
    double disk; /* of all */
    struct tess_feature_cache features; /* while all are checked */
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

        tess_checkpoint_settle_by(&transfer->config, one); /* what `auto` came to with all */
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
    if (transfer->rank != 0)
        transfer->context = TESS_NEW(struct tess_transfer_context, transfer->n);
    tess_broadcast(comm, transfer->context, (size_t)transfer->n * sizeof *transfer->context);
    return TESS_OK;
}

void tess_transfer_release(struct tess_transfer *transfer)
{
    tess_free(transfer->directory);
    tess_free(transfer->context);
    *transfer = (struct tess_transfer){.n = 0};
}

/* The run's own but for place and layout. Local. */
static int settings_of(const struct tess_transfer *transfer, int64_t i, struct tess_config *config,
                       struct tess_error *error)
{
    char *directory = tess_transfer_path(transfer, i, "");

    *config = transfer->config;
    config->train.groups = 1;
    if (tess_config_set(config, "run.directory", directory, "a context", error) == TESS_OK)
        tess_config_set(config, "data.store", transfer->store->h5.path, "a context", error);
    tess_free(directory);
    return error->code;
}

/* Could it be trained, as far as that can be said without values? Collective over the group. */
static int check_one(void *closure, int64_t k, struct tess_error *error)
{
    struct session *session = closure;
    const struct tess_transfer *transfer = session->transfer;
    int64_t i = session->todo[k];
    const char *name = transfer->store->index.context.symbol[transfer->context[i].context];
    struct tess_train_need need = {0, 0};
    struct tess_train_options options = {.dry_run = 1, .need = &need, .context = name};
    struct tess_config config;

    /* which readouts vary most depends on the context */
    options.features = transfer->config.data.top_variable > 0 ? NULL : &session->features;
    if (settings_of(transfer, i, &config, error) == TESS_OK &&
        tess_train(&config, &options, session->groups.group, error) != TESS_OK) {
        struct tess_error cause = *error;

        *error = (struct tess_error)TESS_ERROR_INIT;
        tess_error_set(error, cause.code, "context %s alone: %.1900s", name, cause.text);
    }
    MPI_Allreduce(MPI_IN_PLACE, &need, 2, MPI_DOUBLE, MPI_MAX, session->groups.group);
    session->need.memory = fmax(session->need.memory, need.memory);
    session->disk +=
        need.checkpoint * (double)((config.checkpoint.keep + 1) * config.train.members);
    return error->code;
}

/* Nothing is trained unless all can be. Collective. */
static int check_all(struct session *session, struct tess_error *error)
{
    const struct tess_groups_work work = {session, "before anything was trained", check_one};
    const struct tess_transfer *transfer = session->transfer;
    enum tess_log_level level = tess_log_level;
    double disk;
    int own;

    tess_log_level = level > TESS_LOG_WARN ? TESS_LOG_WARN : level; /* said when it is trained */
    tess_groups_run(&session->groups, session->n, &work, error);
    tess_log_level = level;
    tess_feature_cache_release(&session->features);
    if (tess_agree(transfer->comm, error) != TESS_OK)
        return error->code;
    MPI_Comm_rank(session->groups.group, &own);
    disk = own == 0 ? session->disk : 0;
    MPI_Allreduce(&disk, &session->disk, 1, MPI_DOUBLE, MPI_SUM, transfer->comm);
    MPI_Allreduce(MPI_IN_PLACE, &session->need.memory, 1, MPI_DOUBLE, MPI_MAX, transfer->comm);
    if (transfer->rank == 0)
        tess_commit_check_room(transfer->directory, session->disk, error);
    return tess_agree(transfer->comm, error);
}

static void announce(const struct session *session)
{
    const struct tess_transfer *transfer = session->transfer;
    int64_t experiments = 0, untrained = 0;

    for (int64_t i = 0; i < transfer->n; i++)
        untrained += transfer->context[i].n_train == 0;
    for (int64_t k = 0; k < session->n; k++)
        experiments += transfer->context[session->todo[k]].n_train;
    tess_info(
        "%lld contexts have something to compare; %lld of them are still to be trained on "
        "alone, on %d group%s of ranks: %lld model%s each, up to %lld epochs of %lld training "
        "experiments in all",
        (long long)transfer->n, (long long)session->n, session->groups.n,
        session->groups.n == 1 ? "" : "s", (long long)transfer->config.train.members,
        transfer->config.train.members == 1 ? "" : "s", (long long)transfer->config.train.epochs,
        (long long)experiments);
    if (untrained > 0)
        tess_info("%lld of them have no training experiment: there is no model of them alone",
                  (long long)untrained);
    if (session->n > 0)
        tess_info("memory of each rank: at most %.1f MB; checkpoints of all: at most %.1f MB in %s",
                  session->need.memory / 1e6, session->disk / 1e6, transfer->directory);
}

/* Collective over the group. */
static int train_one(void *closure, int64_t k, struct tess_error *error)
{
    struct session *session = closure;
    struct tess_transfer *transfer = session->transfer;
    int64_t i = session->todo[k];
    int diverged = 0, own;
    const char *name = transfer->store->index.context.symbol[transfer->context[i].context];
    const struct tess_member member = {transfer->directory, &session->groups, NULL};
    struct tess_train_options options = {.of = &member, .context = name, .diverged = &diverged};
    struct tess_config config;

    tess_info("context %s alone (%lld of %lld): %lld training experiments", name, (long long)k + 1,
              (long long)session->n, (long long)transfer->context[i].n_train);
    if (transfer->options.time_limit > 0)
        options.time_limit =
            fmax(transfer->options.time_limit - (tess_clock() - session->started), 1e-3);
    MPI_Comm_rank(session->groups.group, &own);
    if (settings_of(transfer, i, &config, error) == TESS_OK)
        tess_train(&config, &options, session->groups.group, error);
    MPI_Allreduce(MPI_IN_PLACE, &diverged, 1, MPI_INT, MPI_MAX, session->groups.group);
    if (error->code == TESS_EDATA && diverged) {
        tess_warn("context %s alone diverged: %s", name, error->text);
        *error = (struct tess_error)TESS_ERROR_INIT;
    }
    if (error->code == TESS_OK && own == 0)
        tess_transfer_finish(transfer, i, diverged ? TESS_TRANSFER_DIVERGED : TESS_TRANSFER_DONE,
                             error);
    return tess_agree(session->groups.group, error);
}

/* Collective. */
static int train_all(struct session *session, struct tess_error *error)
{
    const struct tess_groups_work work = {session, "between two contexts", train_one};
    struct tess_transfer *transfer = session->transfer;

    if (transfer->rank == 0)
        tess_run_make_directory(transfer->directory, error);
    if (tess_agree(transfer->comm, error) == TESS_OK)
        tess_groups_run(&session->groups, session->n, &work, error);
    if (tess_agree(transfer->comm, error) == TESS_OK && transfer->rank == 0)
        for (int64_t k = 0; k < session->n; k++)
            tess_transfer_look(transfer, session->todo[k]);
    tess_broadcast(transfer->comm, transfer->context,
                   (size_t)transfer->n * sizeof *transfer->context);
    return error->code;
}

int tess_transfer_train(struct tess_transfer *transfer, struct tess_error *error)
{
    struct session session = {.transfer = transfer, .started = tess_clock()};
    int64_t groups = transfer->options.groups;
    int ranks;

    MPI_Comm_size(transfer->comm, &ranks);
    if (groups > ranks)
        return tess_error_set(error, TESS_EUSAGE,
                              "--groups is %lld, but there %s only %d rank%s: a group is of one "
                              "rank or more; start more ranks, or lower it",
                              (long long)groups, ranks == 1 ? "is" : "are", ranks,
                              ranks == 1 ? "" : "s");
    tess_preempt_install();
    session.todo = TESS_NEW(int64_t, transfer->n);
    for (int64_t i = 0; i < transfer->n; i++)
        if (transfer->context[i].state == TESS_TRANSFER_NEW && transfer->context[i].n_train > 0)
            session.todo[session.n++] = i;
    groups = groups > session.n ? session.n : groups;
    tess_groups_init(&session.groups, groups > 1 ? (int)groups : 1, transfer->comm, NULL);
    if (check_all(&session, error) == TESS_OK) {
        announce(&session);
        if (!transfer->options.dry_run && session.n > 0)
            train_all(&session, error);
    }
    tess_groups_release(&session.groups);
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
