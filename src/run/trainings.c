/* trainings.c -- several trainings: all are checked, then trained on groups of ranks. */
#include "tessera/trainings.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/feature_file.h"
#include "tessera/log.h"

#include <math.h>

/* While all are checked. */
struct session {
    struct tess_trainings *trainings;
    struct tess_feature_cache features;
};

static void release(struct tess_training *training)
{
    tess_free(training->name);
    tess_free(training->words);
}

void tess_trainings_init(struct tess_trainings *trainings, int64_t groups)
{
    groups = groups > trainings->n ? trainings->n : groups;
    tess_groups_init(&trainings->groups, groups > 1 ? (int)groups : 1, trainings->comm, NULL);
}

/* Collective over the group. */
static int check_one(void *closure, int64_t k, struct tess_error *error)
{
    struct session *session = closure;
    struct tess_trainings *trainings = session->trainings;
    struct tess_train_need need = {0, 0};
    struct tess_train_options options = {.dry_run = 1, .need = &need};
    struct tess_training one = {.name = NULL};

    if (trainings->kind->describe(trainings->closure, k, &one, error) == TESS_OK) {
        options.context = one.context;
        /* which readouts vary most depends on the context */
        options.features =
            one.context && one.config.data.top_variable > 0 ? NULL : &session->features;
        if (tess_train(&one.config, &options, trainings->groups.group, error) != TESS_OK) {
            struct tess_error cause = *error;

            *error = (struct tess_error)TESS_ERROR_INIT;
            tess_error_set(error, cause.code, "%s: %.1900s", one.name, cause.text);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, &need, 2, MPI_DOUBLE, MPI_MAX, trainings->groups.group);
    trainings->need.memory = fmax(trainings->need.memory, need.memory);
    trainings->disk +=
        need.checkpoint * (double)((one.config.checkpoint.keep + 1) * one.config.train.members);
    release(&one);
    return error->code;
}

int tess_trainings_check(struct tess_trainings *trainings, struct tess_error *error)
{
    struct session session = {.trainings = trainings};
    const struct tess_groups_work work = {&session, "before anything was trained", check_one};
    enum tess_log_level level = tess_log_level;
    double disk;
    int own, rank;

    tess_log_level = level > TESS_LOG_WARN ? TESS_LOG_WARN : level; /* said when it is trained */
    tess_groups_run(&trainings->groups, trainings->n, &work, error);
    tess_log_level = level;
    tess_feature_cache_release(&session.features);
    if (tess_agree(trainings->comm, error) != TESS_OK)
        return error->code;
    MPI_Comm_rank(trainings->groups.group, &own);
    disk = own == 0 ? trainings->disk : 0;
    MPI_Allreduce(&disk, &trainings->disk, 1, MPI_DOUBLE, MPI_SUM, trainings->comm);
    MPI_Allreduce(MPI_IN_PLACE, &trainings->need.memory, 1, MPI_DOUBLE, MPI_MAX, trainings->comm);
    MPI_Comm_rank(trainings->comm, &rank);
    if (rank == 0)
        tess_commit_check_room(trainings->directory, trainings->disk, error);
    return tess_agree(trainings->comm, error);
}

void tess_trainings_announce(const struct tess_trainings *trainings)
{
    if (trainings->n > 0)
        tess_info("memory of each rank: at most %.1f MB; checkpoints of all: at most %.1f MB in %s",
                  trainings->need.memory / 1e6, trainings->disk / 1e6, trainings->directory);
}

/* Its numbers did not stay finite: that is what came out of it. Collective over the group. */
static int is_diverged(const struct tess_trainings *trainings, int diverged, const char *name,
                       struct tess_error *error)
{
    MPI_Allreduce(MPI_IN_PLACE, &diverged, 1, MPI_INT, MPI_MAX, trainings->groups.group);
    if (error->code != TESS_EDATA || !diverged)
        return 0;
    tess_warn("%s diverged: %s", name, error->text);
    *error = (struct tess_error)TESS_ERROR_INIT;
    return 1;
}

/* Collective over the group. */
static int train_one(void *closure, int64_t k, struct tess_error *error)
{
    struct tess_trainings *trainings = closure;
    MPI_Comm group = trainings->groups.group;
    int diverged = 0;
    const struct tess_member member = {trainings->directory, &trainings->groups, NULL};
    struct tess_train_options options = {.of = &member, .diverged = &diverged};
    struct tess_training one = {.name = NULL};

    trainings->kind->describe(trainings->closure, k, &one, error);
    tess_info("%s (%lld of %lld): %s", one.name, (long long)k + 1, (long long)trainings->n,
              one.words);
    options.context = one.context;
    if (trainings->time_limit > 0)
        options.time_limit =
            fmax(trainings->time_limit - (tess_clock() - trainings->started), 1e-3);
    if (error->code == TESS_OK)
        tess_train(&one.config, &options, group, error);
    diverged = is_diverged(trainings, diverged, one.name, error);
    if (error->code == TESS_OK)
        trainings->kind->finish(trainings->closure, k, &one.config, diverged, group, error);
    release(&one);
    return tess_agree(group, error);
}

int tess_trainings_run(struct tess_trainings *trainings, struct tess_error *error)
{
    const struct tess_groups_work work = {trainings, trainings->kind->between, train_one};

    tess_groups_run(&trainings->groups, trainings->n, &work, error);
    return tess_agree(trainings->comm, error);
}

void tess_trainings_release(struct tess_trainings *trainings)
{
    tess_groups_release(&trainings->groups);
}
