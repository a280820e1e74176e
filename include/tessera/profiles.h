/* profiles.h -- a store seen as perturbation profiles: replicates (rows of one combination in one
 * context and split) averaged into one unit over the context's readouts.
 *
 * Units and panels come from the index and are the same on every rank. Values are read where they
 * are asked for: by whole contexts, which stay, if all values of the store fit into the memory that
 * is meant for them; else row by row. Which, and in which order, never changes a number. */
#ifndef TESSERA_PROFILES_H
#define TESSERA_PROFILES_H

#include "tessera/store.h"

#include <math.h>

struct tess_error;

struct tess_profiles {
    const struct tess_store *store; /* borrowed */
    int64_t n_contexts, n_units;
    int64_t *context_first; /* (n_contexts + 1) units of a context: ordered by combination, split */
    int64_t *context_of, *combination; /* (n_units) */
    int8_t *split; /* (n_units) */
    int64_t *row_first; /* (n_units + 1) into row */
    int64_t *row; /* experiments of the store */
    int64_t *readout_first; /* (n_contexts + 1) into readout */
    int64_t *readout; /* each context's readouts, ascending */
    /* The training units of each combination (control has none here), by context. */
    int64_t *trained_first; /* (n_combinations + 1) into trained and trained_in */
    int64_t *trained; /* the units */
    int32_t *trained_in; /* their contexts */
    size_t
        budget; /* bytes of values that may be kept, and as many again of what follows from them */
    int keeps; /* do contexts stay once they are read? */
    float **value; /* (n_contexts) each (units, readouts), NaN: not measured; or NULL; own */
};

#define TESS_PROFILES_BYTES ((size_t)1 << 30) /* of values: what most machines have to spare */
/* From an open store; all values stay in memory if they take at most `bytes`. (Sums of them that
 * baselines keep take as much again at most.) Local. */
void tess_profiles_init(struct tess_profiles *profiles, const struct tess_store *store,
                        size_t bytes);
/* So many bytes in place of those, before any value is read. Local. */
void tess_profiles_allow(struct tess_profiles *profiles, size_t bytes);
/* Bytes of all values, kept or not. Local. */
double tess_profiles_bytes(const struct tess_profiles *profiles);
void tess_profiles_release(struct tess_profiles *profiles);

static inline int64_t tess_profiles_width(const struct tess_profiles *profiles, int64_t context)
{
    return profiles->readout_first[context + 1] - profiles->readout_first[context];
}
/* The unit, or -1. Local. */
int64_t tess_profiles_find(const struct tess_profiles *profiles, int64_t context,
                           int64_t combination, int split);
/* Is it a training unit other than control? Local. */
int tess_profiles_trains(const struct tess_profiles *profiles, int64_t unit);
/* Where each of n readouts (ascending) stands in the context's, or -1: place (n). Local. */
void tess_profiles_place(const struct tess_profiles *profiles, int64_t context, int64_t n,
                         const int64_t *readout, int64_t *place);
/* A unit's value less its context's mean; NaN where either is missing. row: the unit's values;
 * i: of its context's readouts. Local. */
static inline double tess_profiles_change(double *const *mean, int64_t context, const float *row,
                                          int64_t i)
{
    return (double)row[i] - mean[context][i];
}

/* The values of n units of one context, in any order: out (n, readouts). Local. */
int tess_profiles_read(struct tess_profiles *profiles, int64_t n, const int64_t *unit, float *out,
                       struct tess_error *error);
/* Those of one unit: where they lie, or `room` (readouts), filled; NULL and an error if they cannot
 * be read. Local. */
const float *tess_profiles_row(struct tess_profiles *profiles, int64_t unit, float *room,
                               struct tess_error *error);
/* The values of one row (experiment of the store), spread over its context's readouts. Local. */
void tess_profiles_spread(const struct tess_profiles *profiles, int64_t experiment,
                          const float *value, float *out);

/* Fixed parts of all units, alike in values, to be dealt out to ranks: part i is the units
 * [tess_profiles_part(i), tess_profiles_part(i + 1)). Local. */
int64_t tess_profiles_n_parts(const struct tess_profiles *profiles);
int64_t tess_profiles_part(const struct tess_profiles *profiles, int64_t part);

struct tess_profile_rows { /* some units of one context; borrowed */
    int64_t context, n;
    const int64_t *unit; /* (n) ascending */
    const float *value; /* (n, readouts of the context) */
};
struct tess_profile_visitor {
    void *closure;
    int64_t row_values; /* that the visitor holds of a unit: bounds how many it gets at once */
    int (*take)(void *closure, const struct tess_profile_rows *rows, struct tess_error *error);
};
/* The training units (control too) of a part, in their order, some at a time: how many depends on
 * the store alone. Local. */
int tess_profiles_scan(struct tess_profiles *profiles, int64_t part,
                       const struct tess_profile_visitor *visitor, struct tess_error *error);

#endif
