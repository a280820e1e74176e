/* median.c -- medians by selection; the upper quantile of a normal distribution. */
#include "tessera/median.h"

#include <math.h>

static void swap(double *a, double *b)
{
    double kept = *a;

    *a = *b;
    *b = kept;
}

/* Hoare's selection. */
double tess_median_place(int64_t n, double *x, int64_t k)
{
    int64_t low = 0, high = n - 1;

    while (low < high) {
        double pivot = x[low + (high - low) / 2];
        int64_t i = low, j = high;

        while (i <= j) {
            for (; x[i] < pivot; i++) {
            }
            for (; x[j] > pivot; j--) {
            }
            if (i <= j)
                swap(&x[i++], &x[j--]);
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return x[k];
}

double tess_median(int64_t n, double *x)
{
    double below;

    if (n == 0)
        return NAN;
    tess_median_place(n, x, n / 2);
    if (n % 2)
        return x[n / 2];
    below = x[0];
    for (int64_t i = 1; i < n / 2; i++)
        below = x[i] > below ? x[i] : below;
    return (below + x[n / 2]) / 2;
}

/* Newton's steps on the logarithm of the tail, which is nearly a parabola: they converge from
 * anywhere on the right side. */
double tess_median_upper(double tail)
{
    double z, p = tail < 0.5 ? tail : 1 - tail;

    z = sqrt(-2 * log(p));
    for (int step = 0; step < 60; step++) {
        double q = 0.5 * erfc(z / sqrt(2)), density = exp(-z * z / 2) / sqrt(2 * acos(-1));
        double change = log(q / p) * q / density;

        z += change;
        if (fabs(change) < 1e-15 * (1 + fabs(z)))
            break;
    }
    return tail < 0.5 ? z : -z;
}
