/* baselines.c -- names, and what is learned from the training units. */
#include "tessera/baselines.h"

#include "baseline_doses.h"
#include "baseline_features.h"
#include "baseline_interactions.h"
#include "baseline_linear.h"
#include "baseline_parts.h"
#include "baseline_similar.h"
#include "baselines_changes.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

static const char *const names[TESS_BASELINES] = {
    "global_mean",      "readout_mean", "no_perturbation",     "additive",
    "nearest_context",  "linear",       "additive_components", "features",
    "nearest_features", "interpolated", "additive_parts",      "interacting_components",
};

const char *tess_baseline_name(int baseline)
{
    return names[baseline];
}

const char *tess_baseline_excuse(int baseline)
{
    return baseline == TESS_NO_PERTURBATION ? "no control is measured in these contexts"
           : baseline == TESS_ADDITIVE_COMPONENTS || baseline == TESS_INTERACTING_COMPONENTS
               ? "none is a combination whose components are all trained on alone in its context"
           : baseline == TESS_FEATURES || baseline == TESS_NEAREST_FEATURES
               ? "none has features (features.perturbations of the training), as enough others of "
                 "its context have"
           : baseline == TESS_INTERPOLATED
               ? "none is of a drug that is trained on at other doses in its context"
               : NULL;
}

int tess_baselines_have(const struct tess_baselines *baselines, int baseline)
{
    switch (baseline) {
    case TESS_INTERPOLATED:
        return baselines->doses != NULL;
    case TESS_ADDITIVE_PARTS:
        return baselines->parts != NULL;
    case TESS_INTERACTING_COMPONENTS:
        return baselines->interactions != NULL;
    case TESS_FEATURES:
    case TESS_NEAREST_FEATURES:
        return baselines->by_features != NULL;
    default:
        return 1;
    }
}

#define SCAN_BYTES 24e6 /* of the units that are read at once, and what is made of them */

/* Sums of the training units of one context at one readout, and of its control. */
struct total {
    double sum, n, control, has_control;
};

struct learner {
    const struct tess_learn *learn;
    const struct tess_index *index;
    int64_t base; /* what a part's totals begin at */
    struct total *total;
};

static int stopped(const struct tess_learn *learn, struct tess_error *error)
{
    if (error->code == TESS_OK && learn->stopped && learn->stopped())
        tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
    return error->code;
}

/* Each unit counts once, however many replicates it has. */
static int add_means(void *closure, const struct tess_profile_rows *rows, struct tess_error *error)
{
    struct learner *learner = closure;
    const struct tess_profiles *profiles = learner->learn->profiles;
    int64_t n = tess_profiles_width(profiles, rows->context);
    struct total *total = learner->total + (profiles->readout_first[rows->context] - learner->base);

    for (int64_t k = 0; k < rows->n; k++) {
        int64_t combination = profiles->combination[rows->unit[k]];
        int control = tess_index_is_control(learner->index, combination);
        const float *x = rows->value + k * n;

        for (int64_t i = 0; i < n; i++) {
            if (isnan(x[i]))
                continue;
            *(control ? &total[i].control : &total[i].sum) += (double)x[i];
            *(control ? &total[i].has_control : &total[i].n) += 1;
        }
    }
    return stopped(learner->learn, error);
}

/* The totals of the contexts that a part's units are of. */
static void place_means(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct tess_profiles *profiles = ((const struct learner *)closure)->learn->profiles;
    int64_t begin = tess_profiles_part(profiles, part),
            end = tess_profiles_part(profiles, part + 1);

    *first = *n = 0;
    if (begin < end) {
        *first = profiles->readout_first[profiles->context_of[begin]] * 4;
        *n = profiles->readout_first[profiles->context_of[end - 1] + 1] * 4 - *first;
    }
}

static int sum_means(void *closure, int64_t part, double *out, struct tess_error *error)
{
    struct learner learner = *(const struct learner *)closure;
    struct tess_profile_visitor visitor = {&learner, 0, add_means};
    int64_t first, n;

    place_means(&learner, part, &first, &n);
    learner.base = first / 4;
    learner.total = (struct total *)out;
    return tess_profiles_scan(learner.learn->profiles, part, &visitor, error);
}

/* What stands in for a readout without training data in a context: the mean of the contexts that
 * have some, each counting once; else the mean of everything. */
static void find_overall(struct tess_baselines *baselines, const struct total *total)
{
    struct tess_profiles *profiles = baselines->profiles;
    int64_t n = profiles->store->index.readout.n;
    double *count = TESS_NEW(double, n), sum = 0, all = 0;

    for (int64_t i = 0; i < profiles->readout_first[profiles->n_contexts]; i++) {
        int64_t readout = profiles->readout[i];

        sum += total[i].sum;
        all += total[i].n;
        if (total[i].n > 0) {
            baselines->overall[readout] += total[i].sum / total[i].n;
            count[readout] += 1;
        }
    }
    baselines->global_mean = all > 0 ? sum / all : NAN;
    for (int64_t r = 0; r < n; r++)
        baselines->overall[r] =
            count[r] > 0 ? baselines->overall[r] / count[r] : baselines->global_mean;
    tess_free(count);
}

static void take_means(struct tess_baselines *baselines, const struct total *total)
{
    const struct tess_profiles *profiles = baselines->profiles;
    const struct tess_index *index = &profiles->store->index;
    int64_t control = index->control < 0 ? -1 : tess_index_find(index, 1, &index->control);

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        const struct total *of = total + profiles->readout_first[c];
        int64_t n = tess_profiles_width(profiles, c);

        baselines->mean[c] = TESS_NEW(double, n);
        if (control >= 0 && tess_profiles_find(profiles, c, control, TESS_TRAIN) >= 0)
            baselines->control[c] = TESS_NEW(double, n);
        for (int64_t i = 0; i < n; i++) {
            baselines->mean[c][i] = of[i].n > 0 ? of[i].sum / of[i].n : NAN;
            if (baselines->control[c])
                baselines->control[c][i] = of[i].has_control > 0 ? of[i].control : NAN;
        }
    }
}

static int find_means(struct tess_baselines *baselines, const struct tess_learn *learn,
                      struct tess_error *error)
{
    const struct tess_profiles *profiles = learn->profiles;
    int64_t n = profiles->readout_first[profiles->n_contexts];
    struct total *total = TESS_NEW(struct total, n);
    struct learner learner = {.learn = learn, .index = &profiles->store->index};
    struct tess_parts parts = {learn->comm, tess_profiles_n_parts(profiles), &learner, place_means,
                               sum_means};

    if (tess_parts_sum(&parts, n * 4, (double *)total, error) == TESS_OK) {
        take_means(baselines, total);
        find_overall(baselines, total);
    }
    tess_free(total);
    return error->code;
}

int tess_baselines_init(struct tess_baselines *baselines, struct tess_profiles *profiles,
                        const struct tess_baselines_options *options, MPI_Comm comm,
                        struct tess_error *error)
{
    struct tess_learn learn = {.profiles = profiles, .stopped = options->stopped, .comm = comm};

    *baselines = (struct tess_baselines){.profiles = profiles};
    baselines->mean = TESS_NEW(double *, profiles->n_contexts);
    baselines->control = TESS_NEW(double *, profiles->n_contexts);
    baselines->overall = TESS_NEW(double, profiles->store->index.readout.n);
    baselines->changes = TESS_NEW(struct tess_changes, 1);
    baselines->linear = TESS_NEW(struct tess_linear, 1);
    tess_changes_init(baselines->changes, profiles, baselines->mean);
    learn.mean = baselines->mean;
    if (find_means(baselines, &learn, error) != TESS_OK ||
        tess_linear_init(baselines->linear, &learn, error) != TESS_OK)
        return error->code;
    baselines->parts = tess_context_sums_init(profiles, baselines->mean, baselines->overall);
    baselines->doses = tess_doses_init(&learn, error);
    if (error->code == TESS_OK)
        baselines->interactions =
            tess_interactions_init(&learn, baselines->control, baselines->linear);
    if (error->code == TESS_OK && options->features && options->features->k > 0) {
        baselines->by_features = TESS_NEW(struct tess_by_features, 1);
        tess_by_features_init(baselines->by_features, &learn, options->features, baselines->linear,
                              error);
    }
    if (error->code != TESS_OK || !options->nearest_in)
        return error->code;
    baselines->similar = TESS_NEW(struct tess_similar, 1);
    return tess_similar_init(baselines->similar, &learn, options->nearest_in, error);
}

double tess_baselines_bytes(const struct tess_profiles *profiles)
{
    double readouts = (double)profiles->store->index.readout.n,
           panels = (double)profiles->readout_first[profiles->n_contexts],
           contexts = (double)profiles->n_contexts,
           combinations = (double)profiles->store->index.n_combinations;
    double means = panels * (2 * sizeof(struct total) + 2 * sizeof(double)) + 24 * readouts;

    return means + SCAN_BYTES + 16 * combinations + 8 * contexts * contexts +
           tess_linear_bytes(profiles) + tess_doses_bytes(profiles) +
           tess_interactions_bytes(profiles);
}

double tess_baselines_growth(const struct tess_baselines *baselines)
{
    const struct tess_profiles *profiles = baselines->profiles;
    double unread = 0;

    for (int64_t c = 0; c < profiles->n_contexts && profiles->keeps; c++)
        if (!profiles->value[c])
            unread += (double)(profiles->context_first[c + 1] - profiles->context_first[c]) *
                      (double)tess_profiles_width(profiles, c) * sizeof(float);
    return unread + tess_changes_growth(baselines->changes);
}

void tess_baselines_release(struct tess_baselines *baselines)
{
    for (int64_t c = 0; baselines->profiles && c < baselines->profiles->n_contexts; c++) {
        tess_free(baselines->mean[c]);
        tess_free(baselines->control[c]);
    }
    if (baselines->changes)
        tess_changes_release(baselines->changes);
    if (baselines->similar)
        tess_similar_release(baselines->similar);
    if (baselines->linear)
        tess_linear_release(baselines->linear);
    if (baselines->by_features)
        tess_by_features_release(baselines->by_features);
    tess_free(baselines->by_features);
    tess_doses_release(baselines->doses);
    tess_context_sums_release(baselines->parts);
    tess_interactions_release(baselines->interactions);
    tess_free(baselines->changes);
    tess_free(baselines->similar);
    tess_free(baselines->linear);
    tess_free(baselines->mean);
    tess_free(baselines->control);
    tess_free(baselines->overall);
    *baselines = (struct tess_baselines){0};
}
