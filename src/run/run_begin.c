/* run_begin.c -- from which parameters, and with whose scaling, a run begins or goes on. */
#include "run_begin.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/checksums.h"
#include "tessera/error.h"
#include "tessera/feature_file.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/trainer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an earlier session left: rank 0 looks, all know. Collective. */
struct past {
    int has_checkpoints;
    int readable; /* is there a used.yaml? */
    struct tess_config used; /* that, or the defaults */
};

static void look(struct past *past, const struct tess_config *config, int fresh, MPI_Comm comm)
{
    const char *directory = config->run.directory;
    struct tess_error ignored = TESS_ERROR_INIT;
    int64_t *step;
    int rank;

    memset(past, 0, sizeof *past);
    tess_config_init(&past->used);
    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && directory[0] && !fresh) {
        char *used = tess_format("%s/used.yaml", directory);

        past->has_checkpoints = tess_rundir_list(directory, TESS_RUN_CHECKPOINT, &step) > 0;
        tess_free(step);
        past->has_checkpoints |= tess_rundir_list(directory, TESS_RUN_BEST, &step) > 0;
        tess_free(step);
        past->readable = access(used, F_OK) == 0 &&
                         tess_rundir_read_used(used, &past->used, &ignored) == TESS_OK;
        tess_free(used);
    }
    MPI_Bcast(past, (int)sizeof *past, MPI_BYTE, 0, comm);
}

static void say_settled(const char *name, const struct tess_config *before,
                        const struct tess_config *config)
{
    const struct tess_param *param = tess_config_find(name);
    char *was = tess_config_get(before, param), *is = tess_config_get(config, param);

    if (strcmp(was, is) != 0)
        tess_info("%s: %s, as %s has it", name, is, config->train.init);
    tess_free(was);
    tess_free(is);
}

/* Rank 0's to all, out of a head that was read, if any of it has features. Collective. */
static void take_features(struct tess_beginning *beginning, struct tess_state *head, MPI_Comm comm)
{
    int64_t k[TESS_N_TABLES], n[TESS_N_TABLES];

    for (int t = 0; t < TESS_N_TABLES; t++) {
        k[t] = head->features[t].k;
        n[t] = head->features[t].n;
    }
    tess_broadcast(comm, k, sizeof k);
    tess_broadcast(comm, n, sizeof n);
    for (int t = 0; t < TESS_N_TABLES; t++)
        if (k[t] > 0) {
            struct tess_features_known *known = &beginning->known[t];

            *known = (struct tess_features_known){head->vocab[t], head->features[t]};
            head->vocab[t] = (struct tess_vocab){.n = 0};
            head->features[t] = (struct tess_features){.n = 0};
            known->features.n = n[t];
            known->features.k = k[t];
            tess_broadcast_vocab(comm, &known->symbol);
            tess_features_broadcast(&known->features, comm);
        }
}

static void release_known(struct tess_beginning *beginning)
{
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_features_known_release(&beginning->known[t]);
}

int tess_beginning_has_features(const struct tess_beginning *beginning)
{
    return beginning->known[TESS_TABLE_P].features.k > 0 ||
           beginning->known[TESS_TABLE_R].features.k > 0;
}

/* What the run has, or the model that it is to begin from: of the first only if it began from a
 * model, or used.yaml does not say all. 1 if there is one. Rank 0. */
static int read_head(const struct past *past, const struct tess_config *config,
                     struct tess_state *head)
{
    const struct tess_config *used = &past->used;
    int found = 0;

    *head = (struct tess_state){.version = 0};
    if (past->has_checkpoints
            ? !past->readable || used->train.init_hash[0] || !tess_checkpoint_is_settled(used)
            : config->train.init[0] != '\0')
        found = tess_checkpoint_find_head(
            past->has_checkpoints ? config->run.directory : config->train.init, head);
    if (past->has_checkpoints && !head->config.train.init_hash[0])
        for (int t = 0; t < TESS_N_TABLES; t++) /* of the file, as ever */
            tess_features_release(&head->features[t]);
    return found;
}

void tess_beginning_settle(struct tess_beginning *beginning, struct tess_config *config, int fresh,
                           MPI_Comm comm)
{
    struct tess_config before = *config;
    struct tess_state head = {.version = 0};
    struct past past;
    int rank;

    *beginning = (struct tess_beginning){.warm = {.comm = comm, .h5 = TESS_H5_INIT}};
    look(&past, config, fresh, comm);
    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        int found = read_head(&past, config, &head);

        if (past.has_checkpoints && past.readable)
            tess_checkpoint_settle(config, &past.used);
        if (found)
            tess_checkpoint_settle(config, &head.config);
        if (!past.has_checkpoints) {
            config->train.sampling = before.train.sampling;
            say_settled("model.kind", &before, config);
            say_settled("model.combination", &before, config);
        }
    }
    tess_broadcast(comm, config, sizeof *config);
    take_features(beginning, &head, comm);
    tess_state_release(&head);
}

/* May the path that is given be the full one that used.yaml has? What is gone, may. Rank 0's word.
 */
static int same_place(const char *used, const char *given, MPI_Comm comm)
{
    char *x = realpath(used, NULL), *y = realpath(given, NULL);
    int same = !y || strcmp(x ? x : used, y) == 0;

    free(x);
    free(y);
    MPI_Bcast(&same, 1, MPI_INT, 0, comm);
    return same;
}

static int refuse_other(const struct past *past, const struct tess_config *config,
                        struct tess_error *error)
{
    return tess_error_set(error, TESS_ECONFIG,
                          "%s: was begun %s%s, but train.init is %s: set it back, name another "
                          "run.directory, or start over with --fresh",
                          config->run.directory,
                          past->used.train.init[0] ? "from " : "from nothing",
                          past->used.train.init, config->train.init);
}

/* Is the model still the one that the settings, or this run's earlier session, speak of? */
static int compare_hash(const struct tess_warm *warm, const struct past *past,
                        const struct tess_config *config, MPI_Comm comm, struct tess_error *error)
{
    const char *given = config->train.init_hash, *before = past->used.train.init_hash;

    if (given[0] && strcmp(given, warm->hash) != 0)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: is another model than train.init_hash says (%s, now %s): give "
                              "the one that was meant, or leave train.init_hash out",
                              warm->path, given, warm->hash);
    if (before[0] && same_place(past->used.train.init, config->train.init, comm) &&
        strcmp(before, warm->hash) != 0)
        return tess_error_set(error, TESS_ECONFIG,
                              "%s: was changed since %s was begun from it, which has no checkpoint "
                              "yet (%s, now %s): put it back, or begin from what it is now with "
                              "--fresh",
                              warm->path, config->run.directory, before, warm->hash);
    return TESS_OK;
}

/* Steps take what is new alone, if the settings say so. Collective. */
static int narrow(struct tess_beginning *beginning, struct tess_trainer *trainer,
                  struct tess_error *error)
{
    const struct tess_index *index = &trainer->store.index;

    if (trainer->config.train.experiments != TESS_EXPERIMENTS_NEW)
        return TESS_OK;
    beginning->split = TESS_NEW(int8_t, index->n_experiments);
    memcpy(beginning->split, index->split, (size_t)index->n_experiments);
    return tess_warm_narrow(trainer, error);
}

int tess_beginning_open(struct tess_beginning *beginning, struct tess_trainer *trainer, int fresh,
                        MPI_Comm comm, struct tess_error *error)
{
    struct tess_config *config = &trainer->config;
    struct past past;

    release_known(beginning); /* the trainer has its own by now */
    look(&past, config, fresh, comm);
    if (past.has_checkpoints) {
        beginning->inherits = !past.readable || past.used.train.init_hash[0];

        if (config->train.init[0] && !(past.used.train.init[0] &&
                                       same_place(past.used.train.init, config->train.init, comm)))
            return refuse_other(&past, config, error);
        memcpy(config->train.init, past.used.train.init, sizeof config->train.init);
        return TESS_OK;
    }
    if (!config->train.init[0]) {
        int needed = config->train.experiments == TESS_EXPERIMENTS_NEW;

        return needed || config->train.init_hash[0]
                   ? tess_error_set(error, TESS_ECONFIG,
                                    "%s, but train.init is not set: name the model to begin from, "
                                    "with --init RUN",
                                    needed ? "train.experiments is new" : "train.init_hash is set")
                   : TESS_OK;
    }
    if (tess_warm_open(&beginning->warm, trainer, config->train.init, comm, error) == TESS_OK &&
        compare_hash(&beginning->warm, &past, config, comm, error) == TESS_OK) {
        memset(config->train.init_hash, 0, sizeof config->train.init_hash);
        memcpy(config->train.init_hash, beginning->warm.hash, TESS_WARM_HASH);
        tess_warm_mark(&beginning->warm, trainer);
        narrow(beginning, trainer, error);
    }
    return error->code;
}

/* What a file says of its store is not believed: sizes follow from its symbols. */
static int same_symbols(const struct tess_state *saved, const struct tess_trainer *trainer)
{
    struct tess_state mine = tess_trainer_state(trainer);

    for (int t = 0; t < TESS_N_TABLES; t++)
        if (tess_vocab_hash(&saved->vocab[t]) != tess_vocab_hash(&mine.vocab[t]))
            return 0;
    return 1;
}

/* The scaling and the flags of one of the run's own checkpoints: all of a run have the same. A
 * damaged one is the next step's to name. Local. */
static int take_one(struct tess_trainer *trainer, const char *path, struct tess_error *error)
{
    struct tess_state saved = {.version = 0};
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, &saved, error) == TESS_OK) {
        memcpy(trainer->config.train.init_hash, saved.config.train.init_hash,
               sizeof saved.config.train.init_hash);
        /* of another store it is refused later */
        if (saved.config.train.init_hash[0] && saved.store_hash == trainer->store.index.hash &&
            same_symbols(&saved, trainer) &&
            tess_checkpoint_read_scaling(&h5, &saved, error) == TESS_OK) {
            struct tess_state mine = tess_trainer_state(trainer);

            for (int t = 0; t < TESS_N_TABLES; t++)
                memcpy(mine.trained[t], saved.trained[t], (size_t)saved.vocab[t].n);
            tess_scaling_release(&trainer->dataset.scaling);
            trainer->dataset.scaling = saved.scaling;
            saved.scaling = (struct tess_scaling)TESS_SCALING_NONE;
        }
    }
    tess_state_release(&saved);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return error->code;
}

/* The best of the run's own that every rank can read; 0: there is none. Collective. */
static int take_own(const struct tess_run *run, struct tess_trainer *trainer)
{
    struct tess_strings candidate = {0};
    struct tess_error ignored = TESS_ERROR_INIT;
    char *store = NULL;
    int taken = 0;

    if (run->rank == 0)
        tess_rundir_find(run->directory, &candidate, &store, &ignored);
    tess_broadcast_strings(run->comm, &candidate);
    for (size_t i = 0; i < candidate.n && !taken; i++) {
        struct tess_error mine = TESS_ERROR_INIT;

        if (tess_checksums_verify(candidate.item[i], run->comm, NULL, &mine) == TESS_OK)
            take_one(trainer, candidate.item[i], &mine);
        taken = tess_agree(run->comm, &mine) == TESS_OK;
    }
    tess_strings_release(&candidate);
    tess_free(store);
    return taken;
}

int tess_beginning_scale(struct tess_beginning *beginning, const struct tess_run *run,
                         struct tess_trainer *trainer, struct tess_error *error)
{
    if (beginning->warm.path)
        return tess_warm_scale(&beginning->warm, &trainer->dataset, error);
    return beginning->inherits && take_own(run, trainer) ? narrow(beginning, trainer, error)
                                                         : TESS_OK;
}

int tess_beginning_take(struct tess_beginning *beginning, struct tess_trainer *trainer,
                        struct tess_error *error)
{
    if (beginning->warm.path)
        tess_warm_take(&beginning->warm, trainer, error);
    tess_warm_release(&beginning->warm);
    return error->code;
}

void tess_beginning_widen(struct tess_beginning *beginning, struct tess_trainer *trainer)
{
    struct tess_index *index = &trainer->store.index;

    if (beginning->split)
        memcpy(index->split, beginning->split, (size_t)index->n_experiments);
}

void tess_beginning_note(struct tess_config *used, const struct tess_config *trainers)
{
    memcpy(used->train.init, trainers->train.init, sizeof used->train.init);
    memcpy(used->train.init_hash, trainers->train.init_hash, sizeof used->train.init_hash);
}

void tess_beginning_release(struct tess_beginning *beginning)
{
    tess_warm_release(&beginning->warm);
    release_known(beginning);
    tess_free(beginning->split);
    beginning->split = NULL;
}
