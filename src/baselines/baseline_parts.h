/* baseline_parts.h -- contexts whose names are parts joined by _, as sums of what their parts do.
 */
#ifndef BASELINE_PARTS_H
#define BASELINE_PARTS_H

#include "tessera/profiles.h"

struct tess_context_sums { /* the same on every rank */
    struct tess_profiles *profiles; /* borrowed */
    double *const *mean; /* (n_contexts) of the baselines; borrowed */
    const double *overall; /* (readouts of the store); borrowed */
    int64_t each; /* parts of a context */
    int64_t *part; /* (n_contexts, each) numbers, other ones in each place; own */
};

/* NULL if contexts do not all have the same number of parts (2 or more), or none has one in common
 * with another; own of the caller. Local. */
struct tess_context_sums *tess_context_sums_init(struct tess_profiles *profiles,
                                                 double *const *mean, const double *overall);
void tess_context_sums_release(struct tess_context_sums *sums);

/* What is asked for; place (readouts of the context) as in profiles.h. Borrowed. */
struct tess_sum_query {
    int64_t context, combination, n_readouts;
    const int64_t *readout; /* (n_readouts) of the store, ascending */
    const double *filled; /* (n_readouts) the context's mean, or the next best */
    int trained; /* has the context a mean of its own? */
};
/* out (n_readouts); 1, or 0 if no context with one of its parts, other than itself, has training
 * data of the perturbation. Local. */
int tess_context_sums_predict(const struct tess_context_sums *sums,
                              const struct tess_sum_query *query, double *out,
                              struct tess_error *error);

#endif
