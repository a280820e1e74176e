/* evidence_refit.c -- every target regressed on all regulators, each either without effect (spike)
 * or with one of some size (slab): how likely each is, all others given.
 *
 * Sweeps go through the regulators one after the other, busiest first: all at once diverges.
 * Targets are apart but for the end of the sweeps, which is the same for all. So a strip of a few
 * targets, copied together, goes through all regulators before the next one does. What a regulator
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
#include <string.h>

#define WIDE           16 /* targets of a strip: sums stay in registers, rows in the cache */
#define SLAB_VARIANCE  (0.25 * 0.25) /* of a relative effect that is there */
#define NOISE_VARIANCE (1.5 * 1.5) /* of what is left of z; 1 of it is of measuring */
#define SWEEPS         10
#define SETTLED        1e-3 /* no probability moves by more: the end */

typedef double four __attribute__((vector_size(32), aligned(8), may_alias));

struct refit {
    struct tess_evidence *evidence;
    double *scale; /* (n_rows) rows times that have one noise; own */
    struct tess_lists cause; /* of each regulator: rows and how far it is moved there, scaled */
    double *left; /* (n_rows, n) z less what is explained, scaled; the effects' own array */
    double *squares; /* (m, n) sum of squared causes where the target was measured; own */
    double *beta; /* (m, n) the effect expected; own */
    int64_t *order; /* (m) own */
    int64_t first, width; /* of this rank's targets: those in the strip */
    double *strip; /* (n_rows, WIDE) their part of `left`, 0 behind `width`; own */
    uint8_t *whole; /* (n_rows) were all of them measured in the row? own */
};

/* ---- rows ---- */

/* What no line explains of an effect grows with it: the row of a knock-down has less noise. That
 * counts where a gene has nothing else; with both, all rows have the noise that was found so. */
static void scale_rows(struct refit *refit)
{
    const struct tess_effects *effects = refit->evidence->effects;
    double b = effects->weight, noise = 1 + (NOISE_VARIANCE - 1) * fmin(b * b, 1);

    refit->scale = TESS_NEW(double, effects->n_rows);
    for (int64_t r = 0; r < effects->n_rows; r++)
        refit->scale[r] = 1;
    for (size_t i = 0; i < effects->regulator.n; i++)
        if (effects->row[TESS_KNOCKOUT][i] < 0 && effects->row[TESS_KNOCKDOWN][i] >= 0)
            refit->scale[effects->row[TESS_KNOCKDOWN][i]] = sqrt(NOISE_VARIANCE / noise);
    for (int64_t r = 0; r < effects->n_rows; r++)
        for (int64_t j = 0; refit->scale[r] != 1 && j < effects->n; j++)
            refit->left[r * effects->n + j] *= refit->scale[r];
}

/* ---- causes ---- */

static void list_causes_of(struct refit *refit, int64_t k, double cutoff)
{
    const struct tess_effects *effects = refit->evidence->effects;
    int64_t out = effects->row[TESS_KNOCKOUT][k], down = effects->row[TESS_KNOCKDOWN][k];
    int64_t j = effects->column[k] - effects->first;

    for (int64_t r = 0; r < effects->n_rows; r++) {
        double z =
            effects->column[k] >= 0 ? effects->value[r * effects->n + j] / refit->scale[r] : 0;
        double x = r == out    ? -effects->own[k]
                   : r == down ? -effects->weight * effects->own[k]
                               : tess_evidence_cause(refit->evidence, z);

        if (x != 0 && (fabs(x) >= cutoff || r == out || r == down))
            tess_lists_add(&refit->cause, k, r, x * refit->scale[r]);
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

/* ---- a strip of targets ---- */

static void fill_strip(struct refit *refit, int64_t first)
{
    const struct tess_effects *effects = refit->evidence->effects;
    int64_t n = effects->n, width = n - first < WIDE ? n - first : WIDE;

    refit->first = first;
    refit->width = width;
    for (int64_t r = 0; r < effects->n_rows; r++) {
        refit->whole[r] = 1;
        for (int64_t j = 0; j < width; j++)
            refit->whole[r] &= effects->measured[r * n + first + j];
        memcpy(refit->strip + r * WIDE, refit->left + r * n + first,
               (size_t)width * sizeof(double));
        memset(refit->strip + r * WIDE + width, 0, (size_t)(WIDE - width) * sizeof(double));
    }
}

static void empty_strip(struct refit *refit)
{
    const struct tess_effects *effects = refit->evidence->effects;

    for (int64_t r = 0; r < effects->n_rows; r++)
        memcpy(refit->left + r * effects->n + refit->first, refit->strip + r * WIDE,
               (size_t)refit->width * sizeof(double));
}

/* sum (WIDE) = causes × their rows of the strip, added in the causes' order. */
VECTORISED static void weigh_causes(int64_t n, const struct tess_entry *cause, const double *strip,
                                    double *sum)
{
    four a = {0}, b = {0}, c = {0}, d = {0}, *out = (four *)sum;

    for (int64_t i = 0; i < n; i++) {
        const four *row = (const four *)(strip + cause[i].row * WIDE);

        a += cause[i].value * row[0];
        b += cause[i].value * row[1];
        c += cause[i].value * row[2];
        d += cause[i].value * row[3];
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

/* Rows of the strip -= causes × change (WIDE). */
VECTORISED static void explain_causes(int64_t n, const struct tess_entry *cause,
                                      const double *change, double *strip)
{
    const four *y = (const four *)change, a = y[0], b = y[1], c = y[2], d = y[3];

    for (int64_t i = 0; i < n; i++) {
        four *row = (four *)(strip + cause[i].row * WIDE);

        row[0] -= cause[i].value * a;
        row[1] -= cause[i].value * b;
        row[2] -= cause[i].value * c;
        row[3] -= cause[i].value * d;
    }
}

/* What was not measured says nothing: few rows lack any of a strip, and these are put right
 * afterwards. */
static void explain(struct refit *refit, int64_t k, const double *change)
{
    const struct tess_effects *effects = refit->evidence->effects;
    const struct tess_entry *cause = refit->cause.entry + refit->cause.first[k];
    int64_t n = refit->cause.first[k + 1] - refit->cause.first[k];

    explain_causes(n, cause, change, refit->strip);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *measured = effects->measured + cause[i].row * effects->n + refit->first;

        for (int64_t j = 0; !refit->whole[cause[i].row] && j < refit->width; j++)
            if (!measured[j])
                refit->strip[cause[i].row * WIDE + j] = 0;
    }
}

/* ---- one regulator, one strip ---- */

static double prior_of(const struct tess_evidence *evidence, int64_t k)
{
    return evidence->rare + 0.75 * evidence->hub[k];
}

/* New odds and effects of regulator k at these targets; how far a probability moved at most. */
static double update(struct refit *refit, int64_t k)
{
    const struct tess_evidence *evidence = refit->evidence;
    double prior = prior_of(evidence, k), most = 0, sum[WIDE];

    weigh_causes(refit->cause.first[k + 1] - refit->cause.first[k],
                 refit->cause.entry + refit->cause.first[k], refit->strip, sum);
    for (int64_t j = 0; j < refit->width; j++) {
        int64_t at = k * evidence->effects->n + refit->first + j;
        double q = refit->squares[at], v = 1 / (q / NOISE_VARIANCE + 1 / SLAB_VARIANCE);
        double mean = v * (sum[j] + q * refit->beta[at]) / NOISE_VARIANCE, now, before;

        sum[j] = 0; /* from here on: the change of the effect */
        if (!tess_effects_known(evidence->effects, k, refit->first + j))
            continue;
        before = tess_evidence_sigmoid(evidence->l[at]);
        evidence->l[at] = prior + 0.5 * log(v / SLAB_VARIANCE) + mean * mean / (2 * v);
        now = tess_evidence_sigmoid(evidence->l[at]);
        sum[j] = now * mean - refit->beta[at];
        refit->beta[at] = now * mean;
        most = fmax(most, fabs(now - before));
    }
    explain(refit, k, sum);
    return most;
}

/* From what steps 1 to 4 say: probabilities, expected effects, and what these leave. */
static void begin_regulator(struct refit *refit, int64_t k)
{
    const struct tess_evidence *evidence = refit->evidence;
    const struct tess_effects *effects = evidence->effects;
    int64_t place = k * effects->n + refit->first;
    double beta[WIDE] = {0};

    for (int64_t j = 0; j < refit->width; j++) {
        double s = evidence->s[place + j];

        evidence->l[place + j] = s * s / 2 + prior_of(evidence, k);
        beta[j] = tess_evidence_sigmoid(evidence->l[place + j]) * -evidence->z[place + j] /
                  tess_effects_own(effects, k, refit->first + j);
        refit->beta[place + j] = beta[j];
    }
    for (int64_t at = refit->cause.first[k]; at < refit->cause.first[k + 1]; at++) {
        double x = refit->cause.entry[at].value;
        int64_t row = refit->cause.entry[at].row;

        for (int64_t j = 0; j < refit->width; j++)
            if (refit->whole[row] || effects->measured[row * effects->n + refit->first + j])
                refit->squares[place + j] += x * x;
    }
    explain(refit, k, beta);
}

/* ---- all ---- */

static void begin(struct refit *refit)
{
    for (int64_t first = 0; first < refit->evidence->effects->n; first += WIDE) {
        fill_strip(refit, first);
        for (int64_t k = 0; k < refit->cause.m; k++)
            begin_regulator(refit, k);
        empty_strip(refit);
    }
}

/* Collective: all stop together. */
static void sweep_all(struct refit *refit)
{
    const struct tess_effects *effects = refit->evidence->effects;
    double most = INFINITY;

    for (int sweep = 0; sweep < SWEEPS && most >= SETTLED; sweep++) {
        most = 0;
        for (int64_t first = 0; first < effects->n; first += WIDE) {
            fill_strip(refit, first);
            for (int64_t i = 0; i < refit->cause.m; i++)
                most = fmax(most, update(refit, refit->order[i]));
            empty_strip(refit);
        }
        MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, effects->comm);
        tess_debug("refit, sweep %d: probabilities moved by %.2g at most", sweep + 1, most);
    }
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
        refit.strip = TESS_NEW(double, effects->n_rows *WIDE);
        refit.whole = TESS_NEW(uint8_t, effects->n_rows);
        scale_rows(&refit);
        list_causes(&refit, cutoff);
        refit.order = busiest_first(evidence, m);
        begin(&refit);
        sweep_all(&refit);
    }
    tess_lists_release(&refit.cause);
    tess_free(refit.squares);
    tess_free(refit.beta);
    tess_free(refit.order);
    tess_free(refit.strip);
    tess_free(refit.whole);
    tess_free(refit.scale);
    return error->code;
}
