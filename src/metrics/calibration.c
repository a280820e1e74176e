/* calibration.c -- scale and noise of a deviation, by the largest likelihood.
 *
 * With x = d² / mean d² the variance is c (t x + 1 - t): c = s² mean d² / t, and t is the members'
 * share of the mean variance. For each t the best c is the mean of e² / (t x + 1 - t), which leaves
 * one number to look for. */
#include "tessera/calibration.h"

#include "tessera/alloc.h"
#include "tessera/metrics.h"

#include <math.h>

#define FARTHEST 14.0 /* ln t / (1 - t): shares of 1e-6 and less are none */
#define STEPS    40 /* of the search, which leaves 1e-8 of an interval of 2 */

struct sample {
    int64_t n;
    const double *error, *deviation; /* borrowed */
    double square; /* mean d² */
};

static double share_of(double odds)
{
    return 1 / (1 + exp(-odds));
}

/* The best c at these odds, and what is to be minimised, a value. */
static double cost(const struct sample *sample, double odds, double *c)
{
    double t = share_of(odds), rest = share_of(-odds), logs = 0, squares = 0;

    for (int64_t i = 0; i < sample->n; i++) {
        double d = sample->deviation[i], e = sample->error[i];
        double part = t * (d * d / sample->square) + rest;

        logs += log(part);
        squares += e * e / part;
    }
    *c = squares / (double)sample->n;
    return logs / (double)sample->n + log(*c);
}

/* Where a grid is lowest, then by golden sections: the likelihood may have several hills. */
static double best_odds(const struct sample *sample)
{
    const double golden = (sqrt(5) - 1) / 2;
    double best = -FARTHEST, least = INFINITY, c, low, high, x[2], y[2];

    for (double odds = -FARTHEST; odds <= FARTHEST; odds += 1) {
        double here = cost(sample, odds, &c);

        if (here < least) {
            least = here;
            best = odds;
        }
    }
    low = best - 1;
    high = best + 1;
    x[0] = high - golden * (high - low);
    x[1] = low + golden * (high - low);
    for (int k = 0; k < 2; k++)
        y[k] = cost(sample, x[k], &c);
    for (int i = 0; i < STEPS; i++) {
        int right = y[1] < y[0]; /* what lies left of x[0] is given up */

        *(right ? &low : &high) = x[!right];
        x[!right] = x[right];
        y[!right] = y[right];
        x[right] = right ? low + golden * (high - low) : high - golden * (high - low);
        y[right] = cost(sample, x[right], &c);
    }
    return (low + high) / 2;
}

void tess_calibration_fit(struct tess_calibration *calibration, int64_t n, const double *error,
                          const double *deviation)
{
    struct sample sample = {n, error, deviation, 0};
    double errors = 0, odds, c;

    *calibration = (struct tess_calibration){1, 0};
    for (int64_t i = 0; i < n; i++) {
        sample.square += deviation[i] * deviation[i] / (double)n;
        errors += error[i] * error[i] / (double)n;
    }
    if (n == 0 || !(errors > 0)) /* a perfect model has nothing to be scaled */
        return;
    if (!(sample.square > 0)) { /* members that are all alike */
        calibration->noise = sqrt(errors);
        return;
    }
    odds = best_odds(&sample);
    cost(&sample, odds, &c);
    calibration->scale = sqrt(c * share_of(odds) / sample.square);
    calibration->noise = sqrt(c * share_of(-odds));
}

double tess_calibration_apply(const struct tess_calibration *calibration, double deviation)
{
    double members = calibration->scale * deviation;

    return sqrt(members * members + calibration->noise * calibration->noise);
}

struct tess_coverage tess_calibration_coverage(const struct tess_calibration *calibration,
                                               int64_t n, const double *error,
                                               const double *deviation)
{
    /* Φ⁻¹(0.84), Φ⁻¹(0.975) */
    static const double z[TESS_INTERVALS] = {0.994457883209753, 1.959963984540054};
    struct tess_coverage coverage;

    for (int k = 0; k < TESS_INTERVALS; k++) {
        int64_t within = 0;

        for (int64_t i = 0; i < n; i++)
            within += fabs(error[i]) <=
                      z[k] * (calibration ? tess_calibration_apply(calibration, deviation[i])
                                          : deviation[i]);
        coverage.share[k] = n > 0 ? (double)within / (double)n : NAN;
    }
    return coverage;
}

void tess_calibration_curve(const struct tess_calibration *calibration, int64_t n,
                            const double *error, const double *deviation, double share[TESS_LEVELS])
{
    double within[TESS_LEVELS] = {0};

    for (int64_t i = 0; i < n; i++) {
        double of = calibration ? tess_calibration_apply(calibration, deviation[i]) : deviation[i];
        /* The interval that ends at this error should hold so much. */
        double level = error[i] == 0 ? 0 : erf(fabs(error[i]) / of / sqrt(2));

        for (int k = 0; k < TESS_LEVELS; k++)
            within[k] += level <= (k + 1) / (TESS_LEVELS + 1.0);
    }
    for (int k = 0; k < TESS_LEVELS; k++)
        share[k] = n > 0 ? within[k] / (double)n : NAN;
}

double tess_calibration_rank(int64_t n, const double *error, const double *deviation)
{
    double *rank[2] = {TESS_NEW(double, n), TESS_NEW(double, n)}, *size = TESS_NEW(double, n), r;

    for (int64_t i = 0; i < n; i++)
        size[i] = fabs(error[i]);
    tess_ranks(n, size, rank[0]);
    tess_ranks(n, deviation, rank[1]);
    r = tess_correlation(n, rank[0], rank[1]);
    tess_free(rank[0]);
    tess_free(rank[1]);
    tess_free(size);
    return r;
}
