/* effects_standardise.c -- values to units of the noise: a power that makes the noise the same at
 * all levels, the median of each readout taken off, one scale for all.
 *
 * The noise of values that are never negative grows with their size: log noise on log mean over
 * readouts has some slope g, and values to the power 1 - g have the same noise everywhere. */
#include "tessera/effects.h"

#include "tessera/median.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/gather.h"

#include <math.h>
#include <string.h>

#define MAD               1.4826 /* of a normal distribution: deviation over median deviation */
#define CLEAR             6 /* an own effect of so many units tells how strong knock-downs are */
#define WEIGHT_IF_UNKNOWN 0.5

struct columns { /* (t) of each readout, on all ranks */
    double *middle, *noise;
};

/* Median and deviation of this rank's columns, the control row among the rows. */
static void measure(const struct tess_effects *effects, double *middle, double *noise)
{
    double *x = TESS_NEW(double, effects->n_rows + 1);

    for (int64_t j = 0; j < effects->n; j++) {
        int64_t n = 0;

        for (int64_t r = 0; r <= effects->n_rows; r++)
            if (effects->measured[r * effects->n + j])
                x[n++] = effects->value[r * effects->n + j];
        middle[j] = tess_median(n, x);
        for (int64_t k = 0; k < n; k++)
            x[k] = fabs(x[k] - middle[j]);
        noise[j] = MAD * tess_median(n, x);
    }
    tess_free(x);
}

/* All ranks' columns to all. Collective. */
static void share(const struct tess_effects *effects, const double *mine, double *all)
{
    tess_gather(effects->comm, mine, effects->n, sizeof(double), all);
    tess_broadcast(effects->comm, all, effects->target.n * sizeof(double));
}

static void measure_all(const struct tess_effects *effects, struct columns *columns)
{
    double *middle = TESS_NEW(double, effects->n), *noise = TESS_NEW(double, effects->n);

    measure(effects, middle, noise);
    share(effects, middle, columns->middle);
    share(effects, noise, columns->noise);
    tess_free(middle);
    tess_free(noise);
}

static int any_negative(const struct tess_effects *effects)
{
    int found = 0;

    for (int64_t k = 0; k < (effects->n_rows + 1) * effects->n; k++)
        found |= effects->measured[k] && effects->value[k] < 0;
    MPI_Allreduce(MPI_IN_PLACE, &found, 1, MPI_INT, MPI_MAX, effects->comm);
    return found;
}

/* 1 minus the slope, which is held between 0 and 0.9. */
static double stabilising_power(size_t t, const struct columns *columns)
{
    double mean_x = 0, mean_y = 0, above = 0, below = 0, slope;
    int64_t n = 0;

    for (size_t j = 0; j < t; j++)
        if (columns->middle[j] > 0 && columns->noise[j] > 0) {
            mean_x += log(columns->middle[j]);
            mean_y += log(columns->noise[j]);
            n++;
        }
    mean_x /= (double)n;
    mean_y /= (double)n;
    for (size_t j = 0; j < t; j++)
        if (columns->middle[j] > 0 && columns->noise[j] > 0) {
            double x = log(columns->middle[j]) - mean_x;

            above += x * (log(columns->noise[j]) - mean_y);
            below += x * x;
        }
    slope = below > 0 ? above / below : 0;
    return 1 - fmin(fmax(slope, 0), 0.9);
}

static void bend(struct tess_effects *effects, double power)
{
    for (int64_t k = 0; k < (effects->n_rows + 1) * effects->n; k++)
        if (effects->measured[k])
            effects->value[k] = pow(fmax(effects->value[k], 0), power);
}

static void scale(struct tess_effects *effects, const double *middle, double unit)
{
    for (int64_t r = 0; r <= effects->n_rows; r++)
        for (int64_t j = 0; j < effects->n; j++) {
            double *x = &effects->value[r * effects->n + j];

            *x = effects->measured[r * effects->n + j] ? (*x - middle[effects->first + j]) / unit
                                                       : 0;
        }
}

/* A gain does the contrary of a loss. */
static void turn_gains(struct tess_effects *effects)
{
    for (int kind = 0; kind < TESS_PERTURBED; kind++)
        for (size_t i = 0; i < effects->regulator.n; i++)
            for (int64_t j = 0; effects->gained[kind][i] && j < effects->n; j++) {
                double *z = &effects->value[effects->row[kind][i] * effects->n + j];

                *z = -*z;
            }
}

/* ---- own effects ---- */

/* out[i]: how far regulator i falls in its own row of this kind; NaN: not measured. The places are
 * then marked as such: a gene's own perturbation says nothing of its regulators. Collective. */
static void take_own(struct tess_effects *effects, int kind, double *out)
{
    size_t m = effects->regulator.n;
    double *found = TESS_NEW(double, 2 * m);

    for (size_t i = 0; i < m; i++) {
        int64_t row = effects->row[kind][i], j = effects->column[i] - effects->first, at;

        if (row < 0 || effects->column[i] < 0 || j < 0 || j >= effects->n)
            continue;
        at = row * effects->n + j;
        found[i] = effects->measured[at] ? -effects->value[at] : 0;
        found[m + i] = effects->measured[at];
        effects->value[at] = 0;
        effects->measured[at] = 0;
    }
    MPI_Allreduce(MPI_IN_PLACE, found, tess_int((int64_t)(2 * m)), MPI_DOUBLE, MPI_SUM,
                  effects->comm);
    for (size_t i = 0; i < m; i++)
        out[i] = found[m + i] > 0 ? found[i] : NAN;
    tess_free(found);
}

static double weight_of(size_t m, const double *out, const double *down)
{
    double *ratio = TESS_NEW(double, m), weight;
    int64_t n = 0;

    for (size_t i = 0; i < m; i++)
        if (out[i] > CLEAR && !isnan(down[i]))
            ratio[n++] = down[i] / out[i];
    weight = tess_median(n, ratio);
    tess_free(ratio);
    return isnan(weight) ? WEIGHT_IF_UNKNOWN : weight;
}

/* What the own effect of a gene that only has a knock-down is expected to be: its knock-down, with
 * noise of 1, has weight × that, and other genes' own effects say around what it may lie. */
struct expected_own {
    double weight, mean, variance; /* the last two of those that knock-outs say; NaN: none */
};

static struct expected_own expect_own(const struct tess_effects *effects, const double *out)
{
    struct expected_own expected = {effects->weight, 0, 0};
    size_t m = effects->regulator.n;
    int64_t n = 0;

    for (size_t i = 0; i < m; i++)
        if (!isnan(out[i])) {
            expected.mean += out[i];
            n++;
        }
    expected.mean /= (double)n;
    expected.variance = n > 1 ? 0 : NAN;
    for (size_t i = 0; i < m; i++)
        if (!isnan(out[i]))
            expected.variance += pow(out[i] - expected.mean, 2) / (double)(n - 1);
    return expected;
}

/* NaN if neither the knock-down nor other genes say anything. */
static double expected_own(const struct expected_own *expected, double down)
{
    double b = expected->weight, v = expected->variance;

    if (isnan(v))
        return b > 0.01 ? down / b : NAN;
    return (down * b * v + expected->mean) / (b * b * v + 1);
}

/* That of a gene that is not read out: the median of the others. */
static void find_own(struct tess_effects *effects, const double *out, const double *down)
{
    struct expected_own expected = expect_own(effects, out);
    size_t m = effects->regulator.n;
    double *known = TESS_NEW(double, m), middle;
    int64_t n = 0;

    effects->own = TESS_NEW(double, m);
    for (size_t i = 0; i < m; i++) {
        effects->own[i] = isnan(out[i]) ? expected_own(&expected, down[i]) : out[i];
        if (!isnan(effects->own[i]))
            known[n++] = effects->own[i];
        effects->n_weak += effects->own[i] < 2; /* not of NaN */
    }
    middle = tess_median(n, known);
    middle = isnan(middle) ? CLEAR : middle;
    for (size_t i = 0; i < m; i++)
        effects->own[i] = fmax(isnan(effects->own[i]) ? middle : effects->own[i], 2);
    tess_free(known);
}

static void own_effects(struct tess_effects *effects)
{
    size_t m = effects->regulator.n;
    double *out = TESS_NEW(double, m), *down = TESS_NEW(double, m);

    take_own(effects, TESS_KNOCKOUT, out);
    take_own(effects, TESS_KNOCKDOWN, down);
    effects->weight = weight_of(m, out, down);
    find_own(effects, out, down);
    tess_free(out);
    tess_free(down);
}

/* NaN in place of a readout that nobody measured counts for nothing. */
static double common_scale(size_t t, const double *noise)
{
    double *x = TESS_NEW(double, t), middle;
    int64_t n = 0;

    for (size_t j = 0; j < t; j++)
        if (!isnan(noise[j]))
            x[n++] = noise[j];
    middle = tess_median(n, x);
    tess_free(x);
    return middle;
}

int tess_effects_standardise(struct tess_effects *effects, const char *path,
                             struct tess_error *error)
{
    size_t t = effects->target.n;
    struct columns columns = {TESS_NEW(double, t), TESS_NEW(double, t)};
    double unit;

    measure_all(effects, &columns);
    effects->power = 1;
    if (!any_negative(effects)) {
        effects->power = stabilising_power(t, &columns);
        if (effects->power < 1) {
            bend(effects, effects->power);
            measure_all(effects, &columns);
        }
    }
    unit = common_scale(t, columns.noise); /* the same on every rank */
    if (!(unit > 0))
        tess_error_set(error, TESS_EDATA,
                       "%s: at least half of the readouts do not vary at all: without noise there "
                       "is no scale; leave constant readouts out",
                       path);
    else {
        scale(effects, columns.middle, unit);
        turn_gains(effects);
        own_effects(effects);
        effects->noise = TESS_NEW(double, t);
        for (size_t j = 0; j < t; j++)
            effects->noise[j] = columns.noise[j] > 0 ? columns.noise[j] / unit : 1;
    }
    effects->middle = columns.middle;
    effects->unit = unit;
    tess_free(columns.noise);
    return error->code;
}
