/* ceiling.h -- what a perfect model would score against the mean of all replicates, told from
 * halves of the replicates that know nothing of each other. Pure. */
#ifndef TESSERA_CEILING_H
#define TESSERA_CEILING_H

#include "tessera/metrics.h"

#include <stdint.h>

struct tess_folds { /* means of disjoint parts of an experiment's replicates */
    int64_t n, n_panel;
    float *value; /* (n, n_panel), NaN: not measured */
    int64_t *replicates; /* (n) */
};

/* The sampling variance of the mean of all replicates at each readout, by the delete-a-group
 * jackknife for groups of unequal sizes (Busing, Meijer and van der Leeden 1999): noise (n_panel),
 * NaN where fewer than two folds have a value. Local. */
void tess_folds_noise(const struct tess_folds *folds, double *noise);

/* What changes are changes from. Borrowed. */
struct tess_change_reference {
    const double *control, *mean; /* (n_panel) or NULL */
    double shift;
};
/* Halving `number` of an experiment: the same for a seed whatever else is evaluated. */
struct tess_halving {
    uint64_t seed, number, experiment;
};
/* One halving's scores of one half against the other, before the step to the ceiling.
 * scores->pool.n is 0 if there are fewer than two folds. Local. */
void tess_ceiling_score(const struct tess_folds *folds,
                        const struct tess_change_reference *reference, struct tess_halving halving,
                        struct tess_scores *scores);

struct tess_ceiling_sum { /* of the experiments of one halving */
    struct tess_pool pool;
    double sum[TESS_METRICS], n[TESS_METRICS];
    int64_t n_experiments;
    uint8_t reason[TESS_METRICS];
};
void tess_ceiling_add(struct tess_ceiling_sum *sum, const struct tess_scores *scores);

struct tess_ceiling { /* means over halvings; all zeroes is an empty one */
    double value[TESS_METRICS]; /* of TESS_RMSE … the measures of the change */
    double defined[TESS_METRICS];
    uint8_t reason[TESS_METRICS];
    int64_t n_experiments; /* with at least two folds */
};
/* Adds a halving's ceiling: errors halved (squares quartered), correlations r to sqrt(2r/(1+r)). */
void tess_ceiling_halving(struct tess_ceiling *ceiling, const struct tess_ceiling_sum *sum);
/* Mean over the halvings; NaN if there is none. */
double tess_ceiling_value(const struct tess_ceiling *ceiling, int metric);

#endif
