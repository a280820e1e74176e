/* baseline_neighbors.h -- the nearest in the space of features. Local. */
#ifndef BASELINE_NEIGHBORS_H
#define BASELINE_NEIGHBORS_H

#include "tessera/features.h"
#include "tessera/profiles.h"

struct tess_neighbors { /* borrowed */
    int64_t n, axes, k;
    const double *x; /* (n, axes) features */
    const double *z; /* (n, k) changes; of tess_neighbors_choose */
};

/* The m nearest to x but `own` (-1: none), nearest first, the earlier of equals first: how many. */
int64_t tess_neighbors_find(const struct tess_neighbors *of, const double *x, int64_t own,
                            int64_t m, int64_t *nearest);
/* How many of the nearest predict best those that are left out one at a time. */
int64_t tess_neighbors_choose(const struct tess_neighbors *of);
/* Whose features: a combination of the store, or (-1) what has this name; NULL: it has none. */
struct tess_featured {
    int64_t combination;
    const char *symbol;
};
/* The features, of a combination the mean of its components': x (axes); returns 0 if one has none.
 */
int tess_features_of(const struct tess_features *features, const struct tess_profiles *profiles,
                     struct tess_featured of, double *x);

#endif
