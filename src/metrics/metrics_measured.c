/* metrics_measured.c -- scores of one experiment: correlation, error and overlap of the change. */
#include "tessera/metrics.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct numbered {
    double x;
    int64_t at;
};

/* Ties go by place: qsort is not stable, and results must not depend on the C library. */
static int ascending(const void *a, const void *b)
{
    const struct numbered *u = a, *v = b;

    return u->x != v->x ? (u->x > v->x) - (u->x < v->x) : (u->at > v->at) - (u->at < v->at);
}

static int descending(const void *a, const void *b)
{
    const struct numbered *u = a, *v = b;

    return u->x != v->x ? (u->x < v->x) - (u->x > v->x) : (u->at > v->at) - (u->at < v->at);
}

static struct numbered *sorted(int64_t n, const double *x, int magnitude)
{
    struct numbered *item = TESS_NEW(struct numbered, n);

    for (int64_t i = 0; i < n; i++)
        item[i] = (struct numbered){magnitude ? fabs(x[i]) : x[i], i};
    qsort(item, (size_t)n, sizeof *item, magnitude ? descending : ascending);
    return item;
}

void tess_ranks(int64_t n, const double *x, double *rank)
{
    struct numbered *item = sorted(n, x, 0);

    for (int64_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && item[j].x == item[i].x; j++)
            ;
        for (int64_t k = i; k < j; k++)
            /* the mean of the ranks i + 1 … j */
            rank[item[k].at] = 0.5 * (double)(i + 1 + j);
    }
    tess_free(item);
}

/* Two passes, about the means: one pass loses all digits where values are large and vary little. */
double tess_correlation(int64_t n, const double *x, const double *y)
{
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0, x2 = 0, y2 = 0;

    if (n < 3)
        return NAN;
    for (int64_t i = 0; i < n; i++) {
        mx += x[i] / (double)n;
        my += y[i] / (double)n;
    }
    for (int64_t i = 0; i < n; i++) {
        double u = x[i] - mx, v = y[i] - my;

        xx += u * u;
        yy += v * v;
        xy += u * v;
        x2 += x[i] * x[i];
        y2 += y[i] * y[i];
    }
    if (xx <= 1e-24 * x2 || yy <= 1e-24 * y2) /* rounding of the mean, not variation */
        return NAN;
    return xy / sqrt(xx * yy);
}

static double cosine(int64_t n, const double *x, const double *y)
{
    double xx = 0, yy = 0, xy = 0;

    for (int64_t i = 0; i < n; i++) {
        xx += x[i] * x[i];
        yy += y[i] * y[i];
        xy += x[i] * y[i];
    }
    return n < 3 || xx == 0 || yy == 0 ? NAN : xy / sqrt(xx * yy);
}

static void set(struct tess_scores *scores, int metric, double value, int reason)
{
    scores->value[metric] = value;
    scores->reason[metric] = (uint8_t)(isnan(value) ? reason : TESS_DEFINED);
}

/* Weights of squared errors by the size of the measured change, as Mejia et al. 2025 (Diversity by
 * design, wMSE) have them: its magnitude, brought to 0 … 1, squared, and then to a sum of 1. Theirs
 * is the magnitude of a t statistic over cells; profiles have the change itself. */
static void find_weights(struct tess_change *by)
{
    double most = 0, least = INFINITY, sum = 0;

    by->weight = TESS_NEW(double, by->n);
    for (int64_t i = 0; i < by->n; i++) {
        most = fmax(most, fabs(by->change[i]));
        least = fmin(least, fabs(by->change[i]));
    }
    for (int64_t i = 0; i < by->n; i++) {
        double share = (fabs(by->change[i]) - least) / (most - least); /* 0 / 0: NaN */

        by->weight[i] = share * share;
        sum += share * share;
    }
    for (int64_t i = 0; i < by->n; i++)
        by->weight[i] /= sum;
}

static void find_changes(struct tess_change *by, const struct tess_measured *truth,
                         const double *reference, enum tess_reason none)
{
    struct numbered *item;

    by->at = TESS_NEW(int64_t, truth->n);
    by->top = TESS_NEW(int64_t, truth->n);
    by->reference = TESS_NEW(double, truth->n);
    by->change = TESS_NEW(double, truth->n);
    by->rank = TESS_NEW(double, truth->n);
    for (int64_t i = 0; reference && i < truth->n_panel; i++)
        if (!isnan(truth->measured[i]) && !isnan(reference[i])) {
            by->at[by->n] = i;
            by->reference[by->n] = reference[i];
            by->change[by->n++] = (double)truth->measured[i] - reference[i];
        }
    if (by->n == 0)
        by->reason = none;
    tess_ranks(by->n, by->change, by->rank);
    item = sorted(by->n, by->change, 1);
    for (int64_t i = 0; i < by->n; i++)
        by->top[i] = item[i].at;
    tess_free(item);
    find_weights(by);
}

void tess_measured_init(struct tess_measured *truth, int64_t n_panel, const float *measured,
                        const double *control, const double *mean)
{
    *truth = (struct tess_measured){.n_panel = n_panel, .measured = measured, .control = control};
    for (int64_t i = 0; i < n_panel; i++)
        truth->n += !isnan(measured[i]);
    find_changes(&truth->by[TESS_BY_CONTROL], truth, control, TESS_NO_CONTROL);
    find_changes(&truth->by[TESS_BY_MEAN], truth, mean, TESS_NO_TRAINING);
}

void tess_measured_release(struct tess_measured *truth)
{
    for (int i = 0; i < TESS_REFERENCES; i++) {
        tess_free(truth->by[i].at);
        tess_free(truth->by[i].top);
        tess_free(truth->by[i].reference);
        tess_free(truth->by[i].change);
        tess_free(truth->by[i].rank);
        tess_free(truth->by[i].weight);
    }
    *truth = (struct tess_measured){0};
}

static void score_pool(const struct tess_measured *truth, const double *predicted, double shift,
                       struct tess_pool *pool)
{
    *pool = (struct tess_pool){0};
    for (int64_t i = 0; i < truth->n_panel; i++) {
        double y = (double)truth->measured[i] - shift, p = predicted[i] - shift, e = p - y;

        if (isnan(y))
            continue;
        pool->n += 1;
        pool->e2 += e * e;
        pool->abs_e += fabs(e);
        pool->y += y;
        pool->y2 += y * y;
        pool->p += p;
        pool->p2 += p * p;
        pool->py += p * y;
    }
}

/* Noise is in both squared distances, whoever predicts: it is taken out of them. */
static void score_noisy(const struct tess_measured *truth, const double *predicted,
                        struct tess_pool *pool)
{
    const struct tess_noise *noise = truth->noise;
    double n = 0, error = 0, effect = 0;

    for (int64_t i = 0; noise && truth->control && i < truth->n_panel; i++) {
        double y = (double)truth->measured[i], own = noise->own[i];
        double e = predicted[i] - y, change = y - truth->control[i];

        if (isnan(change) || isnan(own) || (noise->target && noise->target[i]))
            continue;
        n += 1;
        error += e * e - own;
        effect += change * change - own;
        if (noise->control && !isnan(noise->control[i]))
            effect -= noise->control[i];
    }
    if (n > 0) {
        pool->noisy = 1;
        pool->error = error / n;
        pool->effect = effect / n;
    }
}

/* The five measures of n predicted and measured changes. Spearman's rho is Pearson's r of the
 * ranks; those of the measured ones are known already. */
static void score_changes(int64_t n, const double *p, const double *m, const double *rank,
                          struct tess_scores *scores, int metric)
{
    int reason = n < 3 ? TESS_FEW_READOUTS : TESS_CONSTANT;
    double *ranks = TESS_NEW(double, n), squares = 0, sum = 0;

    tess_ranks(n, p, ranks);
    for (int64_t i = 0; i < n; i++) {
        squares += (p[i] - m[i]) * (p[i] - m[i]);
        sum += fabs(p[i] - m[i]);
    }
    set(scores, metric + TESS_M_PEARSON, tess_correlation(n, p, m), reason);
    set(scores, metric + TESS_M_SPEARMAN, tess_correlation(n, ranks, rank), reason);
    set(scores, metric + TESS_M_COSINE, cosine(n, p, m), reason);
    set(scores, metric + TESS_M_MSE, squares / (double)n, reason);
    set(scores, metric + TESS_M_MAE, sum / (double)n, reason);
    tess_free(ranks);
}

static void score_top(const struct tess_change *by, int64_t k, const double *change,
                      struct tess_scores *scores, int metric)
{
    double p[50], m[50], rank[50];

    for (int64_t i = 0; i < k; i++) {
        p[i] = change[by->top[i]];
        m[i] = by->change[by->top[i]];
    }
    tess_ranks(k, m, rank);
    score_changes(k, p, m, rank, scores, metric);
}

static void score_reference(const struct tess_change *by, int reference, const double *change,
                            struct tess_scores *scores)
{
    static const int64_t size[TESS_PANELS] = {[TESS_PANEL_TOP20] = 20, [TESS_PANEL_TOP50] = 50};

    for (int panel = 0; panel < TESS_PANELS; panel++) {
        int metric = tess_metric_change(panel, reference, 0);

        if (by->n == 0 || by->n <= size[panel])
            for (int i = 0; i < TESS_MEASURES; i++)
                set(scores, metric + i, NAN, by->n == 0 ? (int)by->reason : TESS_SMALL_PANEL);
        else if (panel == TESS_PANEL_ALL)
            score_changes(by->n, change, by->change, by->rank, scores, metric);
        else
            score_top(by, size[panel], change, scores, metric);
    }
}

static void score_weighted(const struct tess_change *by, int reference, const double *change,
                           struct tess_scores *scores)
{
    int reason = by->n == 0 ? (int)by->reason : by->n < 3 ? TESS_FEW_READOUTS : TESS_CONSTANT;
    double sum = 0;

    for (int64_t i = 0; i < by->n; i++) {
        double e = change[i] - by->change[i];

        sum += by->weight[i] * (e * e);
    }
    set(scores, TESS_WEIGHTED + reference, by->n < 3 ? NAN : sum, reason);
}

/* Membership in the k largest where equal magnitudes share the last places: 1 above `least`,
 * `share` at it. A prediction without any order then scores what chance would. */
struct cut {
    double least, share;
};

static struct cut cut_at(int64_t n, const struct numbered *item, int64_t k)
{
    struct cut cut = {.least = item[k - 1].x};
    int64_t first = k - 1, end = k;

    while (first > 0 && item[first - 1].x == cut.least)
        first--;
    while (end < n && item[end].x == cut.least)
        end++;
    cut.share = (double)(k - first) / (double)(end - first);
    return cut;
}

static double weight(struct cut cut, double x)
{
    return fabs(x) > cut.least ? 1 : fabs(x) == cut.least ? cut.share : 0;
}

/* Of the k largest measured changes, how many are among the k largest predicted ones, and how many
 * are predicted with their sign. */
static void score_overlap(const struct tess_change *by, const double *change,
                          struct tess_scores *scores)
{
    struct numbered *p = sorted(by->n, change, 1), *m = sorted(by->n, by->change, 1);

    for (int i = 0; i < TESS_CUTS; i++) {
        int64_t k = tess_cut[i];
        int enough = by->n > k, reason = by->n == 0 ? (int)by->reason : TESS_SMALL_PANEL;
        struct cut cut_p = {0}, cut_m = {0};
        double shared = 0, same = 0;

        if (enough) {
            cut_p = cut_at(by->n, p, k);
            cut_m = cut_at(by->n, m, k);
        }
        for (int64_t j = 0; enough && j < by->n; j++) {
            double w = weight(cut_m, by->change[j]);

            shared += w * weight(cut_p, change[j]);
            same += w * ((change[j] > 0) - (change[j] < 0) ==
                         (by->change[j] > 0) - (by->change[j] < 0));
        }
        set(scores, TESS_OVERLAP + i, enough ? shared / (double)k : NAN, reason);
        set(scores, TESS_DIRECTION + i, enough ? same / (double)k : NAN, reason);
    }
    tess_free(p);
    tess_free(m);
}

/* Overlap and direction need one reference: the control's, or without one the mean. */
void tess_measured_score(const struct tess_measured *truth, const double *predicted, double shift,
                         struct tess_scores *scores)
{
    int main = truth->by[TESS_BY_CONTROL].n > 0 ? TESS_BY_CONTROL : TESS_BY_MEAN;

    *scores = (struct tess_scores){0};
    score_pool(truth, predicted, shift, &scores->pool);
    score_noisy(truth, predicted, &scores->pool);
    for (int reference = 0; reference < TESS_REFERENCES; reference++) {
        const struct tess_change *by = &truth->by[reference];
        double *change = TESS_NEW(double, by->n);

        for (int64_t i = 0; i < by->n; i++)
            change[i] = predicted[by->at[i]] - by->reference[i];
        score_reference(by, reference, change, scores);
        score_weighted(by, reference, change, scores);
        if (reference == main)
            score_overlap(by, change, scores);
        tess_free(change);
    }
}
