/* baseline_linear.h -- the linear baseline: a perturbation's changes elsewhere, in few factors, to
 * its change in one context (docs/formats.md, "Scores"). */
#ifndef TESSERA_BASELINE_LINEAR_H
#define TESSERA_BASELINE_LINEAR_H

#include "tessera/profiles.h"

#include <mpi.h>
#include <stdint.h>

#define TESS_LINEAR_FACTORS 10
#define TESS_LINEAR_RIDGE   0.1 /* both as published (Ahlmann-Eltze 2025) */
/* The ridge is at least so much of the mean of P'P's eigenvalues: with large values (raw
 * intensities) 0.1 would be lost in rounding. */
#define TESS_LINEAR_LEAST_RIDGE 1e-10

struct tess_linear { /* factors of the training changes; the same on every rank */
    int64_t k; /* factors */
    double *readout; /* (n_readouts, k) orthonormal columns; own */
    double *unit; /* (n_units, k) training units' changes in them, 0 elsewhere; own */
    double *between; /* (k, k) of one context, column-major; own */
    int64_t context; /* which one, or -1 */
    int solved; /* is there a solution? */
};

/* From the profiles and, for each context, their means (tess_profiles_change). Factors are found by
 * rank 0. Collective over comm. */
int tess_linear_init(struct tess_linear *linear, struct tess_profiles *profiles,
                     double *const *mean, MPI_Comm comm, struct tess_error *error);
void tess_linear_release(struct tess_linear *linear);
/* The predicted change (readouts of the context); returns 0 (and zeroes) if the perturbation was
 * trained on in no other context, or the context's regression has no solution. Local. */
int tess_linear_predict(struct tess_linear *linear, const struct tess_profiles *profiles,
                        int64_t context, int64_t combination, double *change);

#endif
