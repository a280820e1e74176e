/* profile_axes.h -- perturbations as they were measured: principal components of their profiles,
 * the baseline of what a model knows of them. Local to the folder. */
#ifndef PROFILE_AXES_H
#define PROFILE_AXES_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_model;

struct tess_profile_axes {
    int64_t n, k;
    uint8_t *known; /* (n) is there a profile? own */
    float *value; /* (n, k) 0 where there is none; own */
};

/* A profile is the mean of a perturbation's training changes against their contexts' means, alone
 * and not in combinations. k: at most so many components. Every rank gets all of it. TESS_EDATA if
 * the model's store cannot be read or has other values now. Collective over comm. */
int tess_profile_axes_init(struct tess_profile_axes *measured, const struct tess_model *model,
                           int64_t k, MPI_Comm comm, struct tess_error *error);
void tess_profile_axes_release(struct tess_profile_axes *measured);

#endif
