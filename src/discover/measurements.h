/* measurements.h -- what the store that a model was trained on says of its perturbations. Local to
 * the folder. */
#ifndef MEASUREMENTS_H
#define MEASUREMENTS_H

#include "tessera/baselines.h"

struct tess_model;

struct tess_measurements {
    struct tess_store store;
    struct tess_profiles profiles;
    struct tess_baselines baselines; /* `mean`: of each context's training perturbations */
    int64_t
        *combination; /* (perturbations of the model) in the store; -1: not trained on alone; own */
};

/* All ranks together hold up to 1 GiB of values. TESS_EDATA if the store cannot be read or has
 * other values than those that were trained on. To be released in either case; zeroes may be
 * released. Collective over comm. */
int tess_measurements_open(struct tess_measurements *measured, const struct tess_model *model,
                           MPI_Comm comm, struct tess_error *error);
void tess_measurements_release(struct tess_measurements *measured);
/* The training units of a perturbation alone: how many, the first one's place in
 * profiles.trained. Local. */
int64_t tess_measurements_units(const struct tess_measurements *measured, int64_t perturbation,
                                int64_t *first);

#endif
