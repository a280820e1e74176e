/* samples.h -- the values of one gene in some cells beside those in control cells: Wasserstein
 * distance, Mann-Whitney test. Local.
 *
 * The control is sorted once; a sample of k cells then takes O(k log k + k log n) and not O(n). */
#ifndef SAMPLES_H
#define SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#define TESS_SAMPLES_LEAST 3 /* cells that a distribution needs */

/* The control's values as runs of equal ones, ascending. */
struct tess_reference {
    int64_t n, n_runs; /* values that are measured; distinct ones */
    double *value; /* (n_runs) own */
    int64_t *below; /* (n_runs + 1) values less than that of the run; the last is n; own */
    double *sum_below; /* (n_runs + 1) their sum; own */
    double ties; /* sum of c³ - c over runs of c values */
    size_t room[3];
};

struct tess_comparison {
    double distance; /* Wasserstein, of order 1 */
    double change; /* the sample's mean less the control's */
    double p; /* Mann-Whitney: two-sided, normal approximation corrected for ties and continuity */
};

/* Takes over n values; NaN (not measured) does not count. `value` is left in another order. */
void tess_reference_take(struct tess_reference *reference, int64_t n, float *value);
/* 1; 0, and NaN in `out`, if either has fewer than TESS_SAMPLES_LEAST measured values. `value` is
 * left in another order. */
int tess_reference_compare(const struct tess_reference *reference, int64_t n, float *value,
                           struct tess_comparison *out);
double tess_reference_bytes(int64_t n); /* of n values, at most */
void tess_reference_release(struct tess_reference *reference);

#endif
