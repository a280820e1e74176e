/* evidence.c -- effects of a regulator's perturbations, put together. */
#include "evidence.h"

#include "lists.h"
#include "tessera/median.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

#define LEAST 1e-3 /* of a relative effect */

double tess_evidence_sigmoid(double x)
{
    return 1 / (1 + exp(-fmin(fmax(x, -50), 50)));
}

static double real_effect(const struct tess_evidence *evidence, double z)
{
    return tess_evidence_sigmoid(z * z / 2 - evidence->real * evidence->real / 2);
}

double tess_evidence_cause(const struct tess_evidence *evidence, double z)
{
    return z * real_effect(evidence, z);
}

double tess_evidence_relative(const struct tess_evidence *evidence, int64_t i, int64_t j)
{
    double z = evidence->z[i * evidence->effects->n + j];
    double t = -real_effect(evidence, z) * z / tess_effects_own(evidence->effects, i, j);

    t = fmin(fmax(t, -1), 1);
    return fabs(t) < LEAST ? 0 : t;
}

/* By inverse variance; a place that was measured once takes that. What is completed comes on top.
 */
static void combine_row(struct tess_evidence *evidence, int64_t i)
{
    const struct tess_effects *effects = evidence->effects;
    const double b = effects->weight;
    int64_t n = effects->n, out = effects->row[TESS_KNOCKOUT][i],
            down = effects->row[TESS_KNOCKDOWN][i];

    for (int64_t j = 0; j < n; j++) {
        int has_out = out >= 0 && effects->measured[out * n + j];
        int has_down = down >= 0 && effects->measured[down * n + j];
        double k = has_out ? effects->value[out * n + j] : 0;
        double d = has_down ? effects->value[down * n + j] : 0;

        double added = tess_effects_added(effects, i, j);

        evidence->z[i * n + j] = (has_out && has_down ? (k + b * d) / sqrt(1 + b * b) : k + d) +
                                 (isnan(added) ? 0 : added);
    }
}

int tess_evidence_combine(struct tess_evidence *evidence, const struct tess_effects *effects,
                          struct tess_error *error)
{
    int64_t m = (int64_t)effects->regulator.n, t = (int64_t)effects->target.n;
    double larger = (double)(m > t ? m : t);

    evidence->effects = effects;
    evidence->real = tess_median_upper(0.135 / larger);
    evidence->survives = tess_median_upper(0.62 / larger);
    evidence->rare = 0.105 - log(larger);
    evidence->z =
        tess_alloc_large((size_t)(m * effects->n), sizeof(double), "combined effects", error);
    if (tess_agree(effects->comm, error) == TESS_OK)
        for (int64_t i = 0; i < m; i++)
            combine_row(evidence, i);
    return error->code;
}

/* A regulator's own perturbations are causes whatever they are: counted besides, twice at most. */
double tess_evidence_list_bytes(const struct tess_evidence *evidence, double cutoff)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t n[2] = {0}, m = (int64_t)effects->regulator.n;

    for (int64_t k = 0; k < m; k++) {
        int64_t j = effects->column[k] - effects->first;

        if (effects->column[k] < 0 || j < 0 || j >= effects->n)
            continue;
        for (int64_t r = 0; r < effects->n_rows; r++) {
            double x = tess_evidence_cause(evidence, effects->value[r * effects->n + j]);

            n[0] += x != 0 && fabs(x) >= cutoff;
        }
        for (int64_t i = 0; i < m; i++)
            n[1] += tess_evidence_relative(evidence, i, j) != 0;
    }
    MPI_Allreduce(MPI_IN_PLACE, n, 2, MPI_INT64_T, MPI_SUM, effects->comm);
    n[0] += effects->n_rows;
    return 2 * sizeof(struct tess_entry) * (double)(n[0] > n[1] ? n[0] : n[1]);
}

void tess_evidence_release(struct tess_evidence *evidence)
{
    tess_free(evidence->z);
    tess_free(evidence->s);
    tess_free(evidence->c);
    tess_free(evidence->l);
    tess_free(evidence->crowding);
    tess_free(evidence->hub);
    *evidence = (struct tess_evidence){.z = NULL};
}
