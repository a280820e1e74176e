/* completed.h -- perturbations as they were measured, with the model's prediction where they were
 * not, in units of the replicates' noise. Local to the folder. */
#ifndef COMPLETED_H
#define COMPLETED_H

#include "directions.h"
#include "measurements.h"
#include "noise.h"

/* A vector has one part, or two: the mean direction (changes at a length of 1) over the contexts
 * where the perturbation was measured (of one that never was: over all), and the changes in each of
 * the contexts where all types were, side by side, where there is such a context. Changes are
 * against the context's mean. */
struct tess_completed {
    const struct tess_model *model; /* borrowed */
    struct tess_measurements *measured; /* borrowed */
    struct tess_noise noise;
    int64_t n_readouts; /* of the store */
    int64_t *readout, *context; /* the store's in the model, -1: unknown or untrained; own */
    int64_t n_shared, *shared; /* contexts of the store that all types have; own */
    int n_parts;
    int64_t begin[3]; /* of the parts, and their end */
};

/* To be released in either case. Collective over the store's communicator. */
int tess_completed_init(struct tess_completed *completed, const struct tess_model *model,
                        struct tess_measurements *measured, const struct tess_kinds *kinds,
                        struct tess_error *error);
/* Vectors of perturbations [first, first + n): out (n, begin[n_parts]); of untrained ones zeroes.
 * closure: the completed. Local. */
int tess_completed_make(const void *closure, int64_t first, int64_t n, float *out,
                        struct tess_error *error);
void tess_completed_release(struct tess_completed *completed);

#endif
