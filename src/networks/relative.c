/* relative.c -- there and back: a knock-out lowers its gene by `own` units of noise, so that an
 * effect z is -z / own of that. */
#include "relative.h"

#include "tessera/median.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/inverse.h"

#include <math.h>

#define HEAVIEST 10

static struct tess_totals totals_of(const struct tess_evidence *evidence, const char *path)
{
    const struct tess_effects *effects = evidence->effects;

    return (struct tess_totals){
        .comm = effects->comm,
        .path = path,
        .m = (int64_t)effects->regulator.n,
        .t = (int64_t)effects->target.n,
        .first = effects->first,
        .n = effects->n,
        .column = effects->column,
        .value = evidence->z,
    };
}

/* Effects of fewer units than `least` are none. */
static void divide_by_own(const struct tess_totals *totals, const struct tess_effects *effects,
                          double least)
{
    for (int64_t i = 0; i < totals->m; i++)
        for (int64_t j = 0; j < totals->n; j++) {
            double *z = &totals->value[i * totals->n + j];

            *z = fabs(*z) < least ? 0 : fmin(fmax(-*z / tess_effects_own(effects, i, j), -1), 1);
        }
}

static void multiply_by_own(const struct tess_totals *totals, const struct tess_effects *effects)
{
    for (int64_t i = 0; i < totals->m; i++)
        for (int64_t j = 0; j < totals->n; j++)
            totals->value[i * totals->n + j] *= -tess_effects_own(effects, i, j);
}

int tess_relative_direct(struct tess_evidence *evidence, const char *path, struct tess_error *error)
{
    struct tess_totals totals = totals_of(evidence, path);

    divide_by_own(&totals, evidence->effects, evidence->survives);
    if (tess_inverse_direct(&totals, error) == TESS_OK)
        multiply_by_own(&totals, evidence->effects);
    return error->code;
}

/* 1 over the squared standard error of what is -z / own, in units of the median of all regulators;
 * at most HEAVIEST of those. */
static void weigh(const struct tess_evidence *evidence, double *weight)
{
    const struct tess_effects *effects = evidence->effects;
    size_t m = effects->regulator.n;
    double *own = TESS_NEW(double, m), middle;

    for (size_t i = 0; i < m; i++)
        own[i] = effects->own[i] * effects->own[i];
    middle = tess_median((int64_t)m, own);
    for (size_t i = 0; i < m; i++)
        for (int64_t j = 0; j < effects->n; j++) {
            double own_j = tess_effects_own(effects, (int64_t)i, j), w = own_j * own_j / middle;

            weight[(int64_t)i * effects->n + j] =
                tess_effects_known(effects, (int64_t)i, j) ? fmin(w, HEAVIEST) : 0;
        }
    tess_free(own);
}

int tess_relative_sparse(struct tess_evidence *evidence, const char *path, struct tess_error *error)
{
    struct tess_totals totals = totals_of(evidence, path);
    double *weight =
        tess_alloc_large((size_t)(totals.m * totals.n), sizeof *weight, "weights", error);

    if (tess_agree(totals.comm, error) == TESS_OK) {
        weigh(evidence, weight);
        divide_by_own(&totals, evidence->effects, 0);
        if (tess_inverse_sparse(&totals, weight, error) == TESS_OK)
            multiply_by_own(&totals, evidence->effects);
    }
    tess_free(weight);
    return error->code;
}

/* Every readout is a regulator. */
static void name_regulators(struct tess_effects *effects)
{
    tess_strings_release(&effects->regulator);
    tess_free(effects->column);
    effects->column = TESS_NEW(int64_t, effects->target.n);
    for (size_t j = 0; j < effects->target.n; j++) {
        tess_strings_add(&effects->regulator, effects->target.item[j]);
        effects->column[j] = (int64_t)j;
    }
}

int tess_relative_partial(struct tess_evidence *evidence, struct tess_effects *effects,
                          const char *path, struct tess_error *error)
{
    const struct tess_samples samples = {.comm = effects->comm,
                                         .path = path,
                                         .n_rows = effects->n_rows,
                                         .t = (int64_t)effects->target.n,
                                         .first = effects->first,
                                         .n = effects->n,
                                         .value = effects->value,
                                         .measured = effects->measured};

    evidence->effects = effects;
    name_regulators(effects);
    evidence->c = tess_alloc_large((size_t)(samples.t * samples.n), sizeof(double),
                                   "partial correlations", error);
    if (tess_agree(effects->comm, error) == TESS_OK)
        tess_inverse_partial(&samples, evidence->c, error);
    return error->code;
}
