/* learn.h -- what the parts of the baselines learn from, for their files. */
#ifndef LEARN_H
#define LEARN_H

#include "tessera/parts.h"
#include "tessera/profiles.h"

struct tess_learn { /* borrowed, all of it */
    struct tess_profiles *profiles;
    double *const *mean; /* (n_contexts) each (readouts of the context): of tess_profiles_change */
    int (*stopped)(void); /* or NULL */
    MPI_Comm comm;
};

#endif
