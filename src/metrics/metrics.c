/* metrics.c -- names of the scores, and the pooled ones from their sums. */
#include "tessera/metrics.h"

#include "tessera/error.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const int64_t tess_cut[TESS_CUTS] = {20, 50, 100, 200};

#define CHANGE(suffix)                                                                             \
    "pearson" suffix, "spearman" suffix, "cosine" suffix, "mse" suffix, "mae" suffix

static const char *const names[TESS_METRICS] = {
    "rmse",
    "mae",
    "r2",
    "pearson",
    "mse_ratio",
    CHANGE("_delta"),
    CHANGE("_delta_ctxmean"),
    CHANGE("_delta_top20"),
    CHANGE("_delta_ctxmean_top20"),
    CHANGE("_delta_top50"),
    CHANGE("_delta_ctxmean_top50"),
    "wmse_delta",
    "wmse_delta_ctxmean",
    "discrimination_l1",
    "discrimination_l2",
    "discrimination_cosine",
    "centroid_accuracy",
    "overlap_at_20",
    "overlap_at_50",
    "overlap_at_100",
    "overlap_at_200",
    "direction_match",
    "direction_match_at_50",
    "direction_match_at_100",
    "direction_match_at_200",
    "discrimination_l1_no_targets",
    "discrimination_l2_no_targets",
    "discrimination_cosine_no_targets",
};

static const char *const reasons[TESS_REASONS] = {
    [TESS_DEFINED] = "defined",
    [TESS_NO_CONTROL] = "no control is measured in the context",
    [TESS_NO_TRAINING] = "the context has no training perturbation with these readouts",
    [TESS_FEW_READOUTS] = "fewer than 3 measured values",
    [TESS_SMALL_PANEL] = "the panel is not larger than k",
    [TESS_ONE_EXPERIMENT] = "the context has only one evaluated experiment",
    [TESS_CONSTANT] = "the predicted or the measured values are all the same",
    [TESS_NO_REPLICATES] = "no evaluated experiment has two replicates",
    [TESS_NO_EXPERIMENTS] = "no experiment to score",
    [TESS_ONE_PERTURBATION] = "an interval needs two perturbations",
    [TESS_PERFECT_BASELINE] = "the baseline is perfect",
    [TESS_NO_RESAMPLES] = "too few resamples define it",
    [TESS_NO_NOISE] = "no evaluated experiment has two replicates, and a control in its context",
    [TESS_NO_ROOM] =
        "the perfect end, of the experiments that have it, is no better than the mean of the "
        "perturbations, of all",
    [TESS_NO_EFFECT] = "the measured changes are not larger than their noise",
};

const char *tess_metric_name(int metric)
{
    return names[metric];
}

const char *tess_reason_text(int reason)
{
    return reasons[reason];
}

int tess_metric_is_error(int metric)
{
    int measure;

    if (metric < TESS_CHANGE || metric >= TESS_DISCRIMINATION)
        return metric == TESS_RMSE || metric == TESS_MAE || metric == TESS_MSE_RATIO;
    measure = tess_metric_measure(metric);
    return measure == TESS_M_MSE || measure == TESS_M_MAE;
}

void tess_pool_add(struct tess_pool *pool, const struct tess_pool *other, double weight)
{
    pool->n += weight * other->n;
    pool->e2 += weight * other->e2;
    pool->abs_e += weight * other->abs_e;
    pool->y += weight * other->y;
    pool->y2 += weight * other->y2;
    pool->p += weight * other->p;
    pool->p2 += weight * other->p2;
    pool->py += weight * other->py;
    pool->noisy += weight * other->noisy;
    pool->error += weight * other->error;
    pool->effect += weight * other->effect;
}

/* A sum of squares about the mean that rounding alone could have made counts as none: of n equal
 * values each addition is off in the same direction. */
static int vanishes(double n, double squares, double about_zero)
{
    return squares <= (1e-14 + 4e-16 * n) * about_zero;
}

/* The ratio of squared errors is that of the Virtual Cell Challenge 2026 (cell-eval2,
 * expr_mse_unbiased_capped_norm), for predictions that are no samples of cells.
 * R² = 1 - Σ e² / Σ (y - mean)², Pearson's r = Σ(p - p̄)(y - ȳ) / √(Σ(p - p̄)² Σ(y - ȳ)²), both about
 * the means of the pooled values, from sums that resamples can weigh. */
double tess_pool_score(const struct tess_pool *pool, int metric, int *reason)
{
    double n = pool->n, yy = pool->y2 - pool->y * pool->y / n;
    double pp = pool->p2 - pool->p * pool->p / n, py = pool->py - pool->p * pool->y / n;

    *reason = TESS_DEFINED;
    if (!(n > 0))
        *reason = TESS_NO_EXPERIMENTS;
    else if (metric == TESS_RMSE)
        return sqrt(pool->e2 / n);
    else if (metric == TESS_MAE)
        return pool->abs_e / n;
    else if (metric == TESS_MSE_RATIO && pool->effect > 0)
        return pool->error / pool->effect;
    else if (metric == TESS_MSE_RATIO)
        *reason = pool->noisy > 0 ? TESS_NO_EFFECT : TESS_NO_NOISE;
    else if (n < 3)
        *reason = TESS_FEW_READOUTS;
    else if (vanishes(n, yy, pool->y2) || (metric == TESS_PEARSON && vanishes(n, pp, pool->p2)))
        *reason = TESS_CONSTANT;
    else
        return metric == TESS_R2 ? 1 - pool->e2 / yy : py / sqrt(pp * yy);
    return NAN;
}

/* What follows the last '_' or ':', if it can be a name. */
static const char *stem(const char *symbol)
{
    const char *last = symbol, *letter;

    for (const char *at = symbol; *at; at++)
        if (*at == '_' || *at == ':')
            last = at + 1;
    for (letter = last; *letter && !isalpha((unsigned char)*letter); letter++)
        ;
    return *letter ? last : symbol;
}

int tess_is_target(const char *perturbation, const char *readout)
{
    return strcmp(perturbation, readout) == 0 || strcmp(stem(perturbation), stem(readout)) == 0;
}
