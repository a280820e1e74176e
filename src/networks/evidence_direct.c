/* evidence_direct.c -- effects that are no paths, on targets that few others move, by regulators
 * that do much.
 *
 * Total effects relative to the regulator's own, T, are products along a path: what k does to j,
 * times what i does to k. Most are noise and vanish, so that T is sparse: every rank has the lists
 * of all columns that are regulators (path pruning after Pinna 2010). */
#include "evidence.h"

#include "lists.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

#define FEW 10 /* regulators with both perturbations, of which a line can be drawn */

/* List k: what every regulator does to regulator k. Collective. */
static void list_columns(const struct tess_evidence *evidence, struct tess_lists *lists)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n;

    tess_lists_init(lists, m);
    for (int64_t k = 0; k < m; k++) {
        int64_t j = effects->column[k] - effects->first;

        for (int64_t i = 0; effects->column[k] >= 0 && j >= 0 && j < effects->n && i < m; i++) {
            double t = tess_evidence_relative(evidence, i, j);

            if (t != 0)
                tess_lists_add(lists, k, i, t);
        }
    }
    tess_lists_share(lists, effects->comm);
}

/* The strongest path i -> k -> j so far, for all i of list k. */
static void step_through(const struct tess_evidence *evidence, const struct tess_lists *lists,
                         int64_t k, int64_t n_moved, const struct tess_entry *moved)
{
    for (int64_t at = lists->first[k]; at < lists->first[k + 1]; at++) {
        double *path = evidence->s + lists->entry[at].row * evidence->effects->n;

        for (int64_t c = 0; c < n_moved; c++) {
            double step = lists->entry[at].value * moved[c].value;

            if (fabs(step) > fabs(path[moved[c].row]))
                path[moved[c].row] = step;
        }
    }
}

static void find_paths(const struct tess_evidence *evidence, const struct tess_lists *lists)
{
    int64_t n = evidence->effects->n;
    struct tess_entry *moved = TESS_NEW(struct tess_entry, n);

    for (int64_t k = 0; k < lists->m; k++) {
        int64_t n_moved = 0;

        if (lists->first[k] == lists->first[k + 1])
            continue;
        for (int64_t j = 0; j < n; j++) {
            double t = tess_evidence_relative(evidence, k, j);

            if (t != 0)
                moved[n_moved++] = (struct tess_entry){t, j};
        }
        step_through(evidence, lists, k, n_moved, moved);
    }
    tess_free(moved);
}

/* What remains without the path, never more than there was. */
static void take_off(struct tess_evidence *evidence)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n, n = effects->n;

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double z = evidence->z[i * n + j],
                   p = -evidence->s[i * n + j] * tess_effects_own(effects, i, j);

            evidence->s[i * n + j] =
                tess_effects_known(effects, i, j) ? fmin(fabs(z), fabs(z - p)) : 0;
        }
}

static void compete(struct tess_evidence *evidence)
{
    int64_t m = (int64_t)evidence->effects->regulator.n, n = evidence->effects->n;
    double *crowding = evidence->crowding;

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double d = evidence->s[i * n + j];

            crowding[j] += d > evidence->survives ? d * d * d : 0;
        }
    for (int64_t j = 0; j < n; j++)
        crowding[j] = pow(1 + 0.003 * crowding[j], 1.0 / 3);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            evidence->s[i * n + j] /= crowding[j];
}

/* ---- hubs ---- */

/* out[i] = log(1 + the number of effects that are clear in regulator i's knock-down alone, each by
 * how likely it is clear); NaN of one that has none. Collective. */
static void find_hubs_by_knockdown(const struct tess_evidence *evidence, double *out)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n, *sum = TESS_NEW(int64_t, m);
    const double one = 1 << 20, half = evidence->survives * evidence->survives / 2;

    for (int64_t i = 0; i < m; i++) {
        int64_t at = effects->row[TESS_KNOCKDOWN][i] * effects->n;

        for (int64_t j = 0; at >= 0 && j < effects->n; j++) {
            double z = effects->value[at + j];

            if (effects->measured[at + j])
                sum[i] += llround(one * tess_evidence_sigmoid(z * z / 2 - half));
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, sum, tess_int(m), MPI_INT64_T, MPI_SUM, effects->comm);
    for (int64_t i = 0; i < m; i++)
        out[i] = effects->row[TESS_KNOCKDOWN][i] < 0 ? NAN : log1p((double)sum[i] / one);
    tess_free(sum);
}

/* Knock-downs are weaker, and show fewer effects than there are: of a regulator that has nothing
 * else H is the one to be expected, by the line through those that have both. Collective. */
static void expect_hubs(struct tess_evidence *evidence)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n, n = 0;
    double *x = TESS_NEW(double, m), mean_x = 0, mean_y = 0, above = 0, below = 0, slope;

    find_hubs_by_knockdown(evidence, x);
    for (int64_t i = 0; i < m; i++)
        if (effects->row[TESS_KNOCKOUT][i] >= 0 && !isnan(x[i])) {
            mean_x += x[i];
            mean_y += evidence->hub[i];
            n++;
        }
    mean_x /= (double)n;
    mean_y /= (double)n;
    for (int64_t i = 0; i < m; i++)
        if (effects->row[TESS_KNOCKOUT][i] >= 0 && !isnan(x[i])) {
            above += (x[i] - mean_x) * (evidence->hub[i] - mean_y);
            below += (x[i] - mean_x) * (x[i] - mean_x);
        }
    slope = below > 0 ? fmax(above / below, 0) : 0;
    for (int64_t i = 0; n >= FEW && i < m; i++)
        if (effects->row[TESS_KNOCKOUT][i] < 0 && !isnan(x[i]))
            evidence->hub[i] = fmax(mean_y + slope * (x[i] - mean_x), 0);
    tess_free(x);
}

/* Whole numbers are added, so that their order is nothing. Collective. */
static void find_hubs(struct tess_evidence *evidence)
{
    int64_t m = (int64_t)evidence->effects->regulator.n, n = evidence->effects->n;
    int64_t *count = TESS_NEW(int64_t, m);

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            count[i] += evidence->s[i * n + j] > evidence->survives;
    MPI_Allreduce(MPI_IN_PLACE, count, tess_int(m), MPI_INT64_T, MPI_SUM, evidence->effects->comm);
    for (int64_t i = 0; i < m; i++)
        evidence->hub[i] = log1p((double)count[i]);
    tess_free(count);
}

int tess_evidence_direct(struct tess_evidence *evidence, struct tess_error *error)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n;
    struct tess_lists lists;

    evidence->s =
        tess_alloc_large((size_t)(m * effects->n), sizeof(double), "direct effects", error);
    if (tess_agree(effects->comm, error) != TESS_OK)
        return error->code;
    evidence->crowding = TESS_NEW(double, effects->n);
    evidence->hub = TESS_NEW(double, m);
    list_columns(evidence, &lists);
    find_paths(evidence, &lists);
    tess_lists_release(&lists);
    take_off(evidence);
    compete(evidence);
    find_hubs(evidence);
    expect_hubs(evidence);
    return error->code;
}
