/* evidence_refit.c -- every target regressed on all regulators, each either without effect (spike)
 * or with one of some size (slab): how likely each is, all others given.
 *
 * Sweeps go through the regulators one after the other, busiest first: all at once diverges.
 * Targets are apart but for the end of the sweeps, which is the same for all. What a regulator
 * causes is a sparse list of rows: its own perturbations, and those of others that move it. */
#include "evidence.h"

#include "lists.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/vectorised.h"

#include <math.h>
#include <stdlib.h>

#define SLAB_VARIANCE  (0.25 * 0.25) /* of a relative effect that is there */
#define NOISE_VARIANCE (1.5 * 1.5) /* of what is left of z */
#define SWEEPS         10
#define SETTLED        1e-3 /* no probability moves by more: the end */

struct refit {
    struct tess_evidence *evidence;
    struct tess_lists cause; /* of each regulator: rows and how far it is moved there */
    double *left; /* (n_rows, n) z less what is explained; the effects' own array */
    double *squares; /* (m, n) sum of squared causes where the target was measured; own */
    double *beta; /* (m, n) the effect expected; own */
    int64_t *order; /* (m) own */
};

/* ---- causes ---- */

static void list_causes_of(struct refit *refit, int64_t k, double cutoff)
{
    const struct tess_effects *effects = refit->evidence->effects;
    int64_t out = effects->row[TESS_KNOCKOUT][k], down = effects->row[TESS_KNOCKDOWN][k];
    int64_t j = effects->column[k] - effects->first;

    for (int64_t r = 0; r < effects->n_rows; r++) {
        double z = effects->column[k] >= 0 ? effects->value[r * effects->n + j] : 0;
        double x = r == out    ? -effects->own[k]
                   : r == down ? -effects->weight * effects->own[k]
                               : z * tess_evidence_real(refit->evidence, z);

        if (x != 0 && (fabs(x) >= cutoff || r == out || r == down))
            tess_lists_add(&refit->cause, k, r, x);
    }
}

/* Who has the regulator's own readout makes its list; rank 0 that of one that is not read out. */
static void list_causes(struct refit *refit, double cutoff)
{
    const struct tess_effects *effects = refit->evidence->effects;
    int64_t m = (int64_t)effects->regulator.n;

    tess_lists_init(&refit->cause, m);
    for (int64_t k = 0; k < m; k++) {
        int64_t j = effects->column[k] - effects->first;
        int mine = effects->column[k] < 0 ? effects->rank == 0 : j >= 0 && j < effects->n;

        if (mine)
            list_causes_of(refit, k, cutoff);
    }
    tess_lists_share(&refit->cause, effects->comm);
}

/* ---- one regulator, one tile of targets ---- */

/* sum[j] += x y[j] */
VECTORISED static void add(int64_t n, double x, const double *y, double *sum)
{
    for (int64_t j = 0; j < n; j++)
        sum[j] += x * y[j];
}

/* The same where it was measured. */
VECTORISED static void add_measured(int64_t n, double x, const double *y, const uint8_t *measured,
                                    double *sum)
{
    for (int64_t j = 0; j < n; j++)
        sum[j] += measured[j] ? x * y[j] : 0;
}

VECTORISED static void count_squares(int64_t n, double x, const uint8_t *measured, double *sum)
{
    for (int64_t j = 0; j < n; j++)
        sum[j] += measured[j] ? x * x : 0;
}

/* left -= cause k × change (width), of the targets from `first` on. */
static void explain(struct refit *refit, int64_t k, int64_t first, int64_t width,
                    const double *change)
{
    const struct tess_effects *effects = refit->evidence->effects;

    for (int64_t at = refit->cause.first[k]; at < refit->cause.first[k + 1]; at++) {
        int64_t row = refit->cause.entry[at].row * effects->n + first;

        add_measured(width, -refit->cause.entry[at].value, change, effects->measured + row,
                     refit->left + row);
    }
}

static double prior_of(const struct tess_evidence *evidence, int64_t k)
{
    return evidence->rare + 0.75 * evidence->hub[k];
}

/* New odds and effects of regulator k at these targets; how far a probability moved at most. */
static double update(struct refit *refit, int64_t k, int64_t first, int64_t width, double *sum)
{
    const struct tess_evidence *evidence = refit->evidence;
    const struct tess_effects *effects = evidence->effects;
    double prior = prior_of(evidence, k), most = 0;

    for (int64_t j = 0; j < width; j++)
        sum[j] = 0;
    for (int64_t at = refit->cause.first[k]; at < refit->cause.first[k + 1]; at++)
        add(width, refit->cause.entry[at].value,
            refit->left + refit->cause.entry[at].row * effects->n + first, sum);
    for (int64_t j = 0; j < width; j++) {
        int64_t at = k * effects->n + first + j;
        double q = refit->squares[at], v = 1 / (q / NOISE_VARIANCE + 1 / SLAB_VARIANCE);
        double mean = v * (sum[j] + q * refit->beta[at]) / NOISE_VARIANCE, now, before;

        sum[j] = 0; /* from here on: the change of the effect */
        if (!tess_effects_known(effects, k, first + j))
            continue;
        before = tess_evidence_sigmoid(evidence->l[at]);
        evidence->l[at] = prior + 0.5 * log(v / SLAB_VARIANCE) + mean * mean / (2 * v);
        now = tess_evidence_sigmoid(evidence->l[at]);
        sum[j] = now * mean - refit->beta[at];
        refit->beta[at] = now * mean;
        most = fmax(most, fabs(now - before));
    }
    explain(refit, k, first, width, sum);
    return most;
}

/* ---- all ---- */

static int64_t width_at(const struct tess_effects *effects, int64_t first)
{
    int64_t rest = effects->n - first;

    return rest < effects->tile ? rest : effects->tile;
}

/* From what steps 1 to 4 say: probabilities, expected effects, and what these leave. */
static void begin(struct refit *refit)
{
    const struct tess_evidence *evidence = refit->evidence;
    const struct tess_effects *effects = evidence->effects;
    int64_t n = effects->n;

    for (int64_t first = 0; first < n; first += effects->tile)
        for (int64_t k = 0; k < refit->cause.m; k++) {
            int64_t width = width_at(effects, first), place = k * n + first;

            for (int64_t j = place; j < place + width; j++) {
                double s = evidence->s[j];

                evidence->l[j] = s * s / 2 + prior_of(evidence, k);
                refit->beta[j] =
                    tess_evidence_sigmoid(evidence->l[j]) * -evidence->z[j] / effects->own[k];
            }
            for (int64_t at = refit->cause.first[k]; at < refit->cause.first[k + 1]; at++)
                count_squares(width, refit->cause.entry[at].value,
                              effects->measured + refit->cause.entry[at].row * n + first,
                              refit->squares + place);
            explain(refit, k, first, width, refit->beta + place);
        }
}

/* Collective: all stop together. */
static void sweep_all(struct refit *refit)
{
    const struct tess_effects *effects = refit->evidence->effects;
    double *sum = TESS_NEW(double, effects->tile), most = INFINITY;

    for (int sweep = 0; sweep < SWEEPS && most >= SETTLED; sweep++) {
        most = 0;
        for (int64_t first = 0; first < effects->n; first += effects->tile)
            for (int64_t i = 0; i < refit->cause.m; i++)
                most = fmax(most,
                            update(refit, refit->order[i], first, width_at(effects, first), sum));
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, effects->comm);
        tess_debug("refit, sweep %d: probabilities moved by %.2g at most", sweep + 1, most);
    }
    tess_free(sum);
}

struct busy {
    double hub;
    int64_t number;
};

static int compare_busy(const void *a, const void *b)
{
    const struct busy *x = a, *y = b;

    if (x->hub != y->hub)
        return x->hub < y->hub ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static int64_t *busiest_first(const struct tess_evidence *evidence, int64_t m)
{
    struct busy *busy = TESS_NEW(struct busy, m);
    int64_t *order = TESS_NEW(int64_t, m);

    for (int64_t i = 0; i < m; i++)
        busy[i] = (struct busy){evidence->hub[i], i};
    qsort(busy, (size_t)m, sizeof *busy, compare_busy);
    for (int64_t i = 0; i < m; i++)
        order[i] = busy[i].number;
    tess_free(busy);
    return order;
}

int tess_evidence_refit(struct tess_evidence *evidence, double cutoff, struct tess_error *error)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n;
    size_t size = (size_t)(m * effects->n);
    struct refit refit = {.evidence = evidence, .left = effects->value};

    evidence->l = tess_alloc_large(size, sizeof(double), "log odds", error);
    refit.squares = tess_alloc_large(size, sizeof(double), "sums of squared causes", error);
    refit.beta = tess_alloc_large(size, sizeof(double), "expected effects", error);
    if (tess_agree(effects->comm, error) == TESS_OK) {
        list_causes(&refit, cutoff);
        refit.order = busiest_first(evidence, m);
        begin(&refit);
        sweep_all(&refit);
    }
    tess_lists_release(&refit.cause);
    tess_free(refit.squares);
    tess_free(refit.beta);
    tess_free(refit.order);
    return error->code;
}
