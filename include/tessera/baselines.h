/* baselines.h -- the simple predictors that a model has to beat; definitions in docs/formats.md,
 * "Scores". All learn from training units alone, control left out, replicates averaged first. */
#ifndef TESSERA_BASELINES_H
#define TESSERA_BASELINES_H

#include "tessera/baseline_linear.h"
#include "tessera/profiles.h"

#include <mpi.h>
#include <stdint.h>

enum tess_baseline {
    TESS_GLOBAL_MEAN,
    TESS_READOUT_MEAN,
    TESS_NO_PERTURBATION,
    TESS_ADDITIVE,
    TESS_NEAREST_CONTEXT,
    TESS_LINEAR,
    TESS_ADDITIVE_COMPONENTS,
    TESS_BASELINES
};
/* Its name in tables and JSON; of the program. Local. */
const char *tess_baseline_name(int baseline);
/* Why it cannot say anything, if it fell back on every experiment: a sentence; NULL: then what it
 * falls back to is its natural answer and stands. Local. */
const char *tess_baseline_excuse(int baseline);

struct tess_baselines {
    struct tess_profiles *profiles; /* borrowed */
    double **mean; /* (n_contexts) each (readouts of the context), NaN: none; own */
    double **control; /* the same; NULL where a context has no control */
    double *overall; /* (readouts) mean over the contexts' means; own */
    double global_mean; /* of all values of training units but control; NaN: none */
    double *similarity; /* (n_contexts) to `similar_to`; own */
    int64_t similar_to; /* a context, or -1 */
    struct tess_linear linear;
};

/* Means by context, each found by one rank; factors by rank 0. Collective over comm. */
int tess_baselines_init(struct tess_baselines *baselines, struct tess_profiles *profiles,
                        MPI_Comm comm, struct tess_error *error);
void tess_baselines_release(struct tess_baselines *baselines);

/* Some units of one context. Borrowed. */
struct tess_units {
    int64_t context, n;
    const int64_t *unit; /* (n) */
};
/* What the baselines say about them: out[baseline] (n, readouts of the context), finite if there is
 * any training data; fallback (n, TESS_BASELINES). Local. */
int tess_baselines_predict(struct tess_baselines *baselines, struct tess_units units,
                           double *const out[TESS_BASELINES], uint8_t *fallback,
                           struct tess_error *error);

#endif
