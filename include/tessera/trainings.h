/* trainings.h -- several trainings, one after another or side by side on groups of ranks: the
 * trials of a sweep, contexts alone. None begins unless all could be trained. */
#ifndef TESSERA_TRAININGS_H
#define TESSERA_TRAININGS_H

#include "tessera/config.h"
#include "tessera/groups.h"
#include "tessera/run.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_training {
    struct tess_config config; /* its own directory in it */
    char *name; /* for sentences: "trial 3"; own */
    char *words; /* what is said when it begins; own */
    const char *context; /* that it is trained on alone, or NULL; borrowed */
};

/* What they are. */
struct tess_trainings_kind {
    const char *between; /* "between two trials" */
    /* Fills in a zeroed training k, whatever it returns. Local, the same on every rank. */
    int (*describe)(void *closure, int64_t k, struct tess_training *training,
                    struct tess_error *error);
    /* Training k is over; diverged: its numbers did not stay finite. The error is agreed upon
     * afterwards. Collective over the group. */
    int (*finish)(void *closure, int64_t k, const struct tess_config *config, int diverged,
                  MPI_Comm group, struct tess_error *error);
};

/* Zeroed but for the borrowed ones and numbers from above; then tess_trainings_init. */
struct tess_trainings {
    const struct tess_trainings_kind *kind; /* borrowed */
    void *closure; /* borrowed */
    MPI_Comm comm; /* borrowed */
    const char *directory; /* which holds all of them; borrowed */
    int64_t n;
    double started, time_limit; /* seconds from then on until they must have stopped; 0: none */
    struct tess_groups groups; /* own */
    struct tess_train_need need; /* of the largest, once they are checked */
    double disk; /* bytes of the checkpoints of all */
};

/* Groups of ranks: as many as asked for, but none without a training. Collective over comm, as all
 * of these. */
void tess_trainings_init(struct tess_trainings *trainings, int64_t groups);
/* Could each be trained, as far as that can be said without values, and is there room for all?
 * Codes as of tess_train; the sentence names the training. */
int tess_trainings_check(struct tess_trainings *trainings, struct tess_error *error);
/* The memory and disk that the check found, said on rank 0. Local. */
void tess_trainings_announce(const struct tess_trainings *trainings);
/* Trains all, each as tess_train does; one that diverges is over, too, and the others go on. The
 * directory is there. Codes as of tess_train. */
int tess_trainings_run(struct tess_trainings *trainings, struct tess_error *error);
void tess_trainings_release(struct tess_trainings *trainings);

#endif
