/* ceiling.c -- halves of replicates against each other.
 *
 * With n replicates of noise s², the means of two equal halves differ by 2 s/√n: half of their
 * difference is the noise of the mean of all, against which a perfect model is scored. A
 * correlation r between halves has the reliability 2r/(1+r) for that mean (Spearman-Brown), and a
 * perfect model correlates with its square root.
 *
 * Halves a, b of unequal sizes m, n (an odd number of replicates) are first brought to the equal
 * ones that carry the same information: mean w = (m a + n b)/(m + n) and difference d = a - b are
 * independent, and w ± √(m n)/(m + n) d have independent noise of variance 2 s²/(m + n) each. */
#include "tessera/ceiling.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <math.h>

/* Two halves of the folds, order[0 … half - 1] and the rest, at one readout. */
static void halve(const struct tess_folds *folds, const int64_t *order, int64_t at, double half[2])
{
    double sum[2] = {0, 0}, n[2] = {0, 0}, mean, part;

    for (int64_t k = 0; k < folds->n; k++) {
        double x = (double)folds->value[order[k] * folds->n_panel + at];
        double weight = (double)folds->replicates[order[k]];
        int which = k >= folds->n / 2;

        if (isnan(x))
            continue;
        sum[which] += weight * x;
        n[which] += weight;
    }
    half[0] = half[1] = NAN;
    if (n[0] == 0 || n[1] == 0)
        return;
    mean = (sum[0] + sum[1]) / (n[0] + n[1]);
    part = sqrt(n[0] * n[1]) / (n[0] + n[1]) * (sum[0] / n[0] - sum[1] / n[1]);
    half[0] = mean + part;
    half[1] = mean - part;
}

/* The pseudo-values of a mean are the folds' own means x: with n_j of n replicates in fold j, the
 * variance is the mean of (x_j - mean)² n_j / (n - n_j), without bias whatever the sizes. */
void tess_folds_noise(const struct tess_folds *folds, double *noise)
{
    for (int64_t i = 0; i < folds->n_panel; i++) {
        double n = 0, sum = 0, squares = 0;
        int64_t groups = 0;

        for (int64_t k = 0; k < folds->n; k++)
            if (!isnan(folds->value[k * folds->n_panel + i])) {
                n += (double)folds->replicates[k];
                sum += (double)folds->replicates[k] * (double)folds->value[k * folds->n_panel + i];
                groups++;
            }
        for (int64_t k = 0; groups > 1 && k < folds->n; k++) {
            double x = (double)folds->value[k * folds->n_panel + i] - sum / n;
            double own = (double)folds->replicates[k];

            squares += isnan(x) ? 0 : x * x * own / (n - own);
        }
        noise[i] = groups > 1 ? squares / (double)groups : NAN;
    }
}

void tess_ceiling_score(const struct tess_folds *folds,
                        const struct tess_change_reference *reference, struct tess_halving halving,
                        struct tess_scores *scores)
{
    /* The low 16 bits are the halving's, the rest the experiment's. */
    struct tess_random stream = tess_random_stream(halving.seed, TESS_RANDOM_HALVING,
                                                   halving.experiment << 16 | halving.number);
    int64_t *order = TESS_NEW(int64_t, folds->n);
    double *predicted = TESS_NEW(double, folds->n_panel), half[2];
    float *measured = TESS_NEW(float, folds->n_panel);
    struct tess_measured truth;

    *scores = (struct tess_scores){0};
    for (int64_t i = 0; i < folds->n; i++)
        order[i] = i;
    tess_random_permute(stream, folds->n, order);
    for (int64_t i = 0; folds->n > 1 && i < folds->n_panel; i++) {
        halve(folds, order, i, half);
        predicted[i] = half[0];
        measured[i] = (float)half[1];
    }
    if (folds->n > 1) {
        tess_measured_init(&truth, folds->n_panel, measured, reference->control, reference->mean);
        tess_measured_score(&truth, predicted, reference->shift, scores);
        scores->pool.noisy = reference->control != NULL;
        tess_measured_release(&truth);
    }
    tess_free(order);
    tess_free(predicted);
    tess_free(measured);
}

void tess_ceiling_add(struct tess_ceiling_sum *sum, const struct tess_scores *scores)
{
    if (!(scores->pool.n > 0))
        return;
    sum->n_experiments++;
    tess_pool_add(&sum->pool, &scores->pool, 1);
    for (int k = TESS_CHANGE; k < TESS_DISCRIMINATION; k++) {
        if (isnan(scores->value[k])) {
            sum->reason[k] = scores->reason[k];
            continue;
        }
        sum->sum[k] += scores->value[k];
        sum->n[k] += 1;
    }
}

/* What a perfect model correlates with the mean of both halves (above). A negative correlation of
 * halves is chance: nothing can be told, which counts as 0. */
static double reliability(double r)
{
    return r > 0 ? sqrt(2 * r / (1 + r)) : r <= 0 ? 0 : NAN;
}

/* 1 - noise variance / variance of the mean of both halves. */
static double best_r2(const struct tess_pool *pool)
{
    double sum = (pool->y + pool->p) / 2, squares = (pool->y2 + pool->p2 + 2 * pool->py) / 4;
    double variance = squares - sum * sum / pool->n;

    return pool->n >= 3 && variance > 1e-14 * squares ? 1 - pool->e2 / 4 / variance : NAN;
}

/* The ceiling of one halving: half the difference of the halves is the noise of their mean, so
 * errors are halved and squared ones quartered. */
static double halving_value(const struct tess_ceiling_sum *sum, int metric, int *reason)
{
    int measure;
    double x;

    if (metric < TESS_CHANGE) {
        x = tess_pool_score(&sum->pool, metric, reason);
        if (metric == TESS_MSE_RATIO) /* the noise is out of it already */
            return sum->pool.noisy > 0 ? 0 : NAN;
        return metric == TESS_R2        ? best_r2(&sum->pool)
               : metric == TESS_PEARSON ? reliability(x)
                                        : x / 2;
    }
    measure = tess_metric_measure(metric);
    *reason = sum->reason[metric] ? sum->reason[metric] : TESS_NO_REPLICATES;
    x = sum->n[metric] > 0 ? sum->sum[metric] / sum->n[metric] : NAN;
    return measure == TESS_M_MSE ? x / 4 : measure == TESS_M_MAE ? x / 2 : reliability(x);
}

void tess_ceiling_halving(struct tess_ceiling *ceiling, const struct tess_ceiling_sum *sum)
{
    ceiling->n_experiments = sum->n_experiments;
    for (int k = 0; k < TESS_DISCRIMINATION; k++) {
        int reason = TESS_NO_REPLICATES;
        double x = sum->n_experiments > 0 ? halving_value(sum, k, &reason) : NAN;

        if (isnan(x))
            ceiling->reason[k] = (uint8_t)reason;
        else {
            ceiling->value[k] += x;
            ceiling->defined[k] += 1;
        }
    }
}

double tess_ceiling_value(const struct tess_ceiling *ceiling, int metric)
{
    return ceiling->defined[metric] > 0 ? ceiling->value[metric] / ceiling->defined[metric] : NAN;
}
