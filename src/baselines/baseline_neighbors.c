/* baseline_neighbors.c -- the nearest by a sorted list of the best so far. */
#include "baseline_neighbors.h"

#include "tessera/alloc.h"

#include <math.h>
#include <string.h>

#define TRIED 1000 /* left out, at most: enough to tell numbers of neighbours apart */

static const int64_t choices[] = {1, 2, 3, 5, 8, 12, 20, 30};
enum { CHOICES = sizeof choices / sizeof choices[0], MOST = 30 };

int64_t tess_neighbors_find(const struct tess_neighbors *of, const double *x, int64_t own,
                            int64_t m, int64_t *nearest)
{
    double *distance = TESS_NEW(double, m);
    int64_t found = 0;

    for (int64_t i = 0; i < of->n; i++) {
        double d = 0;
        int64_t at = found;

        for (int64_t j = 0; j < of->axes; j++)
            d += (of->x[i * of->axes + j] - x[j]) * (of->x[i * of->axes + j] - x[j]);
        if (i == own || (found == m && !(d < distance[m - 1])))
            continue;
        found += found < m;
        for (at = found - 1; at > 0 && d < distance[at - 1]; at--) {
            distance[at] = distance[at - 1];
            nearest[at] = nearest[at - 1];
        }
        distance[at] = d;
        nearest[at] = i;
    }
    tess_free(distance);
    return found;
}

/* Squared errors of row i, left out, with each number of neighbours, are added. */
static void try_row(const struct tess_neighbors *of, int64_t i, double *sum, double *error)
{
    int64_t nearest[MOST], n, at = 0;

    n = tess_neighbors_find(of, of->x + i * of->axes, i, MOST, nearest);
    memset(sum, 0, (size_t)of->k * sizeof *sum);
    for (int c = 0; c < CHOICES; c++) {
        int64_t m = choices[c] < n ? choices[c] : n;

        for (; at < m; at++)
            for (int64_t f = 0; f < of->k; f++)
                sum[f] += of->z[nearest[at] * of->k + f];
        for (int64_t f = 0; f < of->k; f++) {
            double e = of->z[i * of->k + f] - sum[f] / (double)m;

            error[c] += e * e;
        }
    }
}

int64_t tess_neighbors_choose(const struct tess_neighbors *of)
{
    double error[CHOICES] = {0}, *sum = TESS_NEW(double, of->k);
    int64_t stride = 1 + (of->n - 1) / TRIED;
    int best = 0;

    for (int64_t i = 0; i < of->n; i += stride)
        try_row(of, i, sum, error);
    for (int c = 1; c < CHOICES; c++)
        if (error[c] < error[best])
            best = c;
    tess_free(sum);
    return choices[best];
}

int tess_features_of(const struct tess_features *features, const struct tess_profiles *profiles,
                     struct tess_featured of, double *x)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t axes = features->k, first, n;

    memset(x, 0, (size_t)axes * sizeof *x);
    if (of.combination < 0) {
        const float *named = of.symbol ? tess_features_named(features, of.symbol) : NULL;

        for (int64_t j = 0; named && j < axes; j++)
            x[j] = (double)named[j];
        return named != NULL;
    }
    first = index->combination_first[of.combination];
    n = index->combination_first[of.combination + 1] - first;
    for (int64_t i = 0; i < n; i++) {
        int64_t symbol = index->combination_member[first + i];

        if (!tess_features_has(features, symbol))
            return 0;
        for (int64_t j = 0; j < axes; j++)
            x[j] += (double)features->value[symbol * axes + j] / (double)n;
    }
    return 1;
}
