/* pairs_score.c -- scores of ranks, what they vary by, and what chance gives. */
#include "pairs.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 0 /* none is asked for: the same intervals whenever the same pairs are scored */

const char *const tess_pairs_names[TESS_PAIRS_SCORES] = {
    "recall at 1",   "recall at 5",          "recall at 10",   "recall at 1 %",
    "recall at 5 %", "mean reciprocal rank", "mean percentile"};

/* Adds the scores of one pair, found at `rank` of n candidates. */
static void add(double rank, int64_t n, double weight, double sum[TESS_PAIRS_SCORES])
{
    const double most[] = {1, 5, 10, fmax(1, 0.01 * (double)n), fmax(1, 0.05 * (double)n)};

    for (int s = 0; s < TESS_RECIPROCAL_RANK; s++)
        sum[s] += rank <= most[s] ? weight : 0;
    sum[TESS_RECIPROCAL_RANK] += weight / rank;
    sum[TESS_PERCENTILE] += n > 1 ? weight * (rank - 1) / (double)(n - 1) : 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Where a share of n ascending numbers lies below. */
static double quantile(int64_t n, const double *x, double share)
{
    double at = share * (double)(n - 1);
    int64_t low = (int64_t)at;

    return low + 1 < n ? x[low] + (at - (double)low) * (x[low + 1] - x[low]) : x[n - 1];
}

/* sample (n, scores); NaN if n is 0. */
static void bound(int64_t n, const double *sample, double share, struct tess_pairs_outcome *out)
{
    double *x = TESS_NEW(double, n);

    for (int s = 0; s < TESS_PAIRS_SCORES; s++) {
        for (int64_t i = 0; i < n; i++)
            x[i] = sample[i * TESS_PAIRS_SCORES + s];
        if (n > 0)
            qsort(x, (size_t)n, sizeof *x, compare);
        out->low[s] = n > 0 ? quantile(n, x, (1 - share) / 2) : NAN;
        out->high[s] = n > 0 ? quantile(n, x, (1 + share) / 2) : NAN;
    }
    tess_free(x);
}

static double rank_of(const struct tess_pairs *pairs, const double *rank, int64_t pair,
                      int64_t target)
{
    return rank[pairs->query[pair] * pairs->n_targets + target];
}

/* Sums of scores, less theirs if there are any, and their number of each query that has any: sum
 * (result, scores + 1). */
static int64_t add_up(const struct tess_pairs *pairs, const struct tess_pairs_ranks *ours,
                      const struct tess_pairs_ranks *theirs, double *sum)
{
    int64_t width = TESS_PAIRS_SCORES + 1, n = 0;

    for (int64_t i = 0; i < pairs->n; i++) {
        int64_t q = pairs->query[i], t = pairs->target[i];
        double *one = sum + q * width, r = rank_of(pairs, ours->rank, i, t);
        double other = theirs ? rank_of(pairs, theirs->rank, i, t) : 0;

        if (isnan(r) || isnan(other))
            continue;
        add(r, ours->others[q], 1, one);
        if (theirs)
            add(other, theirs->others[q], -1, one);
        one[TESS_PAIRS_SCORES]++;
    }
    for (int64_t q = 0; q < pairs->n_queries; q++)
        if (sum[q * width + TESS_PAIRS_SCORES] > 0)
            memmove(sum + n++ * width, sum + q * width, (size_t)width * sizeof *sum);
    return n;
}

/* all (scores + 1): sums and how many of them. */
static void mean_of(const double *all, double *out)
{
    for (int s = 0; s < TESS_PAIRS_SCORES; s++)
        out[s] = all[s] / all[TESS_PAIRS_SCORES];
}

void tess_pairs_compare(const struct tess_pairs *pairs, const struct tess_pairs_ranks *ours,
                        const struct tess_pairs_ranks *theirs, int64_t resamples,
                        struct tess_pairs_outcome *out)
{
    int64_t n = pairs->n_queries, width = TESS_PAIRS_SCORES + 1;
    double *sum = TESS_NEW(double, n *width), *sample = TESS_NEW(double, resamples *width);
    double total[TESS_PAIRS_SCORES + 1] = {0};

    *out = (struct tess_pairs_outcome){{0}, {0}, {0}};
    n = add_up(pairs, ours, theirs, sum);
    for (int64_t i = 0; i < n; i++)
        for (int64_t s = 0; s < width; s++)
            total[s] += sum[i * width + s];
    mean_of(total, out->value);
    for (int64_t b = 0; b < resamples; b++) {
        struct tess_random stream = tess_random_stream(SEED, TESS_RANDOM_BOOTSTRAP, (uint64_t)b);
        double all[TESS_PAIRS_SCORES + 1] = {0};

        for (int64_t i = 0; i < n; i++) {
            const double *one = sum + tess_random_below(stream, (uint64_t)i, n) * width;

            for (int64_t s = 0; s < width; s++)
                all[s] += one[s];
        }
        mean_of(all, sample + b * TESS_PAIRS_SCORES);
    }
    bound(resamples, sample, 0.95, out);
    tess_free(sum);
    tess_free(sample);
}

void tess_pairs_score(const struct tess_pairs *pairs, const double *rank, const int64_t *others,
                      int64_t resamples, struct tess_pairs_outcome *out)
{
    tess_pairs_compare(pairs, &(struct tess_pairs_ranks){rank, others}, NULL, resamples, out);
}

/* A pair that a permutation makes of a perturbation and itself has no rank and is left out, and a
 * permutation that leaves none at all. */
void tess_pairs_permute(const struct tess_pairs *pairs, const double *rank, const int64_t *others,
                        int64_t permutations, struct tess_pairs_outcome *out)
{
    int64_t *order = TESS_NEW(int64_t, pairs->n), n_good = 0;
    double *sample = TESS_NEW(double, permutations *TESS_PAIRS_SCORES);

    *out = (struct tess_pairs_outcome){{0}, {0}, {0}};
    for (int64_t b = 0; b < permutations; b++) {
        double all[TESS_PAIRS_SCORES + 1] = {0};

        memcpy(order, pairs->target, (size_t)pairs->n * sizeof *order);
        tess_random_permute(
            tess_random_stream(SEED, TESS_RANDOM_BOOTSTRAP, 1ULL << 32 | (uint64_t)b), pairs->n,
            order);
        for (int64_t i = 0; i < pairs->n; i++) {
            double r = rank_of(pairs, rank, i, order[i]);

            if (!isnan(r))
                add(r, others[pairs->query[i]], 1, all);
            all[TESS_PAIRS_SCORES] += !isnan(r);
        }
        if (all[TESS_PAIRS_SCORES] > 0)
            mean_of(all, sample + n_good++ * TESS_PAIRS_SCORES);
    }
    for (int s = 0; s < TESS_PAIRS_SCORES; s++) {
        for (int64_t b = 0; b < n_good; b++)
            out->value[s] += sample[b * TESS_PAIRS_SCORES + s];
        out->value[s] /= (double)n_good; /* NaN if there is none */
    }
    bound(n_good, sample, 0.99, out);
    tess_free(order);
    tess_free(sample);
}
