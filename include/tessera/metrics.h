/* metrics.h -- how well one experiment is predicted, and what many of them make together.
 *
 * Pure functions: no files, no MPI. NaN is "not measured" (or "has no reference"). An undefined
 * value is NaN with a reason, never a number. Names and definitions: docs/formats.md, "Scores". */
#ifndef TESSERA_METRICS_H
#define TESSERA_METRICS_H

#include <stdint.h>

enum tess_reference { TESS_BY_CONTROL, TESS_BY_MEAN, TESS_REFERENCES };
enum tess_panel { TESS_PANEL_ALL, TESS_PANEL_TOP20, TESS_PANEL_TOP50, TESS_PANELS };
enum tess_measure {
    TESS_M_PEARSON,
    TESS_M_SPEARMAN,
    TESS_M_COSINE,
    TESS_M_MSE,
    TESS_M_MAE,
    TESS_MEASURES
};
#define TESS_CUTS 4 /* overlap and direction at 20, 50, 100, 200 */
extern const int64_t tess_cut[TESS_CUTS];

/* All scores, by number: from sums over experiments before TESS_CHANGE, means over them after. */
enum tess_metric {
    TESS_RMSE,
    TESS_MAE,
    TESS_R2,
    TESS_PEARSON,
    TESS_MSE_RATIO,
    TESS_CHANGE, /* measures of the change: see tess_metric_change */
    TESS_WEIGHTED = TESS_CHANGE + TESS_MEASURES * TESS_REFERENCES * TESS_PANELS, /* by reference */
    TESS_DISCRIMINATION = TESS_WEIGHTED + TESS_REFERENCES,
    TESS_CENTROID = TESS_DISCRIMINATION + 3, /* after l1, l2, cosine */
    TESS_OVERLAP,
    TESS_DIRECTION = TESS_OVERLAP + TESS_CUTS,
    TESS_NO_TARGETS = TESS_DIRECTION + TESS_CUTS, /* discrimination: l1, l2, cosine */
    TESS_METRICS = TESS_NO_TARGETS + 3
};

enum tess_reason {
    TESS_DEFINED,
    TESS_NO_CONTROL,
    TESS_NO_TRAINING,
    TESS_FEW_READOUTS,
    TESS_SMALL_PANEL,
    TESS_ONE_EXPERIMENT,
    TESS_CONSTANT,
    TESS_NO_REPLICATES,
    TESS_NO_EXPERIMENTS,
    TESS_ONE_PERTURBATION,
    TESS_PERFECT_BASELINE,
    TESS_NO_RESAMPLES,
    TESS_NO_NOISE,
    TESS_NO_EFFECT,
    TESS_NO_ROOM,
    TESS_REASONS
};

const char *tess_metric_name(int metric);
const char *tess_reason_text(int reason);
/* Is smaller better? (Errors; all others are scores of which 1 is perfect.) */
int tess_metric_is_error(int metric);
static inline int tess_metric_change(int panel, int reference, int measure)
{
    return TESS_CHANGE + (panel * TESS_REFERENCES + reference) * TESS_MEASURES + measure;
}
/* The enum tess_measure of a metric from TESS_CHANGE up to TESS_DISCRIMINATION. */
static inline int tess_metric_measure(int metric)
{
    return metric >= TESS_WEIGHTED ? TESS_M_MSE : (metric - TESS_CHANGE) % TESS_MEASURES;
}

/* Sums over observations, of values less a common shift (against cancellation); and over
 * experiments whose noise is known, of mean squared errors and mean squared changes against
 * control, both less what noise adds to them. */
struct tess_pool {
    double n, e2, abs_e, y, y2, p, p2, py;
    double noisy, error, effect;
};
void tess_pool_add(struct tess_pool *pool, const struct tess_pool *other, double weight);
/* metric: TESS_RMSE … TESS_MSE_RATIO. */
double tess_pool_score(const struct tess_pool *pool, int metric, int *reason);

struct tess_scores { /* of one experiment by one method; plain bytes */
    struct tess_pool pool;
    double value[TESS_METRICS]; /* NaN: undefined; the pooled ones are not used */
    uint8_t reason[TESS_METRICS];
    uint8_t fallback; /* the method had nothing to go by and took the next simpler one */
};

/* What a measured experiment gives to all comparisons with predictions of it. */
struct tess_change {
    int64_t n; /* readouts that are measured and have a reference */
    int64_t *at; /* (n) places in the panel, ascending */
    double *reference; /* (n) */
    double *change; /* (n) measured - reference */
    double *rank; /* (n) of the changes, ties averaged */
    int64_t *top; /* (n) into at: largest |change| first, ties by place */
    double *weight; /* (n) of the squared errors, sum 1; all NaN if all changes are as large */
    enum tess_reason reason; /* why n is 0 */
};
/* What is known of noise in an experiment: variances of its values and of its control's, NaN: not
 * known. All (n_panel), borrowed. */
struct tess_noise {
    const double *own;
    const double *control; /* or NULL: not known, taken for none */
    const uint8_t *target; /* readouts that are left out, or NULL */
};
struct tess_measured {
    int64_t n_panel, n; /* readouts in the panel, measured ones */
    const float *measured;
    const double *control; /* borrowed */
    const struct tess_noise *noise; /* NULL: nothing is known; borrowed; to be set after init */
    struct tess_change by[TESS_REFERENCES];
};
/* measured (n_panel); control and mean (n_panel) or NULL. `measured` and `control` stay borrowed.
 * Local. */
void tess_measured_init(struct tess_measured *truth, int64_t n_panel, const float *measured,
                        const double *control, const double *mean);
void tess_measured_release(struct tess_measured *truth);
/* Everything but discrimination and centroid accuracy. predicted (n_panel), finite where measured.
 * Local; may run on several threads with one truth. */
void tess_measured_score(const struct tess_measured *truth, const double *predicted, double shift,
                         struct tess_scores *scores);

/* All measured experiments of a context, against which a prediction must find its own. */
struct tess_candidates {
    int64_t n, n_panel, own;
    const float *measured; /* (n, n_panel) */
    const uint8_t *excluded; /* (n_panel) the scored perturbation's targets, or NULL */
    const double
        *reference; /* (n_panel) of the changes (cosine), NaN where there is none, or NULL */
    const uint8_t *silent; /* (n_panel) what is not predicted, left out for all methods; or NULL */
    const uint8_t *targets; /* (n_panel) of any candidate; NULL: `excluded` alone */
};
/* discrimination_{l1,l2,cosine}, the same without the targets of any candidate (what a model knows
 * of one gene's target must not tell that gene from the others), and centroid_accuracy. Distances
 * are means over the readouts that a candidate has, so that missing values do not bring it nearer.
 * Local. */
void tess_candidates_score(const struct tess_candidates *candidates, const double *predicted,
                           struct tess_scores *scores);

/* Is a readout the target of a perturbation? Equal symbols, or equal after the last '_' or ':' of
 * each if what is left holds a letter (`CRISPRi_TP53`, `Transcriptome_TP53`). Local. */
int tess_is_target(const char *perturbation, const char *readout);

/* Ranks 1 … n, ties averaged. Local. */
void tess_ranks(int64_t n, const double *x, double *rank);
/* Pearson's r; NaN if either is constant or n < 3. Local. */
double tess_correlation(int64_t n, const double *x, const double *y);

#endif
