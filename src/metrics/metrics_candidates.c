/* metrics_candidates.c -- does a prediction find its own experiment among those of the context? */
#include "tessera/metrics.h"

#include "tessera/alloc.h"

#include <math.h>

enum distance { L1, L2, COSINE, EUCLIDEAN, DISTANCES };

/* From the prediction to one candidate; NaN where it cannot be told. The Euclidean one alone is
 * over the targets too. Squared ones keep the order of the distances, which is all that counts. A
 * candidate without any change is at 1 of the cosine, like one that is orthogonal. */
static void measure(const struct tess_candidates *c, int64_t candidate, const double *predicted,
                    double out[DISTANCES])
{
    const float *measured = c->measured + candidate * c->n_panel;
    double sum = 0, squares = 0, all = 0, xx = 0, yy = 0, xy = 0;
    int64_t n = 0, n_all = 0, n_change = 0;

    for (int64_t i = 0; i < c->n_panel; i++) {
        double m = (double)measured[i], e = predicted[i] - m;

        if (isnan(m) || (c->silent && c->silent[i]))
            continue;
        all += e * e;
        n_all++;
        if (c->excluded && c->excluded[i])
            continue;
        sum += fabs(e);
        squares += e * e;
        n++;
        if (c->reference && !isnan(c->reference[i])) {
            double x = predicted[i] - c->reference[i], y = m - c->reference[i];

            xx += x * x;
            yy += y * y;
            xy += x * y;
            n_change++;
        }
    }
    out[L1] = n < 3 ? NAN : sum / (double)n;
    out[L2] = n < 3 ? NAN : squares / (double)n;
    out[EUCLIDEAN] = n_all < 3 ? NAN : all / (double)n_all;
    out[COSINE] = n_change < 3 || xx == 0 ? NAN : yy == 0 ? 1 : 1 - xy / sqrt(xx * yy);
}

/* How many others are nearer, as near, farther. */
struct place {
    int64_t nearer, level, farther;
};

static void set(struct tess_scores *scores, int metric, double value, int reason)
{
    scores->value[metric] = value;
    scores->reason[metric] = (uint8_t)(isnan(value) ? reason : TESS_DEFINED);
}

void tess_candidates_score(const struct tess_candidates *candidates, const double *predicted,
                           struct tess_scores *scores)
{
    double own[DISTANCES], other[DISTANCES];
    struct place place[DISTANCES] = {{0, 0, 0}};

    measure(candidates, candidates->own, predicted, own);
    for (int64_t i = 0; i < candidates->n; i++) {
        if (i == candidates->own)
            continue;
        measure(candidates, i, predicted, other);
        /* NaN compares false: a candidate whose distance cannot be told counts nowhere. */
        for (int d = 0; d < DISTANCES; d++) {
            place[d].nearer += other[d] < own[d];
            place[d].level += other[d] == own[d];
            place[d].farther += other[d] > own[d];
        }
    }
    for (int d = 0; d < DISTANCES; d++) {
        double n = (double)(place[d].nearer + place[d].level + place[d].farther);
        double nearer = (double)place[d].nearer + 0.5 * (double)place[d].level;
        int reason = candidates->n > 1 ? TESS_FEW_READOUTS : TESS_ONE_EXPERIMENT;

        if (d == COSINE && candidates->n > 1 && isnan(own[COSINE]) && !isnan(own[L1]))
            reason = !candidates->reference ? TESS_NO_TRAINING : TESS_CONSTANT;
        if (d == EUCLIDEAN)
            set(scores, TESS_CENTROID, n > 0 ? (double)place[d].farther / n : NAN, reason);
        else
            set(scores, TESS_DISCRIMINATION + d, n > 0 ? 1 - nearer / n : NAN, reason);
    }
}
