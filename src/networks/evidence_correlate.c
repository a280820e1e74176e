/* evidence_correlate.c -- correlation of every regulator's readout with every target over all
 * rows. A tile of columns goes to all ranks at a time; products have shapes that follow from the
 * tiles alone, so that the bits do not depend on the ranks. */
#include "evidence.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define EXTREME 5 /* effects beyond so many units count as that */

struct work {
    struct tess_evidence *evidence;
    const int64_t *regulator; /* (t) the regulator that a target is, or -1 */
    double *mean, *scale; /* (n) of this rank's columns */
    double *other, *mine; /* (n_rows, tile) columns of mean 0 and length 1 */
    double *product; /* (tile, tile) */
};

VECTORISED static void bounded(int64_t n, const double *z, const double *mean, const double *scale,
                               double *out)
{
    for (int64_t j = 0; j < n; j++) {
        double x = z[j] < -EXTREME ? -EXTREME : z[j];

        x = x > EXTREME ? EXTREME : x;
        out[j] = (x - mean[j]) * scale[j];
    }
}

/* Mean of each of this rank's columns, and one over the length of what is left without it; 0 of a
 * constant one. */
static void measure(struct work *work)
{
    const struct tess_effects *effects = work->evidence->effects;
    int64_t n = effects->n;
    double *x = TESS_NEW(double, n), *zero = TESS_NEW(double, n), *one = TESS_NEW(double, n);

    for (int64_t j = 0; j < n; j++)
        one[j] = 1;
    for (int64_t r = 0; r < effects->n_rows; r++) {
        bounded(n, effects->value + r * n, zero, one, x);
        for (int64_t j = 0; j < n; j++)
            work->mean[j] += x[j] / (double)effects->n_rows;
    }
    for (int64_t r = 0; r < effects->n_rows; r++) {
        bounded(n, effects->value + r * n, work->mean, one, x);
        for (int64_t j = 0; j < n; j++)
            work->scale[j] += x[j] * x[j];
    }
    for (int64_t j = 0; j < n; j++)
        work->scale[j] = work->scale[j] > 0 ? 1 / sqrt(work->scale[j]) : 0;
    tess_free(x);
    tess_free(zero);
    tess_free(one);
}

/* Columns [first, first + width) of this rank's: mean 0, length 1. */
static void normalise(const struct work *work, int64_t first, int64_t width, double *out)
{
    const struct tess_effects *effects = work->evidence->effects;

    for (int64_t r = 0; r < effects->n_rows; r++)
        bounded(width, effects->value + r * effects->n + first, work->mean + first,
                work->scale + first, out + r * width);
}

static int64_t width_at(const struct tess_effects *effects, int64_t target)
{
    int64_t rest = (int64_t)effects->target.n - target;

    return rest < effects->tile ? rest : effects->tile;
}

/* The tile of all that begins with target `at` against this rank's own ones. */
static void multiply(struct work *work, int64_t at, int64_t width)
{
    const struct tess_effects *effects = work->evidence->effects;

    for (int64_t j = 0; j < effects->n; j += effects->tile) {
        int64_t own = width_at(effects, effects->first + j);

        normalise(work, j, own, work->mine);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, tess_int(width), tess_int(own),
                    tess_int(effects->n_rows), 1, work->other, tess_int(width), work->mine,
                    tess_int(own), 0, work->product, tess_int(own));
        for (int64_t k = 0; k < width; k++)
            if (work->regulator[at + k] >= 0)
                memcpy(work->evidence->c + work->regulator[at + k] * effects->n + j,
                       work->product + k * own, (size_t)own * sizeof(double));
    }
}

static int has_regulator(const struct work *work, int64_t at, int64_t width)
{
    for (int64_t k = 0; k < width; k++)
        if (work->regulator[at + k] >= 0)
            return 1;
    return 0;
}

static void correlate(struct work *work)
{
    const struct tess_effects *effects = work->evidence->effects;

    for (int64_t at = 0; at < (int64_t)effects->target.n; at += effects->tile) {
        int64_t width = width_at(effects, at);
        int owner = tess_effects_owner(effects, at);

        if (!has_regulator(work, at, width))
            continue;
        if (owner == effects->rank)
            normalise(work, at - effects->first, width, work->other);
        for (int64_t r = 0; r < effects->n_rows; r += 1 << 16) {
            int64_t rest = effects->n_rows - r, rows = rest < 1 << 16 ? rest : 1 << 16;

            MPI_Bcast(work->other + r * width, tess_int(rows * width), MPI_DOUBLE, owner,
                      effects->comm);
        }
        multiply(work, at, width);
    }
}

int tess_evidence_correlate(struct tess_evidence *evidence, struct tess_error *error)
{
    const struct tess_effects *effects = evidence->effects;
    size_t m = effects->regulator.n, t = effects->target.n,
           strip = (size_t)(effects->n_rows * effects->tile);
    int64_t *regulator = TESS_NEW(int64_t, t);
    struct work work = {.evidence = evidence, .regulator = regulator};

    for (size_t j = 0; j < t; j++)
        regulator[j] = -1;
    for (size_t i = 0; i < m; i++)
        if (effects->column[i] >= 0)
            regulator[effects->column[i]] = (int64_t)i;
    evidence->c = tess_alloc_large(m * (size_t)effects->n, sizeof(double), "correlations", error);
    work.other = tess_alloc_large(strip, sizeof(double), "a tile of effects", error);
    work.mine = tess_alloc_large(strip, sizeof(double), "a tile of effects", error);
    work.product = TESS_NEW(double, effects->tile * effects->tile);
    work.mean = TESS_NEW(double, effects->n);
    work.scale = TESS_NEW(double, effects->n);
    if (tess_agree(effects->comm, error) == TESS_OK) {
        measure(&work);
        correlate(&work);
    }
    tess_free(work.mean);
    tess_free(work.scale);
    tess_free(regulator);
    tess_free(work.other);
    tess_free(work.mine);
    tess_free(work.product);
    return error->code;
}
