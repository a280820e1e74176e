/* baseline_features.h -- baselines by what is known of perturbations from elsewhere: ridge
 * regression from their features to their change, and the nearest among them (docs/formats.md,
 * "Scores"). */
#ifndef BASELINE_FEATURES_H
#define BASELINE_FEATURES_H

#include "baseline_linear.h"
#include "baseline_neighbors.h"

#include "tessera/features.h"

/* One context; changes are in the factors of the linear baseline. */
struct tess_feature_fit {
    int64_t solved, neighbors; /* is there a solution? so many of the nearest are averaged */
    double penalty; /* infinite: features say nothing */
};
struct tess_by_features { /* the same on every rank */
    const struct tess_features *features; /* of the store's components; borrowed */
    int64_t k, axes;
    struct tess_feature_fit *fit; /* (n_contexts) own */
    double *center; /* (n_contexts, axes + k) means of features and changes; own */
    double *map; /* (n_contexts, axes, k) own */
    int64_t *first; /* (n_contexts + 1) own */
    int64_t *unit; /* training units with features, by context; own */
    double *x; /* (first[n_contexts], axes) their features; own */
};

/* Of a linear baseline that is learned; contexts are shared out to the ranks. Collective over
 * learn->comm. */
int tess_by_features_init(struct tess_by_features *by, const struct tess_learn *learn,
                          const struct tess_features *features, const struct tess_linear *linear,
                          struct tess_error *error);
void tess_by_features_release(struct tess_by_features *by);
/* A perturbation's change in one context, in factors: z (TESS_LINEAR_FACTORS), by the ridge or by
 * the nearest; returns 0 (and zeroes) if it has no features, or too few of the context's have.
 * Local. */
int tess_by_features_ridge(const struct tess_by_features *by, const struct tess_profiles *profiles,
                           int64_t context, struct tess_featured asked, double *z);
int tess_by_features_nearest(const struct tess_by_features *by,
                             const struct tess_profiles *profiles, const struct tess_linear *linear,
                             int64_t context, struct tess_featured asked, double *z);

#endif
