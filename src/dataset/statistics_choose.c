/* statistics_choose.c -- what follows from the statistics: the readouts that vary most, and the
 * scaling. */
#include "statistics.h"

#include "tessera/alloc.h"
#include "tessera/log.h"
#include "tessera/slices.h"

#include <math.h>
#include <string.h>

/* The variance of each readout, pooled over contexts: Σ squares about each context's mean /
 * Σ (n - 1); -1 where there is none. */
static double *pool_variances(const struct tess_statistics *s)
{
    double *variance = TESS_NEW(double, s->n_columns);

    for (int64_t k = 0; k < s->n; k++) {
        double square = 0, n = 0;

        for (int64_t c = 0; c < s->n_contexts; c++) {
            const struct tess_moments *cell = tess_statistics_cell(s, c, k);

            square += cell->square;
            n += cell->n > 1 ? cell->n - 1 : 0;
        }
        variance[s->first + k] = n > 0 ? square / n : -1;
    }
    tess_slices_join(s->comm, variance, (size_t)s->n_columns * sizeof *variance);
    return variance;
}

void tess_statistics_select(const struct tess_statistics *s, int64_t want, uint8_t *keep)
{
    double *variance = pool_variances(s);

    memset(keep, 0, (size_t)s->n_columns);
    for (int64_t i = 0; i < want && i < s->n_columns; i++) {
        int64_t best = -1;

        for (int64_t r = 0; r < s->n_columns; r++)
            if (!keep[r] && (best < 0 || variance[r] > variance[best]))
                best = r;
        keep[best] = 1;
    }
    tess_free(variance);
}

/* Kept readouts before each; the last entry: all. Own of the caller. */
static int64_t *count_kept(int64_t n, const uint8_t *keep)
{
    int64_t *before = TESS_NEW(int64_t, n + 1);

    for (int64_t r = 0; r < n; r++)
        before[r + 1] = before[r] + keep[r];
    return before;
}

/* Where a context has no control, its mean stands in. Collective. */
static void warn_of_missing(const struct tess_statistics *s, uint8_t *has_control)
{
    int64_t without = 0;

    tess_slices_join(s->comm, has_control, (size_t)s->n_contexts);
    for (int64_t c = 0; c < s->n_contexts; c++)
        without += !has_control[c];
    if (without > 0)
        tess_warn("data.normalize: delta: %lld of %lld contexts have no control among their "
                  "training rows; their mean over all training rows is subtracted instead",
                  (long long)without, (long long)s->n_contexts);
}

/* shift and scale of every kept (context, readout): delta subtracts the control's mean where it is
 * measured; else it is the mean of the training rows. z-scores divide by their deviation, if it is
 * not 0. Collective. */
static void normalize(const struct tess_statistics *s, int64_t rule, const uint8_t *keep,
                      const int64_t *before, struct tess_scaling *scaling)
{
    int64_t R = before[s->n_columns];
    size_t n = (size_t)(s->n_contexts * R);
    uint8_t *has_control = TESS_NEW(uint8_t, s->n_contexts);

    scaling->n_readouts = R;
    scaling->shift = TESS_NEW(float, n);
    scaling->scale = TESS_NEW(float, n);
    for (int64_t c = 0; c < s->n_contexts; c++)
        for (int64_t k = 0; k < s->n; k++) {
            const struct tess_moments *all = tess_statistics_cell(s, c, k);
            int64_t to = c * R + before[s->first + k];
            int subtracts = rule == TESS_NORMALIZE_DELTA && all[1].n > 0;
            float deviation = (float)tess_moments_deviation(*all);

            if (!keep[s->first + k])
                continue;
            if (subtracts)
                has_control[c] = 1;
            scaling->shift[to] = (float)(subtracts ? all[1].mean : all->mean);
            scaling->scale[to] = rule == TESS_NORMALIZE_ZSCORE && deviation > 0 ? deviation : 1;
        }
    tess_slices_join(s->comm, scaling->shift, n * sizeof(float));
    tess_slices_join(s->comm, scaling->scale, n * sizeof(float));
    if (rule == TESS_NORMALIZE_DELTA)
        warn_of_missing(s, has_control);
    tess_free(has_control);
}

/* Moments of all kept values as they are once they are normalised, which follow from those of each
 * context and readout: of a column over contexts by the rank that has it, then over columns in
 * their order by all. Collective. */
static struct tess_moments add_all(const struct tess_statistics *s, const uint8_t *keep,
                                   const int64_t *before, const struct tess_scaling *scaling)
{
    struct tess_moments *column = TESS_NEW(struct tess_moments, s->n_columns), sum = {0, 0, 0};

    for (int64_t k = 0; k < s->n; k++)
        for (int64_t c = 0; c < s->n_contexts; c++) {
            struct tess_moments m = *tess_statistics_cell(s, c, k);

            if (scaling->shift && keep[s->first + k]) {
                int64_t at = c * scaling->n_readouts + before[s->first + k];
                double scale = (double)scaling->scale[at];

                m.mean = (m.mean - (double)scaling->shift[at]) / scale;
                m.square /= scale * scale;
            }
            tess_moments_add(&column[s->first + k], m);
        }
    tess_slices_join(s->comm, column, (size_t)s->n_columns * sizeof *column);
    for (int64_t r = 0; r < s->n_columns; r++)
        if (keep[r])
            tess_moments_add(&sum, column[r]);
    tess_free(column);
    return sum;
}

/* Values that do not vary, or a single one, are left as they are but for the mean. */
static void spread_out(struct tess_moments all, double factor, struct tess_scaling *scaling)
{
    float spread = (float)(tess_moments_deviation(all) / factor);

    scaling->center = (float)all.mean;
    scaling->spread = spread > 0 && isfinite(spread) ? spread : 1;
    tess_debug("data.scale: mean %g, deviation %g of all %.0f training values", all.mean,
               tess_moments_deviation(all), all.n);
}

void tess_statistics_scaling(const struct tess_statistics *s, const struct tess_config *config,
                             const uint8_t *keep, struct tess_scaling *scaling)
{
    int64_t *before = count_kept(s->n_columns, keep);

    if (config->data.normalize != TESS_NORMALIZE_NONE)
        normalize(s, config->data.normalize, keep, before, scaling);
    if (config->data.scale > 0)
        spread_out(add_all(s, keep, before, scaling), config->data.scale, scaling);
    tess_free(before);
}
