/* bootstrap.h -- scores of many experiments together, their 95 % intervals, and differences between
 * methods, by resampling perturbations (all experiments of one stay together). Pure.
 *
 * Experiments are added to a tally, one after the other; a sample is what a tally's resamples are
 * made of, by blocks of which each is a function of the sample and its number alone; the outcome is
 * made of the tally and all blocks. */
#ifndef TESSERA_BOOTSTRAP_H
#define TESSERA_BOOTSTRAP_H

#include "tessera/metrics.h"

#include <stdint.h>

#define TESS_RESAMPLES 32 /* in a block */

struct tess_tally { /* sums of scores by perturbation */
    int n_methods; /* method 0 is compared with each of the others */
    int64_t n_keys, n, room; /* keys that perturbations may have; perturbations so far */
    int32_t *place; /* (n_keys) of a perturbation, or -1; own */
    int64_t *key; /* (room) of a place; own */
    double **column; /* (n_methods, sums of a method) each (room), NULL: all zero; own */
    int64_t n_experiments;
    int64_t *reasons; /* (n_methods, TESS_METRICS, TESS_REASONS) experiments; own */
};
/* Perturbations will be numbers in [0, n_keys). */
void tess_tally_init(struct tess_tally *tally, int n_methods, int64_t n_keys);
/* One experiment's scores, score (n_methods). */
void tess_tally_add(struct tess_tally *tally, int64_t key, const struct tess_scores *score);
/* As after tess_tally_init. */
void tess_tally_clear(struct tess_tally *tally);
void tess_tally_release(struct tess_tally *tally);

struct tess_sample {
    int64_t n_methods, n_groups, n_columns, n_metrics;
    int64_t *column_of; /* (n_methods, sums of a method) -1: zero; own */
    int64_t *metric; /* (n_metrics) those that any method has; own */
    double *column; /* (n_columns, n_groups) groups by ascending key; own */
};
void tess_sample_init(struct tess_sample *sample, const struct tess_tally *tally);
/* Room for the arrays of a sample whose numbers are known, to be filled with another's. */
void tess_sample_alloc(struct tess_sample *sample);
int64_t tess_sample_n_sums(const struct tess_sample *sample); /* of column_of */
void tess_sample_release(struct tess_sample *sample);

/* Which resamples of which sample. */
struct tess_draw {
    int64_t n_resamples;
    uint64_t seed, stream; /* stream: another number for each sample of an evaluation */
};
/* Numbers of one resample: own score and difference to method 0 of each method and metric. */
static inline int64_t tess_sample_width(const struct tess_sample *sample)
{
    return 2 * sample->n_methods * sample->n_metrics;
}
/* Resamples [block · TESS_RESAMPLES, …) up to draw->n_resamples, out (those, width). May run on
 * several threads. */
void tess_bootstrap_block(const struct tess_sample *sample, const struct tess_draw *draw,
                          int64_t block, double *out);

struct tess_estimate {
    double value, low, high; /* NaN: undefined */
    int64_t n; /* experiments behind it */
    int reason, no_interval; /* enum tess_reason: why the value, why the interval is NaN */
};
struct tess_outcome { /* all (n_methods, TESS_METRICS); own */
    struct tess_estimate *own; /* each method's scores */
    struct tess_estimate *difference; /* method 0's less this one's, where both are defined */
    struct tess_estimate *skill; /* of method 0 against this one; without intervals */
    int64_t n_perturbations;
    int n_scaled; /* methods, from the first on */
    struct tess_estimate *scaled; /* (n_scaled, TESS_METRICS) NULL before tess_bootstrap_scale */
    double bad[TESS_METRICS], perfect[TESS_METRICS]; /* what is 0 and what is 1 of those */
};

/* Estimates of every score by every method; intervals of own scores and differences, which need two
 * perturbations and two resamples that define the score. resample (n_resamples, width). */
void tess_bootstrap_init(struct tess_outcome *outcome, const struct tess_tally *tally,
                         const struct tess_sample *sample, int64_t n_resamples,
                         const double *resample);

/* Scores on the way from a bad end to a perfect one: (score - bad) / (perfect - bad). */
struct tess_ends {
    int bad; /* the method whose score is 0. Where it predicts no change at all, a correlation of
              * changes is undefined and 0 stands for it */
    int n_methods; /* so many, from the first on, are scaled */
    const double *perfect; /* (TESS_METRICS) the score that is 1; NaN: not known */
    const uint8_t *reason; /* (TESS_METRICS) why */
};
/* Into an outcome that is there, from the same sample and resamples; intervals as of own scores,
 * the perfect end held fixed. */
void tess_bootstrap_scale(struct tess_outcome *outcome, const struct tess_sample *sample,
                          int64_t n_resamples, const double *resample,
                          const struct tess_ends *ends);
void tess_bootstrap_release(struct tess_outcome *outcome);

#endif
