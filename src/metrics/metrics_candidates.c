/* metrics_candidates.c -- does a prediction find its own experiment among those of the context? */
#include "tessera/metrics.h"

#include "tessera/alloc.h"
#include "tessera/vectorised.h"

#include <math.h>

enum distance { L1, L2, COSINE, EUCLIDEAN, DISTANCES };

#define LANES 8 /* sums side by side, so that they are vectors */

/* What one prediction brings to all its distances, padded to whole lanes. */
struct prediction {
    int64_t n_panel, n; /* readouts, and so many padded */
    double *value;
    double *reference; /* 0 where there is none */
    double *counts, *counts_all, *changes; /* 1: the readout counts in that sum, 0: not */
    double *row; /* a candidate's values, NaN at the end */
};

static void prediction_init(struct prediction *p, const struct tess_candidates *c,
                            const double *predicted)
{
    int64_t n = (c->n_panel + LANES - 1) / LANES * LANES;
    double *room = TESS_NEW(double, 6 * n);

    *p = (struct prediction){c->n_panel,   n,           room, room + n, room + 2 * n, room + 3 * n,
                             room + 4 * n, room + 5 * n};
    for (int64_t i = 0; i < c->n_panel; i++) {
        int spoken = !(c->silent && c->silent[i]), counts = spoken;

        if (c->excluded && c->excluded[i])
            counts = 0;
        p->value[i] = spoken ? predicted[i] : 0;
        p->counts_all[i] = spoken;
        p->counts[i] = counts;
        if (counts && c->reference && !isnan(c->reference[i])) {
            p->reference[i] = c->reference[i];
            p->changes[i] = 1;
        }
    }
}

static void prediction_release(struct prediction *p)
{
    tess_free(p->value); /* the one block of all */
}

enum { N_ALL, N, N_CHANGE, ALL, ABSOLUTE, SQUARES, PP, MM, PM, SUMS };

/* Sums of n readouts, a multiple of LANES. What does not count is multiplied by 0, never added as
 * NaN. */
VECTORISED static void add_up(int64_t n, const struct prediction *p, const double *restrict row,
                              double sum[SUMS])
{
    const double *value = p->value, *reference = p->reference, *counts = p->counts;
    const double *counts_all = p->counts_all, *changes = p->changes;
    double lane[SUMS][LANES] = {{0}};

    for (int64_t i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double m = row[i + l], there = m == m ? 1 : 0, all = there * counts_all[i + l];
            double one = there * counts[i + l], change = there * changes[i + l], e, x, y;

            m = m == m ? m : 0;
            e = value[i + l] - m;
            x = change * (value[i + l] - reference[i + l]);
            y = change * (m - reference[i + l]);
            lane[N_ALL][l] += all;
            lane[N][l] += one;
            lane[N_CHANGE][l] += change;
            lane[ALL][l] += all * (e * e);
            lane[ABSOLUTE][l] += one * fabs(e);
            lane[SQUARES][l] += one * (e * e);
            lane[PP][l] += x * x;
            lane[MM][l] += y * y;
            lane[PM][l] += x * y;
        }
    for (int s = 0; s < SUMS; s++)
        for (int l = 0; l < LANES; l++)
            sum[s] += lane[s][l];
}

/* From the prediction to one candidate; NaN where it cannot be told. The Euclidean one alone is
 * over the targets too. Squared ones keep the order of the distances, which is all that counts. A
 * candidate without any change is at 1 of the cosine, like one that is orthogonal. */
static void measure(const struct tess_candidates *c, int64_t candidate, const struct prediction *p,
                    double out[DISTANCES])
{
    const float *measured = c->measured + candidate * c->n_panel;
    double sum[SUMS] = {0};

    for (int64_t i = 0; i < p->n; i++)
        p->row[i] = i < p->n_panel ? (double)measured[i] : NAN;
    add_up(p->n, p, p->row, sum);
    out[L1] = sum[N] < 3 ? NAN : sum[ABSOLUTE] / sum[N];
    out[L2] = sum[N] < 3 ? NAN : sum[SQUARES] / sum[N];
    out[EUCLIDEAN] = sum[N_ALL] < 3 ? NAN : sum[ALL] / sum[N_ALL];
    out[COSINE] = sum[N_CHANGE] < 3 || sum[PP] == 0 ? NAN
                  : sum[MM] == 0                    ? 1
                                                    : 1 - sum[PM] / sqrt(sum[PP] * sum[MM]);
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
    struct prediction prediction;

    prediction_init(&prediction, candidates, predicted);
    measure(candidates, candidates->own, &prediction, own);
    /* Without an own distance (fewer than 3 readouts, say) the others need not be known. */
    for (int64_t i = 0; i < candidates->n && !(isnan(own[L1]) && isnan(own[EUCLIDEAN])); i++) {
        if (i == candidates->own)
            continue;
        measure(candidates, i, &prediction, other);
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
    prediction_release(&prediction);
}
