/* samples.c -- distances between distributions and rank sums, by sorted values.
 *
 * With F the control's cumulative distribution and G the sample's, the distance is the integral of
 * |F - G|. Between neighbouring values of the sample G is constant and F crosses it once at most;
 * the integral of F up to x is (x · #below x - sum below x) / n, which prefix sums give. */
#include "samples.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;

    return (a > b) - (a < b);
}

/* Ascending, without NaN; how many are left. Most values of single cells are 0 and need no sorting.
 */
static int64_t tidy(int64_t n, float *value)
{
    int64_t others = 0, zeros = 0, negative = 0;

    for (int64_t i = 0; i < n; i++) {
        zeros += value[i] == 0;
        if (value[i] != 0 && !isnan(value[i]))
            value[others++] = value[i];
    }
    if (others > 0)
        qsort(value, (size_t)others, sizeof *value, ascending);
    while (negative < others && value[negative] < 0)
        negative++;
    if (zeros > 0)
        memmove(value + negative + zeros, value + negative,
                (size_t)(others - negative) * sizeof *value);
    for (int64_t i = 0; i < zeros; i++)
        value[negative + i] = 0;
    return others + zeros;
}

static int64_t run_of(const float *value, int64_t from, int64_t n)
{
    int64_t end = from + 1;

    while (end < n && value[end] <= value[from])
        end++;
    return end - from;
}

static double cubes(int64_t n)
{
    return (double)n * (double)n * (double)n - (double)n;
}

void tess_reference_take(struct tess_reference *reference, int64_t n, float *value)
{
    struct tess_reference *r = reference;
    size_t runs = 0;

    r->n = tidy(n, value);
    r->ties = 0;
    for (int64_t i = 0; i < r->n; i += run_of(value, i, r->n))
        runs++;
    r->value = tess_grow(r->value, &r->room[0], runs + 1, sizeof *r->value);
    r->below = tess_grow(r->below, &r->room[1], runs + 1, sizeof *r->below);
    r->sum_below = tess_grow(r->sum_below, &r->room[2], runs + 1, sizeof *r->sum_below);
    r->n_runs = (int64_t)runs;
    r->below[0] = 0;
    r->sum_below[0] = 0;
    for (int64_t k = 0; k < r->n_runs; k++) {
        int64_t at = r->below[k], count = run_of(value, at, r->n);

        r->value[k] = (double)value[at];
        r->below[k + 1] = at + count;
        r->sum_below[k + 1] = r->sum_below[k] + (double)count * r->value[k];
        r->ties += cubes(count);
    }
}

/* The first run whose value is at least x. */
static int64_t find(const struct tess_reference *r, double x)
{
    int64_t low = 0, high = r->n_runs;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (r->value[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of F from minus infinity up to x. */
static double integral(const struct tess_reference *r, double x)
{
    int64_t k = find(r, x);

    return ((double)r->below[k] * x - r->sum_below[k]) / (double)r->n;
}

/* The least value at which F reaches part / whole (0 < part < whole). */
static double quantile(const struct tess_reference *r, int64_t part, int64_t whole)
{
    int64_t low = 0, high = r->n_runs - 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (r->below[middle + 1] * whole < part * r->n)
            low = middle + 1;
        else
            high = middle;
    }
    return r->value[low];
}

/* Of |F - part / whole| from a to b. */
static double between(const struct tess_reference *r, double a, double b, int64_t part,
                      int64_t whole)
{
    double g = (double)part / (double)whole, at = fmin(fmax(quantile(r, part, whole), a), b);
    double middle = integral(r, at);

    return g * (at - a) - (middle - integral(r, a)) + integral(r, b) - middle - g * (b - at);
}

/* SciPy's: the larger of both U, less the mean, less a half, over the deviation. */
static double rank_test(double n, double k, double u, double ties)
{
    double both = n + k, mean = n * k / 2;
    double variance = n * k / 12 * (both + 1 - ties / (both * (both - 1)));
    double z = (fmax(u, n * k - u) - mean - 0.5) / sqrt(fmax(variance, 0));

    return fmin(erfc(z / sqrt(2)), 1);
}

int tess_reference_compare(const struct tess_reference *reference, int64_t n, float *value,
                           struct tess_comparison *out)
{
    const struct tess_reference *r = reference;
    double mean = 0, u = 0, ties = r->ties, x = 0, distance = 0;

    *out = (struct tess_comparison){NAN, NAN, NAN};
    n = tidy(n, value);
    if (n < TESS_SAMPLES_LEAST || r->n < TESS_SAMPLES_LEAST)
        return 0;
    for (int64_t i = 0, count; i < n; i += count) {
        double before = x;
        int64_t k, equal;

        x = (double)value[i];
        count = run_of(value, i, n);
        k = find(r, x);
        equal = k < r->n_runs && r->value[k] <= x ? r->below[k + 1] - r->below[k] : 0;
        mean += (double)count * x / (double)n;
        u += (double)count * ((double)r->below[k] + (double)equal / 2);
        ties += cubes(equal + count) - cubes(equal);
        distance += i == 0 ? integral(r, x) : between(r, before, x, i, n);
    }
    /* beyond the last value: of 1 - F */
    distance += r->sum_below[r->n_runs] / (double)r->n - x + integral(r, x);
    *out =
        (struct tess_comparison){fmax(distance, 0), mean - r->sum_below[r->n_runs] / (double)r->n,
                                 rank_test((double)r->n, (double)n, u, ties)};
    return 1;
}

double tess_reference_bytes(int64_t n)
{
    return 2 * (double)n * (2 * sizeof(double) + sizeof(int64_t)); /* lists that have grown */
}

void tess_reference_release(struct tess_reference *reference)
{
    tess_free(reference->value);
    tess_free(reference->below);
    tess_free(reference->sum_below);
    *reference = (struct tess_reference){.n = 0};
}
