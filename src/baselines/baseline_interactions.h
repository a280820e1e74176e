/* baseline_interactions.h -- what combinations are beyond the sums of their components' changes, by
 * ridge regression on products of these changes (docs/formats.md, "Scores"). */
#ifndef BASELINE_INTERACTIONS_H
#define BASELINE_INTERACTIONS_H

#include "baseline_linear.h"

struct tess_interactions { /* the same on every rank */
    const struct tess_linear *linear; /* its factors, k of them; borrowed */
    int64_t k, n_features; /* of a combination: what all pairs of its components make, added up */
    double *zero; /* (n_contexts, k) the control's change; own */
    double scale; /* root mean square of the lengths of components' changes */
    double *map; /* (k, n_features) own */
};

/* The training units of components alone in a context, as many as there are: unit (n); 0 if one of
 * them is missing, or they are less than two. Local. */
int tess_components_find(const struct tess_profiles *profiles, int64_t context, int64_t n,
                         const int64_t *component, int64_t *unit);

/* From a linear baseline that is learned, and the controls (n_contexts; NULL: the context's mean
 * stands for it). NULL if there are too few combinations whose components are
 * measured, or nothing is predicted of those that are left out; own of the caller. Collective over
 * learn->comm. */
struct tess_interactions *tess_interactions_init(const struct tess_learn *learn,
                                                 double *const *control,
                                                 const struct tess_linear *linear);
/* Bytes that it takes, and more while it is made. Local. */
double tess_interactions_bytes(const struct tess_profiles *profiles);
void tess_interactions_release(struct tess_interactions *interactions);
/* How a combination deviates from the sum, in factors, from the units of its components alone: z
 * (k). Local. */
void tess_interactions_predict(const struct tess_interactions *interactions,
                               const struct tess_profiles *profiles, int64_t n, const int64_t *unit,
                               double *z);

#endif
