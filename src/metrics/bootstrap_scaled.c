/* bootstrap_scaled.c -- scores between a bad and a perfect end, as the Virtual Cell Challenge
 * scales them: 0 is what the mean of all perturbations scores, 1 what a perfect model would. */
#include "bootstrap.h"

#include "tessera/alloc.h"

#include <math.h>

/* One metric of all methods. */
struct scale {
    int metric;
    int64_t active; /* its place in the resamples, or -1 */
    double bad, perfect;
    int constant; /* the bad end predicts no change */
    int reason;
};

static struct scale scale_of(const struct tess_outcome *outcome, const struct tess_ends *ends,
                             int metric, int64_t active)
{
    const struct tess_estimate *bad = &outcome->own[(int64_t)ends->bad * TESS_METRICS + metric];
    struct scale scale = {metric, active, bad->value, ends->perfect[metric], 0, TESS_DEFINED};
    int correlation =
        metric >= TESS_CHANGE && metric < TESS_WEIGHTED && !tess_metric_is_error(metric);

    if (isnan(scale.bad) && correlation && bad->reason == TESS_CONSTANT) {
        scale.constant = 1;
        scale.bad = 0;
    }
    if (isnan(scale.bad))
        scale.reason = bad->reason;
    else if (isnan(scale.perfect))
        scale.reason = ends->reason[metric];
    else if (tess_metric_is_error(metric) ? scale.perfect >= scale.bad : scale.perfect <= scale.bad)
        scale.reason = TESS_NO_ROOM;
    return scale;
}

struct resamples {
    const struct tess_sample *sample;
    int64_t n;
    const double *value; /* (n, width) */
    double *room; /* (n) */
};

/* Values of the resamples in which there is room between the ends; into the room, how many. */
static int64_t resampled(const struct resamples *of, const struct scale *scale, int bad_method,
                         int method)
{
    int64_t width = tess_sample_width(of->sample), n = 0;
    const double *first = of->value + 2 * scale->active;
    const double *own = first + 2 * method * of->sample->n_metrics;
    const double *bad = first + 2 * bad_method * of->sample->n_metrics;

    for (int64_t b = 0; b < of->n && scale->active >= 0; b++) {
        double zero = scale->constant && isnan(bad[b * width]) ? 0 : bad[b * width];
        double span = scale->perfect - zero;

        /* NaN and ends that have crossed compare false */
        if (tess_metric_is_error(scale->metric) ? span < 0 : span > 0)
            if (!isnan(own[b * width]))
                of->room[n++] = (own[b * width] - zero) / span;
    }
    return n;
}

void tess_bootstrap_scale(struct tess_outcome *outcome, const struct tess_sample *sample,
                          int64_t n_resamples, const double *resample, const struct tess_ends *ends)
{
    struct resamples of = {sample, n_resamples, resample, TESS_NEW(double, n_resamples)};
    int64_t active = 0;

    outcome->n_scaled = ends->n_methods;
    outcome->scaled = TESS_NEW(struct tess_estimate, (int64_t)ends->n_methods * TESS_METRICS);
    for (int k = 0; k < TESS_METRICS; k++) {
        int has = active < sample->n_metrics && sample->metric[active] == k;
        struct scale scale = scale_of(outcome, ends, k, has ? active : -1);

        active += has;
        outcome->bad[k] = scale.bad;
        outcome->perfect[k] = scale.perfect;
        for (int m = 0; m < ends->n_methods; m++) {
            const struct tess_estimate *own = &outcome->own[(int64_t)m * TESS_METRICS + k];
            struct tess_estimate *to = &outcome->scaled[(int64_t)m * TESS_METRICS + k];

            *to = (struct tess_estimate){.value = NAN, .low = NAN, .high = NAN, .n = own->n};
            to->reason = to->no_interval = isnan(own->value) ? own->reason : scale.reason;
            if (to->reason != TESS_DEFINED)
                continue;
            to->value = (own->value - scale.bad) / (scale.perfect - scale.bad);
            tess_bootstrap_interval(resampled(&of, &scale, ends->bad, m), of.room, sample->n_groups,
                                    to);
        }
    }
    tess_free(of.room);
}
