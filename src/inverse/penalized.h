/* penalized.h -- a sparse V whose inverse is near to R: one problem, on one rank. Local.
 *
 * Least of 1/2 sum w_ij (R_ij - U_ij)^2 + lambda sum over i != j of |V_ij| with V U = 1, in turns
 * (alternating direction method of multipliers): U by conjugate gradients, as weights differ from
 * place to place; V by coordinate descent, each row by itself; then the multipliers. Matrices are
 * (n, n) by rows. */
#ifndef PENALIZED_H
#define PENALIZED_H

#include <stdint.h>

struct tess_error;

struct tess_penalized {
    int64_t n;
    const double *r, *w; /* borrowed; r is 1 on the diagonal */
    const uint8_t *hidden; /* where w counts as 0; or NULL; borrowed */
    double *u, *v, *y; /* y: multipliers over rho; own */
    double rho; /* how much V U = 1 counts by now */
    int64_t n_turns; /* of the last fit */
};

/* U = V = 1. TESS_EOS without memory; to be released in either case. */
int tess_penalized_init(struct tess_penalized *problem, struct tess_error *error);
/* Goes on from what is there, for `most` turns or until V U - 1 and the change of V are below
 * `enough` (roots of mean squares). `room` is (TESS_PENALIZED_ROOM, n, n). */
enum { TESS_PENALIZED_ROOM = 6 };
void tess_penalized_fit(struct tess_penalized *problem, double lambda, int64_t most, double enough,
                        double *room);
void tess_penalized_release(struct tess_penalized *problem);

#endif
