/* baseline_linear.h -- the linear baseline: a perturbation's changes elsewhere, in few factors, to
 * its change in one context (docs/formats.md, "Scores"). */
#ifndef BASELINE_LINEAR_H
#define BASELINE_LINEAR_H

#include "learn.h"

#include "tessera/baselines.h"

#define TESS_LINEAR_RIDGE 0.1 /* both as published (Ahlmann-Eltze 2025) */
/* The ridge is at least so much of the mean of P'P's eigenvalues: with large values (raw
 * intensities) 0.1 would be lost in rounding. */
#define TESS_LINEAR_LEAST_RIDGE 1e-10

struct tess_linear { /* factors of the training changes; the same on every rank */
    int64_t k; /* factors */
    double *readout; /* (n_readouts, k) orthonormal columns; own */
    double *unit; /* (n_units, k) training units' changes in them, 0 elsewhere; own */
    double *elsewhere; /* (n_units, k) mean of its perturbation's over the other contexts; own */
    double *everywhere; /* (n_combinations, k) the same over all contexts; own */
    double *between; /* (n_contexts, k, k) column-major; own */
    uint8_t *solved; /* (n_contexts) is there a solution? own */
};

/* Collective over learn->comm. */
int tess_linear_init(struct tess_linear *linear, const struct tess_learn *learn,
                     struct tess_error *error);
/* Bytes that it takes, and more while it is made. Local. */
double tess_linear_bytes(const struct tess_profiles *profiles);
void tess_linear_release(struct tess_linear *linear);
/* A perturbation's change in one context, in factors: z (TESS_LINEAR_FACTORS); returns 0 (and
 * zeroes) if it was trained on in no other context, or the context's regression has no solution.
 * Local. */
int tess_linear_predict(const struct tess_linear *linear, const struct tess_profiles *profiles,
                        int64_t context, int64_t combination, double *z);

#endif
