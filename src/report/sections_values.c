/* sections_values.c -- single held-out values: measured, predicted, and how sure the members were.
 */
#include "sections.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdlib.h>

#define BINS 60 /* of the grid, along each axis */

static double predicted(const struct tess_scored_value *value)
{
    return value->measured - value->error;
}

/* Rows of [column, row, count] that are not empty. */
static json_t *cells_json(const struct tess_spread *spread, double low, double width)
{
    int64_t *count = TESS_NEW(int64_t, BINS * BINS);
    json_t *cells = json_array();

    for (int64_t i = 0; i < spread->n; i++) {
        const double at[2] = {spread->value[i].measured, predicted(&spread->value[i])};
        int bin[2];

        if (!isfinite(at[1]))
            continue;
        for (int k = 0; k < 2; k++)
            bin[k] = (int)fmin(BINS - 1, width > 0 ? (at[k] - low) / width * BINS : 0);
        count[bin[0] * BINS + bin[1]]++;
    }
    for (int i = 0; i < BINS * BINS; i++)
        if (count[i] > 0)
            json_array_append_new(cells,
                                  json_pack("[i, i, I]", i / BINS, i % BINS, (json_int_t)count[i]));
    tess_free(count);
    return cells;
}

json_t *tess_sections_values(const struct tess_spread *spread)
{
    double low = INFINITY, high = -INFINITY, n = 0, sum[2] = {0}, square = 0;

    if (spread->n == 0)
        return tess_sections_missing("No scored value is known to both the store and the model.");
    for (int64_t i = 0; i < spread->n; i++)
        n += isfinite(predicted(&spread->value[i])) != 0;
    if (n == 0)
        return tess_sections_missing("The model predicts no finite number: choose another "
                                     "checkpoint.");
    for (int64_t i = 0; i < spread->n; i++) {
        const double at[2] = {spread->value[i].measured, predicted(&spread->value[i])};

        if (!isfinite(at[1]))
            continue;
        for (int k = 0; k < 2; k++) {
            low = fmin(low, at[k]);
            high = fmax(high, at[k]);
            sum[k] += at[k] / n;
        }
        square += spread->value[i].error * spread->value[i].error / n;
    }
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:i, s:f, s:f, s:f, s:o}", "experiments",
                     (json_int_t)spread->n_experiments, "values", (json_int_t)n, "not_finite",
                     (json_int_t)spread->n - (json_int_t)n, "low", low, "high", high, "bins", BINS,
                     "mean_measured", sum[0], "mean_predicted", sum[1], "rmse", sqrt(square),
                     "cells", cells_json(spread, low, high - low));
}

/* ---- deviations ---- */

static json_t *levels_json(const struct tess_calibration *calibration,
                           const struct tess_spread *spread)
{
    double share[TESS_LEVELS];
    json_t *list = json_array();

    tess_calibration_curve(calibration, spread->n, spread->error, spread->deviation, share);
    for (int k = 0; k < TESS_LEVELS; k++)
        json_array_append_new(list, tess_sections_number(share[k]));
    return list;
}

json_t *tess_sections_coverage(const struct tess_spread *spread, const json_t *evaluation)
{
    json_t *levels, *all;

    if (!spread->deviation || spread->n == 0)
        return tess_sections_missing(
            "A single model says nothing of how sure it is: train several "
            "(tessera train … --set train.members=3), or give several runs.");
    levels = json_array();
    for (int k = 0; k < TESS_LEVELS; k++)
        json_array_append_new(levels, json_real((k + 1) / (TESS_LEVELS + 1.0)));
    all = json_pack("{s:o, s:o, s:O}", "level", levels, "raw", levels_json(NULL, spread), "scores",
                    json_object_get(evaluation, "deviation"));
    if (!spread->uncalibrated)
        json_object_set_new(all, "calibrated", levels_json(&spread->calibration, spread));
    return all;
}

/* ---- the readout that varies most ---- */

static int compare(const void *a, const void *b)
{
    const struct tess_scored_value *x = a, *y = b;

    if (x->readout != y->readout)
        return (x->readout > y->readout) - (x->readout < y->readout);
    if (x->context != y->context)
        return (x->context > y->context) - (x->context < y->context);
    return (x->measured > y->measured) - (x->measured < y->measured);
}

/* Squares about the mean of n values. */
static double squares(const struct tess_scored_value *value, int64_t n)
{
    double mean = 0, sum = 0;

    for (int64_t i = 0; i < n; i++)
        mean += value[i].measured / (double)n;
    for (int64_t i = 0; i < n; i++)
        sum += (value[i].measured - mean) * (value[i].measured - mean);
    return sum;
}

int64_t tess_sections_readout(const struct tess_evaluation *evaluation)
{
    const struct tess_spread *spread = &evaluation->spread;
    struct tess_scored_value *value = spread->value;
    int64_t best = -1;
    double most = 0;

    if (spread->n > 0)
        qsort(value, (size_t)spread->n, sizeof *value, compare);
    for (int64_t i = 0, end; i < spread->n; i = end) {
        double sum = 0, degrees = 0;

        for (end = i; end < spread->n && value[end].readout == value[i].readout;) {
            int64_t begin = end;

            while (end < spread->n && value[end].readout == value[i].readout &&
                   value[end].context == value[begin].context)
                end++;
            sum += squares(value + begin, end - begin);
            degrees += (double)(end - begin - 1);
        }
        if (degrees > 0 && sum / degrees > most) {
            most = sum / degrees;
            best = value[i].readout;
        }
    }
    return best;
}
