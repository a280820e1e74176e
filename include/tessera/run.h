/* run.h -- a training from its first epoch to its last, or those of the members of an ensemble, in
 * a run directory. */
#ifndef TESSERA_RUN_H
#define TESSERA_RUN_H

#include <mpi.h>

struct tess_config;
struct tess_error;
struct tess_feature_cache;
struct tess_groups;

/* What a run is a part of: an ensemble, a sweep. */
struct tess_member {
    const char *directory; /* which holds all of them: a file STOP there counts; borrowed */
    struct tess_groups *groups; /* of ranks that train them side by side; borrowed */
    const struct tess_member *of; /* what that is a part of, or NULL; borrowed */
};

/* What one model takes; the same on every rank. */
struct tess_train_need {
    double memory, checkpoint; /* bytes of the rank that needs most; of a checkpoint */
};

struct tess_train_options {
    int fresh; /* move an earlier run aside and start over */
    int dry_run; /* say what would be done, and stop */
    double time_limit; /* seconds until it must have stopped; 0: none */
    const struct tess_member *of; /* NULL: a run by itself; borrowed */
    /* A context of the store: all others are left unused, as if the split said so, and the model is
     * not blended with a baseline. NULL: all; borrowed. */
    const char *context;
    /* Of trainings on one store, one after another, that read the same features; or NULL. */
    struct tess_feature_cache *features;
    struct tess_train_need *need; /* out, of a dry run, which then says nothing; or NULL */
    int *diverged; /* out: it ended because its numbers are not finite any more; or NULL */
};

/* The whole of `train`: run directory, log, epochs, checkpoints, resuming. TESS_EINTERRUPTED after
 * a complete checkpoint when asked to stop; TESS_ECONFIG for settings that do not go together, or
 * not with what the directory holds. Collective. */
int tess_train(const struct tess_config *config, const struct tess_train_options *options,
               MPI_Comm comm, struct tess_error *error);
/* A directory for runs, with those above it. TESS_ECREATE. Local. */
int tess_run_make_directory(const char *path, struct tess_error *error);

#endif
