/* profiles.h -- a store seen as perturbation profiles: replicates (rows of one combination in one
 * context and split) averaged into one unit over the context's readouts.
 *
 * Units and panels come from the index and are the same on every rank. Values are read a context at
 * a time and kept while they fit; what is read, and in which order, never changes a number. */
#ifndef TESSERA_PROFILES_H
#define TESSERA_PROFILES_H

#include "tessera/store.h"

struct tess_error;

struct tess_context_profiles { /* one context; read by tess_profiles_read */
    float *value; /* (n_units, n_readouts), NaN: not measured; own */
    int64_t used; /* when, for the cache */
};

struct tess_profiles {
    const struct tess_store *store; /* borrowed */
    int64_t n_contexts, n_units;
    int64_t *context_first; /* (n_contexts + 1) units of a context: ordered by combination, split */
    int64_t *context_of, *combination; /* (n_units) */
    int8_t *split; /* (n_units) */
    int64_t *row_first; /* (n_units + 1) into row */
    int64_t *row; /* experiments of the store */
    int64_t *experiment_first; /* (n_contexts + 1) experiments of a context */
    int64_t *readout_first; /* (n_contexts + 1) into readout */
    int64_t *readout; /* each context's readouts, ascending */
    struct tess_context_profiles *context; /* (n_contexts) */
    size_t bytes, budget; /* held, and to be held at most */
    int64_t clock, pinned; /* pinned: a context that stays, or -1 */
};

/* From an open store. Local. */
void tess_profiles_init(struct tess_profiles *profiles, const struct tess_store *store);
void tess_profiles_release(struct tess_profiles *profiles);

/* The context's profiles, (units, readouts). They stay until the next call, or as long as the
 * context is pinned. NULL and an error if they cannot be read. Local. */
const float *tess_profiles_read(struct tess_profiles *profiles, int64_t context,
                                struct tess_error *error);
/* The values of one row (experiment of the store), spread over its context's readouts. Local. */
void tess_profiles_spread(const struct tess_profiles *profiles, int64_t experiment,
                          const float *value, float *out);

/* The unit, or -1. Local. */
int64_t tess_profiles_find(const struct tess_profiles *profiles, int64_t context,
                           int64_t combination, int split);
static inline int64_t tess_profiles_width(const struct tess_profiles *profiles, int64_t context)
{
    return profiles->readout_first[context + 1] - profiles->readout_first[context];
}
/* A training unit's value less its context's mean; NaN where either is missing. `value`: the
 * context's profiles. Local. */
static inline double tess_profiles_change(const struct tess_profiles *profiles, double *const *mean,
                                          int64_t context, const float *value, int64_t unit,
                                          int64_t i)
{
    int64_t row = unit - profiles->context_first[context];

    return (double)value[row * tess_profiles_width(profiles, context) + i] - mean[context][i];
}
/* Is it a training unit other than control? Local. */
int tess_profiles_trains(const struct tess_profiles *profiles, int64_t unit);

#endif
