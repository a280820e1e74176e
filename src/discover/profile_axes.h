/* profile_axes.h -- perturbations as they were measured: principal components of their profiles,
 * the baseline of what a model knows of them. Local to the folder. */
#ifndef PROFILE_AXES_H
#define PROFILE_AXES_H

#include "measurements.h"

struct tess_profile_axes {
    int64_t n, k;
    uint8_t *known; /* (n) is there a profile? own */
    float *value; /* (n, k) 0 where there is none; own */
};

/* A profile is the mean of a perturbation's training changes against their contexts' means, alone
 * and not in combinations. n: perturbations of the model; k: at most so many components. Every rank
 * gets all of it. TESS_EDATA if there are not two profiles, or too many readouts. Collective over
 * the store's communicator. */
int tess_profile_axes_init(struct tess_profile_axes *axes, struct tess_measurements *measured,
                           int64_t n, int64_t k, struct tess_error *error);
void tess_profile_axes_release(struct tess_profile_axes *measured);

#endif
