/* run_members.c -- the members of an ensemble, trained in one run directory, one after another or
 * side by side on groups of ranks.
 *
 * Each is a run of its own in member-<number>, with the settings of the whole but for seed and
 * kind, and made by the same code: its bits are those of a run with that seed. Neighbouring seeds
 * are as good as any: random numbers are keyed by the seed, not drawn one after another
 * (random.h). Kinds that share a seed differ by themselves. */
#include "run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/groups.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/rundir.h"
#include "tessera/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_SEED 4294967295 /* run.seed's largest */

struct members {
    const struct tess_config *config; /* borrowed */
    const struct tess_train_options *options; /* borrowed */
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks;
    int64_t n, n_kinds, *kind; /* (n_kinds) enum tess_kind_of_model; own */
    double started;
    struct tess_groups groups;
    struct tess_run run; /* the directory that holds them */
};

/* The kinds in turn; without any, all members have model.kind. */
static int read_kinds(struct members *members, struct tess_error *error)
{
    struct tess_config one = *members->config;
    struct tess_strings name = {0};

    tess_strings_split(&name, members->config->train.member_kinds, ',');
    members->n_kinds = name.n > 0 ? (int64_t)name.n : 1;
    members->kind = TESS_NEW(int64_t, members->n_kinds);
    members->kind[0] = one.model.kind;
    for (size_t i = 0; i < name.n; i++) {
        char *trimmed = tess_text_trimmed(name.item[i]);

        if (tess_config_set(&one, "model.kind", trimmed, "train.member_kinds", error) == TESS_OK)
            members->kind[i] = one.model.kind;
        tess_free(trimmed);
    }
    tess_strings_release(&name);
    return error->code;
}

/* Numbers that cannot be. The same on every rank. */
static int check_numbers(const struct members *members, struct tess_error *error)
{
    long long n = (long long)members->n, groups = (long long)members->config->train.groups;

    if (tess_groups_check(groups, members->n_ranks, "train.groups", TESS_ECONFIG, error) != TESS_OK)
        return error->code;
    if (groups > n)
        return tess_error_set(
            error, TESS_ECONFIG,
            "train.groups is %lld, but train.members %lld: some groups would have "
            "nothing to train; lower train.groups to %lld",
            groups, n, n);
    if (n == 1 && members->config->train.member_kinds[0])
        return tess_error_set(error, TESS_ECONFIG,
                              "train.member_kinds is set, but train.members is 1: raise it, or set "
                              "model.kind instead");
    if (members->n_kinds > n)
        return tess_error_set(error, TESS_ECONFIG,
                              "train.member_kinds names %lld kinds, but train.members is %lld: "
                              "raise it",
                              (long long)members->n_kinds, n);
    if (members->config->run.seed + (n - 1) / members->n_kinds > LAST_SEED)
        return tess_error_set(error, TESS_ECONFIG,
                              "run.seed is %lld, which leaves no seeds for %lld members: none is "
                              "above %lld; lower it",
                              (long long)members->config->run.seed, n, (long long)LAST_SEED);
    return TESS_OK;
}

/* Does what an earlier run left here go with the settings? Each member's checkpoints are looked at
 * when their turn comes; a new member must not be begun with other settings before that. Rank 0. */
static int check_earlier(const struct members *members, struct tess_error *error)
{
    const char *directory = members->run.directory;
    char *used = tess_format("%s/used.yaml", directory);
    struct tess_error unreadable = TESS_ERROR_INIT;
    int64_t *number, n = tess_rundir_members(directory, &number);
    struct tess_config before;

    if (n > 0 && number[n - 1] > members->n)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: holds %lld members, but train.members is %lld: set it to %lld or more, "
                       "or name another run.directory",
                       directory, (long long)number[n - 1], (long long)members->n,
                       (long long)number[n - 1]);
    else if (n > 0 && tess_rundir_read_used(used, &before, &unreadable) != TESS_OK)
        tess_warn("%s; its members are compared with the settings one by one", unreadable.text);
    else if (n > 0 && strcmp(before.train.member_kinds, members->config->train.member_kinds) != 0)
        tess_error_set(error, TESS_ECONFIG,
                       "%s: was trained with train.member_kinds: \"%s\" (now \"%s\"): set it back, "
                       "name another run.directory, or start over with --fresh",
                       directory, before.train.member_kinds, members->config->train.member_kinds);
    else if (n > 0)
        tess_trainer_compare(&before, members->config, directory, error);
    tess_free(number);
    tess_free(used);
    return error->code;
}

/* The directory that is to hold the members, locked, with the settings. Collective. */
static int open_directory(struct members *members, struct tess_error *error)
{
    struct tess_run *run = &members->run;

    if (tess_run_open(run, members->config, members->options->fresh, members->comm, error) !=
        TESS_OK)
        return error->code;
    if (run->rank == 0 && check_earlier(members, error) == TESS_OK)
        tess_rundir_write_used(run->directory, members->config, error);
    return tess_agree(members->comm, error);
}

/* What member i begins from: the same member of the run that train.init names; of a single model,
 * that. Rank 0 of the group looks. Collective over it. */
static int begin_from(const struct members *members, int64_t i, struct tess_config *config,
                      struct tess_error *error)
{
    const char *init = members->config->train.init;
    char *one = tess_rundir_member(init, i + 1);
    int64_t *number, n = 0;
    int holds = 0, rank;

    MPI_Comm_rank(members->groups.group, &rank);
    if (rank == 0 && init[0]) {
        holds = tess_rundir_holds_members(init);
        n = tess_rundir_members(init, &number);
        if (holds && i + 1 > n && n > 0)
            tess_error_set(error, TESS_ECONFIG,
                           "train.init: %s holds %lld members, but train.members is %lld: member k "
                           "begins from member k; lower train.members, or name one member",
                           init, (long long)n, (long long)members->n);
        tess_free(number);
    }
    MPI_Bcast(&holds, 1, MPI_INT, 0, members->groups.group);
    if (init[0] && !holds && i == 0)
        tess_warn(
            "train.init: %s is a single model, from which all members begin: they will differ "
            "less, and their deviation say less, than those of members that begin apart",
            init);
    if (holds && tess_agree(members->groups.group, error) == TESS_OK)
        tess_config_set(config, "train.init", one, "a member", error);
    tess_free(one);
    return error->code;
}

/* A member's own settings: those of a run that is this member alone. */
static int settings_of(const struct members *members, int64_t i, struct tess_config *config,
                       struct tess_error *error)
{
    const char *whole = members->run.directory ? members->run.directory
                                               : members->config->run.directory; /* a dry run */
    char *directory = whole[0] ? tess_rundir_member(whole, i + 1) : tess_strdup(""), seed[32];
    const char *where = "a member";

    *config = *members->config;
    snprintf(seed, sizeof seed, "%lld", (long long)(config->run.seed + i / members->n_kinds));
    tess_config_set(config, "run.directory", directory, where, error);
    tess_config_set(config, "run.seed", seed, where, error);
    tess_config_set(config, "train.members", "1", where, error);
    tess_config_set(config, "train.groups", "1", where, error);
    tess_config_set(config, "train.member_kinds", "", where, error);
    config->model.kind = members->kind[i % members->n_kinds];
    tess_free(directory);
    return error->code;
}

/* Collective over the group. */
static int train_member(void *closure, int64_t i, struct tess_error *error)
{
    static const char *const kinds[] = {"mlp", "dot", "cp", "auto"};
    struct members *members = closure;
    struct tess_member member = {members->run.directory, &members->groups, members->options->of};
    struct tess_train_options options = {.dry_run = members->options->dry_run,
                                         .of = &member,
                                         .context = members->options->context,
                                         .features = members->options->features,
                                         .need = members->options->need,
                                         .diverged = members->options->diverged};
    struct tess_config config;

    if (settings_of(members, i, &config, error) != TESS_OK ||
        begin_from(members, i, &config, error) != TESS_OK)
        return error->code;
    if (!options.need)
        tess_info("member %lld of %lld: run.seed %lld, model.kind %s", (long long)i + 1,
                  (long long)members->n, (long long)config.run.seed, kinds[config.model.kind]);
    if (members->options->time_limit > 0)
        options.time_limit =
            fmax(members->options->time_limit - (tess_clock() - members->started), 1e-3);
    return tess_run_train(&config, &options, members->groups.group, error);
}

/* Of a dry run the first member is described, as the first group would train it. */
static int train_all(struct members *members, struct tess_error *error)
{
    const struct tess_groups_work work = {members, "between two members", train_member};

    if (members->options->dry_run) {
        if (members->groups.number == 0)
            train_member(members, 0, error);
        return tess_agree(members->comm, error);
    }
    if (open_directory(members, error) == TESS_OK)
        tess_groups_run(&members->groups, members->n, &work, error);
    tess_agree(members->comm, error);
    tess_run_close(&members->run);
    return error->code;
}

/* --fresh moves the directory aside: nothing in it can be begun from. */
static void check_init(const struct members *members, struct tess_error *error)
{
    const char *directory = members->config->run.directory;
    char *own = realpath(directory, NULL), *init = realpath(members->config->train.init, NULL);
    size_t length = own ? strlen(own) : 0;

    if (own && init && strncmp(own, init, length) == 0 &&
        (init[length] == '/' || init[length] == '\0'))
        tess_error_set(error, TESS_ECONFIG,
                       "train.init: %s is in %s, which --fresh would move aside: name another "
                       "run.directory with --set run.directory=DIR",
                       members->config->train.init, directory);
    free(own);
    free(init);
}

/* A run by itself. One that has members is no place for it, nor a run by itself for members. Rank 0
 * looks, all agree. */
static int check_place(const struct members *members, struct tess_error *error)
{
    const char *directory = members->config->run.directory;
    int64_t *number, *step, n, n_steps;

    if (members->rank == 0 && members->options->fresh && members->config->train.init[0])
        check_init(members, error);
    if (members->rank == 0 && !members->options->fresh && directory[0]) {
        n = tess_rundir_members(directory, &number);
        n_steps = tess_rundir_list(directory, TESS_RUN_CHECKPOINT, &step);
        if (members->n == 1 && n > 0 && n_steps == 0)
            tess_error_set(error, TESS_ECONFIG,
                           "%s: holds %lld members, but train.members is 1: set it to %lld or "
                           "more, or name another run.directory",
                           directory, (long long)number[n - 1], (long long)number[n - 1]);
        if (members->n > 1 && n_steps > 0)
            tess_error_set(error, TESS_ECONFIG,
                           "%s: holds a single run, but train.members is %lld: name another "
                           "run.directory, or move all files of this run to %s/member-1",
                           directory, (long long)members->n, directory);
        tess_free(number);
        tess_free(step);
    }
    return tess_agree(members->comm, error);
}

/* Signals are caught from the beginning on. */
int tess_train(const struct tess_config *config, const struct tess_train_options *options,
               MPI_Comm comm, struct tess_error *error)
{
    struct members members = {.config = config,
                              .options = options,
                              .comm = comm,
                              .n = config->train.members,
                              .started = tess_clock()};

    tess_preempt_install();
    MPI_Comm_rank(comm, &members.rank);
    MPI_Comm_size(comm, &members.n_ranks);
    if (read_kinds(&members, error) == TESS_OK && check_numbers(&members, error) == TESS_OK &&
        check_place(&members, error) == TESS_OK) {
        if (members.n == 1)
            tess_run_train(config, options, comm, error);
        else {
            tess_groups_init(&members.groups, tess_int(config->train.groups), comm,
                             options->of ? options->of->groups : NULL);
            train_all(&members, error);
            tess_groups_release(&members.groups);
        }
    }
    tess_free(members.kind);
    return error->code;
}
