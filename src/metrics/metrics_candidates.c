/* metrics_candidates.c -- does a prediction find its own experiment among those of the context? */
#include "tessera/metrics.h"

#include "tessera/alloc.h"
#include "tessera/vectorised.h"

#include <math.h>

enum distance { L1, L2, COSINE, RANKED, EUCLIDEAN = RANKED };
enum { PLAIN = EUCLIDEAN + 1, DISTANCES = PLAIN + RANKED }; /* L1 … COSINE without any targets */

#define LANES 8 /* sums side by side, so that they are vectors */

struct run { /* readouts side by side in the panel and here */
    int64_t from, to, n;
};

/* What one prediction brings to all its distances: first the readouts that are nobody's target,
 * padded to whole lanes, then the targets, padded too; each kind in the order of the panel. */
struct prediction {
    int64_t n_plain, n; /* padded */
    int64_t n_runs;
    struct run *run; /* own */
    double *value;
    double *reference; /* 0 where there is none */
    double *counts, *counts_all, *changes; /* 1: the readout counts in that sum, 0: not */
    double *row; /* a candidate's values, NaN between */
};

/* Places of the readouts that are targets, or of those that are not, from `at` on; where they end.
 */
static int64_t place(struct prediction *p, const struct tess_candidates *c, int targets, int64_t at)
{
    const uint8_t *of = c->targets ? c->targets : c->excluded;
    struct run *run = NULL;

    for (int64_t i = 0; i < c->n_panel; i++) {
        if ((of && of[i]) != targets)
            run = NULL;
        else if (run) {
            run->n++;
            at++;
        } else {
            run = &p->run[p->n_runs++];
            *run = (struct run){i, at++, 1};
        }
    }
    return (at + LANES - 1) / LANES * LANES;
}

static void fill(struct prediction *p, const struct tess_candidates *c, const double *predicted,
                 const struct run *run)
{
    for (int64_t k = 0; k < run->n; k++) {
        int64_t i = run->from + k, to = run->to + k;
        int spoken = !(c->silent && c->silent[i]), counts = spoken;

        if (c->excluded && c->excluded[i])
            counts = 0;
        p->value[to] = spoken ? predicted[i] : 0;
        p->counts_all[to] = spoken;
        p->counts[to] = counts;
        if (counts && c->reference && !isnan(c->reference[i])) {
            p->reference[to] = c->reference[i];
            p->changes[to] = 1;
        }
    }
}

static void prediction_init(struct prediction *p, const struct tess_candidates *c,
                            const double *predicted)
{
    double *room;

    *p = (struct prediction){.run = TESS_NEW(struct run, c->n_panel)};
    p->n_plain = place(p, c, 0, 0);
    p->n = place(p, c, 1, p->n_plain);
    room = TESS_NEW(double, 6 * p->n);
    p->value = room;
    p->reference = room + p->n;
    p->counts = room + 2 * p->n;
    p->counts_all = room + 3 * p->n;
    p->changes = room + 4 * p->n;
    p->row = room + 5 * p->n;
    for (int64_t i = 0; i < p->n; i++)
        p->row[i] = NAN;
    for (int64_t r = 0; r < p->n_runs; r++)
        fill(p, c, predicted, &p->run[r]);
}

static void prediction_release(struct prediction *p)
{
    tess_free(p->value); /* the one block of all */
    tess_free(p->run);
}

enum { N_ALL, N, N_CHANGE, ALL, ABSOLUTE, SQUARES, PP, MM, PM, SUMS };

/* Sums of readouts [begin, end), multiples of LANES. What does not count is multiplied by 0, never
 * added as NaN. */
VECTORISED static void add_up(int64_t begin, int64_t end, const struct prediction *p,
                              double sum[SUMS])
{
    const double *value = p->value, *reference = p->reference, *counts = p->counts;
    const double *counts_all = p->counts_all, *changes = p->changes, *restrict row = p->row;
    double lane[SUMS][LANES] = {{0}};

    for (int64_t i = begin; i < end; i += LANES)
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

/* Squared ones keep the order of the distances, which is all that counts. A candidate without any
 * change is at 1 of the cosine, like one that is orthogonal. */
static void distances(const double sum[SUMS], double out[RANKED])
{
    out[L1] = sum[N] < 3 ? NAN : sum[ABSOLUTE] / sum[N];
    out[L2] = sum[N] < 3 ? NAN : sum[SQUARES] / sum[N];
    out[COSINE] = sum[N_CHANGE] < 3 || sum[PP] == 0 ? NAN
                  : sum[MM] == 0                    ? 1
                                                    : 1 - sum[PM] / sqrt(sum[PP] * sum[MM]);
}

/* From the prediction to one candidate; NaN where it cannot be told. The Euclidean one alone is
 * over the targets too. */
static void measure(const struct tess_candidates *c, int64_t candidate, const struct prediction *p,
                    double out[DISTANCES])
{
    const float *measured = c->measured + candidate * c->n_panel;
    double sum[SUMS] = {0};

    for (int64_t r = 0; r < p->n_runs; r++)
        for (int64_t i = 0; i < p->run[r].n; i++)
            p->row[p->run[r].to + i] = (double)measured[p->run[r].from + i];
    add_up(0, p->n_plain, p, sum);
    distances(sum, out + PLAIN);
    add_up(p->n_plain, p->n, p, sum);
    distances(sum, out);
    out[EUCLIDEAN] = sum[N_ALL] < 3 ? NAN : sum[ALL] / sum[N_ALL];
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

/* Why a ranked distance cannot be told. */
static int reason_of(const struct tess_candidates *candidates, int distance,
                     const double own[DISTANCES])
{
    int first = distance < PLAIN ? 0 : PLAIN;

    if (candidates->n < 2)
        return TESS_ONE_EXPERIMENT;
    if (distance - first != COSINE || !isnan(own[COSINE + first]) || isnan(own[L1 + first]))
        return TESS_FEW_READOUTS;
    return !candidates->reference ? TESS_NO_TRAINING : TESS_CONSTANT;
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
        int reason = reason_of(candidates, d, own);

        if (d == EUCLIDEAN)
            set(scores, TESS_CENTROID, n > 0 ? (double)place[d].farther / n : NAN, reason);
        else
            set(scores, d < PLAIN ? TESS_DISCRIMINATION + d : TESS_NO_TARGETS + d - PLAIN,
                n > 0 ? 1 - nearer / n : NAN, reason);
    }
    prediction_release(&prediction);
}
