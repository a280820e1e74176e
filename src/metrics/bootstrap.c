/* bootstrap.c -- resampled perturbations.
 *
 * Every score is a function of sums over experiments, so that a resample is a weighted sum of the
 * perturbations' sums: a block of resamples is one product of matrices. Percentile intervals; a
 * resample in which a score is undefined is left out of that score's interval. */
#include "bootstrap.h"

#include "tessera/alloc.h"
#include "tessera/median.h"
#include "tessera/random.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* Sums of all perturbations, or of a resample of them: total (n_columns). */
static double sum_of(const struct tess_sample *sample, const double *total, int64_t sum)
{
    return sample->column_of[sum] < 0 ? 0 : total[sample->column_of[sum]];
}

static double pooled(const struct tess_sample *sample, const double *total, int m, int metric,
                     int *reason)
{
    struct tess_pool pool;
    double *x = &pool.n;

    for (int i = 0; i < SUMS_OF_POOL; i++)
        x[i] = sum_of(sample, total, (int64_t)m * SUMS_OF_METHOD + i);
    return tess_pool_score(&pool, metric, reason);
}

static double ratio(const struct tess_sample *sample, const double *total, int64_t sum,
                    int64_t count)
{
    double n = sum_of(sample, total, count);

    return n > 0 ? sum_of(sample, total, sum) / n : NAN;
}

static double score_of(const struct tess_sample *sample, const double *total, int m, int metric,
                       int *reason)
{
    int64_t at = sum_at(m, metric);

    if (metric < TESS_CHANGE)
        return pooled(sample, total, m, metric, reason);
    *reason = TESS_DEFINED;
    return ratio(sample, total, at + SUM, at + COUNT);
}

/* Method 0 less the other one. */
static double difference_of(const struct tess_sample *sample, const double *total, int m,
                            int metric)
{
    int64_t at = sum_at(m, metric);
    int reason;

    if (metric < TESS_CHANGE)
        return pooled(sample, total, 0, metric, &reason) -
               pooled(sample, total, m, metric, &reason);
    return ratio(sample, total, at + DIFFERENCE, at + BOTH);
}

/* As many perturbations as there are, drawn with replacement; each counts as often as it was drawn.
 * Experiments are weighed by their perturbation, as those of one are not independent. A block has
 * all its rows, wanted or not: its shape must not depend on how many are. */
void tess_bootstrap_block(const struct tess_sample *sample, const struct tess_draw *draw,
                          int64_t block, double *out)
{
    int g = tess_int(sample->n_groups), f = tess_int(sample->n_columns), reason;
    double *weight = TESS_NEW(double, (int64_t)TESS_RESAMPLES *g);
    double *total = TESS_NEW(double, (int64_t)TESS_RESAMPLES *f);
    int64_t first = block * TESS_RESAMPLES, n = draw->n_resamples - first;

    n = n < TESS_RESAMPLES ? n : TESS_RESAMPLES;
    for (int64_t b = 0; b < n; b++) {
        struct tess_random stream = tess_random_stream(draw->seed, TESS_RANDOM_BOOTSTRAP,
                                                       draw->stream << 32 | (uint64_t)(first + b));

        for (int64_t i = 0; i < g; i++)
            weight[b * g + tess_random_below(stream, (uint64_t)i, g)] += 1;
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TESS_RESAMPLES, f, g, 1, weight, g,
                sample->column, g, 0, total, f);
    for (int64_t b = 0; b < n; b++)
        for (int m = 0; m < sample->n_methods; m++)
            for (int64_t k = 0; k < sample->n_metrics; k++) {
                int metric = (int)sample->metric[k];

                *out++ = score_of(sample, total + b * f, m, metric, &reason);
                *out++ = m ? difference_of(sample, total + b * f, m, metric) : NAN;
            }
    tess_free(weight);
    tess_free(total);
}

/* Between the two nearest values, linearly (type 7 of Hyndman and Fan 1996; NumPy's default). */
static double percentile(int64_t n, double *x, double share)
{
    double place = share * (double)(n - 1);
    int64_t low = (int64_t)floor(place);
    double below = tess_median_place(n, x, low), above = low + 1 < n ? x[low + 1] : below;

    for (int64_t i = low + 2; i < n; i++)
        above = x[i] < above ? x[i] : above;
    return below + (place - (double)low) * (above - below);
}

struct interval { /* where one score stands in each resample */
    int64_t n, width;
    const double *first;
};

void tess_bootstrap_interval(int64_t n, double *x, int64_t n_groups, struct tess_estimate *estimate)
{
    estimate->low = estimate->high = NAN;
    estimate->no_interval = TESS_DEFINED;
    if (n < 2)
        estimate->no_interval = n_groups < 2 ? TESS_ONE_PERTURBATION : TESS_NO_RESAMPLES;
    else {
        estimate->low = percentile(n, x, 0.025);
        estimate->high = percentile(n, x, 0.975);
    }
}

static void find_interval(const struct interval *of, int64_t n_groups,
                          struct tess_estimate *estimate)
{
    int64_t n = 0;
    double *x;

    estimate->low = estimate->high = NAN;
    estimate->no_interval = estimate->reason;
    if (isnan(estimate->value))
        return;
    x = TESS_NEW(double, of->n);
    for (int64_t b = 0; b < of->n && n_groups > 1; b++)
        if (!isnan(of->first[b * of->width]))
            x[n++] = of->first[b * of->width];
    tess_bootstrap_interval(n, x, n_groups, estimate);
    tess_free(x);
}

/* The reason that most experiments give, of those that have none of the score. */
static int common_reason(const struct tess_tally *tally, int method, int metric)
{
    const int64_t *count = tally->reasons + (method * TESS_METRICS + metric) * TESS_REASONS;
    int best = TESS_NO_EXPERIMENTS;

    for (int r = TESS_DEFINED + 1; r < TESS_REASONS; r++)
        if (count[r] > count[best])
            best = r;
    return best;
}

/* The share of the way from the baseline to a perfect score: of errors 1 - own / base, of scores
 * whose best is 1 (own - base) / (1 - base). */
static struct tess_estimate skill_of(double own, double base, int is_error, int reason)
{
    struct tess_estimate skill = {.value = NAN, .low = NAN, .high = NAN, .reason = reason};

    if (isnan(own) || isnan(base))
        return skill;
    skill.reason = TESS_PERFECT_BASELINE;
    if (is_error ? base == 0 : base == 1)
        return skill;
    skill.reason = TESS_DEFINED;
    skill.value = is_error ? 1 - own / base : (own - base) / (1 - base);
    return skill;
}

struct summary {
    struct tess_outcome *outcome;
    const struct tess_tally *tally;
    const struct tess_sample *sample;
    const double *total; /* (n_columns) of all perturbations */
    int64_t n_resamples;
    const double *resample;
};

/* A mean over experiments is compared over those where both methods have it: base is the other
 * method's mean over them, so that difference + base is method 0's. */
static void summarize(const struct summary *summary, int m, int k, const double *first)
{
    const struct tess_sample *sample = summary->sample;
    const double *total = summary->total;
    struct tess_outcome *outcome = summary->outcome;
    int64_t at = (int64_t)m * TESS_METRICS + k, sum = sum_at(m, k);
    int64_t n = summary->tally->n_experiments;
    int reason, is_pooled = k < TESS_CHANGE;
    struct interval own_of = {first ? summary->n_resamples : 0, tess_sample_width(sample), first};
    struct interval other_of = {own_of.n, own_of.width, first ? first + 1 : NULL};
    struct tess_estimate *own = &outcome->own[at], *difference = &outcome->difference[at];
    double base;

    own->value = score_of(sample, total, m, k, &reason);
    own->n = is_pooled ? n : (int64_t)sum_of(sample, total, sum + COUNT);
    if (isnan(own->value))
        own->reason = is_pooled ? reason : common_reason(summary->tally, m, k);
    find_interval(&own_of, sample->n_groups, own);
    *difference = (struct tess_estimate){.value = NAN, .low = NAN, .high = NAN};
    outcome->skill[at] = *difference;
    if (m == 0)
        return;
    difference->value = difference_of(sample, total, m, k);
    difference->n = is_pooled ? n : (int64_t)sum_of(sample, total, sum + BOTH);
    if (isnan(difference->value))
        difference->reason = own->reason              ? own->reason
                             : outcome->own[k].reason ? outcome->own[k].reason
                                                      : TESS_NO_EXPERIMENTS;
    find_interval(&other_of, sample->n_groups, difference);
    base = is_pooled ? own->value : ratio(sample, total, sum + BASE, sum + BOTH);
    outcome->skill[at] =
        skill_of(difference->value + base, base, tess_metric_is_error(k), difference->reason);
}

void tess_bootstrap_init(struct tess_outcome *outcome, const struct tess_tally *tally,
                         const struct tess_sample *sample, int64_t n_resamples,
                         const double *resample)
{
    int n_methods = tally->n_methods;
    double *total = TESS_NEW(double, sample->n_columns);
    struct summary summary = {outcome, tally, sample, total, n_resamples, resample};
    int64_t size = (int64_t)n_methods * TESS_METRICS;

    for (int64_t c = 0; c < sample->n_columns; c++)
        for (int64_t g = 0; g < sample->n_groups; g++)
            total[c] += sample->column[c * sample->n_groups + g];
    *outcome = (struct tess_outcome){.n_perturbations = sample->n_groups};
    outcome->own = TESS_NEW(struct tess_estimate, size);
    outcome->difference = TESS_NEW(struct tess_estimate, size);
    outcome->skill = TESS_NEW(struct tess_estimate, size);
    for (int m = 0; m < n_methods; m++)
        for (int k = 0, active = 0; k < TESS_METRICS; k++) {
            int has = active < sample->n_metrics && sample->metric[active] == k;

            summarize(&summary, m, k, has ? resample + 2 * (m * sample->n_metrics + active) : NULL);
            active += has;
        }
    tess_free(total);
}

void tess_bootstrap_release(struct tess_outcome *outcome)
{
    tess_free(outcome->own);
    tess_free(outcome->difference);
    tess_free(outcome->skill);
    tess_free(outcome->scaled);
    *outcome = (struct tess_outcome){0};
}
