/* bootstrap.h -- scores of many experiments together, their 95 % intervals, and differences between
 * methods, by resampling perturbations (all experiments of one stay together). Pure. */
#ifndef TESSERA_BOOTSTRAP_H
#define TESSERA_BOOTSTRAP_H

#include "tessera/metrics.h"

#include <stdint.h>

struct tess_estimate {
    double value, low, high; /* NaN: undefined */
    int64_t n; /* experiments behind it */
    int reason, no_interval; /* enum tess_reason: why the value, why the interval is NaN */
};

struct tess_sample {
    int64_t n; /* experiments */
    const int64_t *perturbation; /* (n) any numbers */
    int n_methods; /* method 0 is compared with each of the others */
    const struct tess_scores *score; /* (n, n_methods) */
    int64_t n_resamples;
    uint64_t seed, stream; /* stream: another number for each sample of an evaluation */
};

struct tess_outcome { /* all (n_methods, TESS_METRICS); own */
    struct tess_estimate *own; /* each method's scores */
    struct tess_estimate *difference; /* method 0's less this one's, where both are defined */
    struct tess_estimate *skill; /* of method 0 against this one; without intervals */
    int64_t n_perturbations;
};

/* Estimates of every score by every method; intervals of own scores and differences, which need two
 * perturbations and two resamples that define the score. */
void tess_bootstrap_init(struct tess_outcome *outcome, const struct tess_sample *sample);
void tess_bootstrap_release(struct tess_outcome *outcome);

#endif
