/* ceiling.c -- halves of replicates against each other.
 *
 * With n replicates of noise s², the means of two equal halves differ by 2 s/√n: half of their
 * difference is the noise of the mean of all, against which a perfect model is scored. A
 * correlation r between halves has the reliability 2r/(1+r) for that mean (Spearman-Brown), and a
 * perfect model correlates with its square root. */
#include "tessera/ceiling.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <math.h>

/* The mean of some folds, weighted by their replicates. */
static void average(const struct tess_folds *folds, int64_t n, const int64_t *fold, double *out)
{
    for (int64_t i = 0; i < folds->n_panel; i++) {
        double sum = 0, weight = 0;

        for (int64_t k = 0; k < n; k++) {
            double x = (double)folds->value[fold[k] * folds->n_panel + i];

            if (isnan(x))
                continue;
            sum += (double)folds->replicates[fold[k]] * x;
            weight += (double)folds->replicates[fold[k]];
        }
        out[i] = weight > 0 ? sum / weight : NAN;
    }
}

void tess_ceiling_score(const struct tess_folds *folds, const double *control, const double *mean,
                        double shift, uint64_t seed, uint64_t halving, uint64_t experiment,
                        struct tess_scores *scores)
{
    struct tess_random stream =
        tess_random_stream(seed, TESS_RANDOM_HALVING, experiment << 16 | halving);
    int64_t *order = TESS_NEW(int64_t, folds->n), half = folds->n / 2;
    double *a = TESS_NEW(double, folds->n_panel), *b = TESS_NEW(double, folds->n_panel);
    float *measured = TESS_NEW(float, folds->n_panel);
    struct tess_measured truth;

    *scores = (struct tess_scores){0};
    for (int64_t i = 0; i < folds->n; i++)
        order[i] = i;
    tess_random_permute(stream, folds->n, order);
    if (half > 0) {
        average(folds, half, order, a);
        average(folds, folds->n - half, order + half, b);
        for (int64_t i = 0; i < folds->n_panel; i++)
            measured[i] = isnan(a[i]) ? NAN : (float)b[i];
        tess_measured_init(&truth, folds->n_panel, measured, control, mean);
        tess_measured_score(&truth, a, shift, scores);
        tess_measured_release(&truth);
    }
    tess_free(order);
    tess_free(a);
    tess_free(b);
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

static double halving_value(const struct tess_ceiling_sum *sum, int metric, int *reason)
{
    int measure = (metric - TESS_CHANGE) % TESS_MEASURES;
    double x;

    if (metric < TESS_CHANGE) {
        x = tess_pool_score(&sum->pool, metric, reason);
        return metric == TESS_R2        ? best_r2(&sum->pool)
               : metric == TESS_PEARSON ? reliability(x)
                                        : x / 2;
    }
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
