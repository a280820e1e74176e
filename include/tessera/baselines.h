/* baselines.h -- the simple predictors that a model has to beat; definitions in docs/formats.md,
 * "Scores". All learn from training units alone, control left out, replicates averaged first. */
#ifndef TESSERA_BASELINES_H
#define TESSERA_BASELINES_H

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
const char *tess_baseline_name(int baseline);
/* Why it cannot say anything, if it fell back on every experiment: a sentence; NULL: then what it
 * falls back to is its natural answer and stands. */
const char *tess_baseline_excuse(int baseline);

#define TESS_LINEAR_FACTORS 10
#define TESS_LINEAR_RIDGE   0.1 /* both as published (Ahlmann-Eltze 2025) */
/* The ridge is at least so much of the mean of P'P's eigenvalues: with large values (raw
 * intensities) 0.1 would be lost in rounding. */
#define TESS_LINEAR_LEAST_RIDGE 1e-10

struct tess_linear { /* factors of the training changes; the same on every rank */
    int64_t k;       /* factors                                                        */
    double *readout; /* (n_readouts, k) orthonormal columns; own                       */
    double *unit;    /* (n_units, k) training units' changes in them, 0 elsewhere; own */
    double *between; /* (k, k) of one context, column-major; own                       */
    int64_t context; /* which one, or -1                                               */
    int solved;      /* is there a solution?                                           */
};

struct tess_baselines {
    struct tess_profiles *profiles; /* borrowed                                            */
    double **mean;      /* (n_contexts) each (readouts of the context), NaN: none; own       */
    double **control;   /* the same; NULL where a context has no control                     */
    double *overall;    /* (readouts) mean over the contexts' means; own                     */
    double global_mean; /* of all training observations; NaN: none             */
    double *similarity; /* (n_contexts) to `similar_to`; own                   */
    int64_t similar_to; /* a context, or -1                                    */
    struct tess_linear linear;
};

/* Means by context, each found by one rank; factors by rank 0. Collective over comm. */
int tess_baselines_init(struct tess_baselines *baselines, struct tess_profiles *profiles,
                        MPI_Comm comm, struct tess_error *error);
void tess_baselines_release(struct tess_baselines *baselines);

/* What the baselines say about n units of one context: out[baseline] (n, readouts of the context),
 * finite if there is any training data; fallback (n, TESS_BASELINES). Local. */
int tess_baselines_predict(struct tess_baselines *baselines, int64_t context, int64_t n,
                           const int64_t *unit, double *const out[TESS_BASELINES],
                           uint8_t *fallback, struct tess_error *error);

/* A training unit's value less its context's mean; NaN where either is missing. `value`: the
 * context's profiles. Local. */
static inline double tess_baselines_change(const struct tess_baselines *baselines, int64_t context,
                                           const float *value, int64_t unit, int64_t i)
{
    int64_t row = unit - baselines->profiles->context_first[context];

    return (double)value[row * tess_profiles_width(baselines->profiles, context) + i] -
           baselines->mean[context][i];
}

/* baseline_linear.c */
int tess_linear_init(struct tess_linear *linear, const struct tess_baselines *baselines,
                     MPI_Comm comm, struct tess_error *error);
void tess_linear_release(struct tess_linear *linear);
/* The predicted change (readouts of the context); returns 0 (and zeroes) if the perturbation was
 * trained on in no other context, or the context's regression has no solution. Local. */
int tess_linear_predict(struct tess_linear *linear, const struct tess_baselines *baselines,
                        int64_t context, int64_t combination, double *change);

#endif
