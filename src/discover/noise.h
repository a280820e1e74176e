/* noise.h -- how measured values of one experiment scatter over its replicates, and changes in
 * units of it. Local to the folder. */
#ifndef NOISE_H
#define NOISE_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_store;

struct tess_noise {
    int64_t n, k; /* readouts of the store; axes, 0: nothing is known, and nothing changes */
    double *axis, *gain; /* (k, n) orthonormal; (k); own */
    double rest; /* gain across the axes */
};

/* The covariance of replicates (folds, less their experiment's mean) over the training experiments,
 * a tenth of it the same for all readouts in all directions: its 200 leading axes, and one variance
 * for all others. TESS_EDATA if the store has more than 10 000
 * readouts. To be released in either case. Collective over the store's communicator. */
int tess_noise_init(struct tess_noise *noise, const struct tess_store *store,
                    struct tess_error *error);
/* x (n), times the covariance to the power of -1/2. Local. */
void tess_noise_divide(const struct tess_noise *noise, double *x);
void tess_noise_release(struct tess_noise *noise);

#endif
