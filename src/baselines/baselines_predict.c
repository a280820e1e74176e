/* baselines_predict.c -- what each baseline says about perturbations of one context. */
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
#include <string.h>

struct batch {
    struct tess_baselines *baselines;
    const struct tess_query *query;
    double *const *out;
    uint8_t *fallback;
    int64_t *place; /* (n_readouts) in the context's panel, or -1 */
    double *filled; /* (n_readouts) the context's mean, or the next best */
    double *zero; /* (n_readouts) its control, or the mean */
    int64_t *there; /* (n_readouts) room: places in another context's panel */
    float *room; /* (readouts of the store) */
    int trained; /* has the context training data? */
};

static void batch_init(struct batch *batch)
{
    const struct tess_baselines *baselines = batch->baselines;
    const struct tess_query *query = batch->query;
    const double *mean = baselines->mean[query->context];
    const double *control = baselines->control[query->context];

    batch->place = TESS_NEW(int64_t, query->n_readouts);
    batch->there = TESS_NEW(int64_t, query->n_readouts);
    batch->filled = TESS_NEW(double, query->n_readouts);
    batch->zero = TESS_NEW(double, query->n_readouts);
    batch->room = TESS_NEW(float, baselines->profiles->store->index.readout.n);
    tess_profiles_place(baselines->profiles, query->context, query->n_readouts, query->readout,
                        batch->place);
    for (int64_t i = 0; i < tess_profiles_width(baselines->profiles, query->context); i++)
        batch->trained |= !isnan(mean[i]);
    for (int64_t i = 0; i < query->n_readouts; i++) {
        int64_t at = batch->place[i];

        batch->filled[i] =
            at < 0 || isnan(mean[at]) ? baselines->overall[query->readout[i]] : mean[at];
        batch->zero[i] = at >= 0 && control && !isnan(control[at]) ? control[at] : batch->filled[i];
    }
}

static void batch_release(struct batch *batch)
{
    tess_free(batch->place);
    tess_free(batch->there);
    tess_free(batch->filled);
    tess_free(batch->zero);
    tess_free(batch->room);
}

static double *row_of(const struct batch *batch, int baseline, int64_t k)
{
    return batch->out[baseline] ? batch->out[baseline] + k * batch->query->n_readouts : NULL;
}

static void fall_back(const struct batch *batch, int baseline, int64_t k, int falls)
{
    batch->fallback[k * TESS_BASELINES + baseline] = (uint8_t)falls;
}

static void predict_means(const struct batch *batch)
{
    const struct tess_baselines *baselines = batch->baselines;
    int64_t context = batch->query->context, n = batch->query->n_readouts;

    for (int64_t k = 0; k < batch->query->n; k++) {
        double *global = row_of(batch, TESS_GLOBAL_MEAN, k);
        double *mean = row_of(batch, TESS_READOUT_MEAN, k);
        double *none = row_of(batch, TESS_NO_PERTURBATION, k);

        fall_back(batch, TESS_READOUT_MEAN, k, !batch->trained);
        fall_back(batch, TESS_NO_PERTURBATION, k, !baselines->control[context]);
        for (int64_t i = 0; global && i < n; i++)
            global[i] = baselines->global_mean;
        if (mean)
            memcpy(mean, batch->filled, (size_t)n * sizeof *mean);
        if (none)
            memcpy(none, batch->zero, (size_t)n * sizeof *none);
    }
}

/* The context's mean, plus the mean of the changes that the perturbation has in the other contexts.
 */
static void predict_additive(const struct batch *batch, int64_t k, struct tess_error *error)
{
    const struct tess_query *query = batch->query;
    double *out = row_of(batch, TESS_ADDITIVE, k);
    const struct tess_change_sum *changes =
        query->combination[k] < 0
            ? NULL
            : tess_changes_elsewhere(batch->baselines->changes, query->context,
                                     query->combination[k], error);

    for (int64_t i = 0; i < query->n_readouts; i++) {
        int64_t r = query->readout[i];

        out[i] = changes && changes->count[r] > 0 ? changes->sum[r] / changes->count[r] : 0;
        out[i] += batch->filled[i];
    }
}

/* The training unit of the combination in the other context that is most like this one (the first
 * wins a tie); UNLIKE if there are some but of none it can be told how alike it is; NOWHERE. */
enum { NOWHERE = -1, UNLIKE = -2 };

static int64_t nearest(const struct batch *batch, int64_t combination)
{
    const struct tess_profiles *profiles = batch->baselines->profiles;
    const struct tess_similar *similar = batch->baselines->similar;
    int64_t context = batch->query->context, best = NOWHERE;
    const double *r = similar ? similar->r + similar->number[context] * profiles->n_contexts : NULL;

    for (int64_t i = combination < 0 ? 0 : profiles->trained_first[combination];
         combination >= 0 && i < profiles->trained_first[combination + 1]; i++) {
        int64_t d = profiles->trained_in[i];

        if (d != context && (best < 0 || (r && r[d] > r[profiles->trained_in[best]])))
            best = i;
    }
    if (best < 0)
        return NOWHERE;
    return !r || r[profiles->trained_in[best]] <= -1 ? UNLIKE : profiles->trained[best];
}

static void predict_nearest(const struct batch *batch, int64_t k, int64_t unit,
                            struct tess_error *error)
{
    struct tess_baselines *baselines = batch->baselines;
    const struct tess_query *query = batch->query;
    double *out = row_of(batch, TESS_NEAREST_CONTEXT, k);
    int64_t context = baselines->profiles->context_of[unit];
    const float *row = tess_profiles_row(baselines->profiles, unit, batch->room, error);

    tess_profiles_place(baselines->profiles, context, query->n_readouts, query->readout,
                        batch->there);
    for (int64_t i = 0; row && i < query->n_readouts; i++) {
        double x = batch->there[i] < 0
                       ? NAN
                       : tess_profiles_change(baselines->mean, context, row, batch->there[i]);

        out[i] = (isnan(x) ? 0 : x) + batch->filled[i];
    }
}

static void predict_elsewhere(const struct batch *batch, struct tess_error *error)
{
    size_t bytes = (size_t)batch->query->n_readouts * sizeof(double);

    for (int64_t k = 0; k < batch->query->n && error->code == TESS_OK; k++) {
        int64_t unit = nearest(batch, batch->query->combination[k]);

        fall_back(batch, TESS_ADDITIVE, k, unit == NOWHERE);
        fall_back(batch, TESS_NEAREST_CONTEXT, k, unit < 0);
        if (batch->out[TESS_ADDITIVE])
            predict_additive(batch, k, error);
        if (batch->out[TESS_NEAREST_CONTEXT] && unit >= 0)
            predict_nearest(batch, k, unit, error);
        else if (batch->out[TESS_NEAREST_CONTEXT]) /* of NOWHERE the mean, too */
            memcpy(row_of(batch, TESS_NEAREST_CONTEXT, k), row_of(batch, TESS_ADDITIVE, k), bytes);
    }
}

/* The change of the k-th perturbation in factors, by one of the baselines that say it so. */
static int change_in_factors(const struct batch *batch, int baseline, int64_t k, double *z)
{
    const struct tess_baselines *baselines = batch->baselines;
    int64_t context = batch->query->context;
    const struct tess_featured of = {batch->query->combination[k],
                                     batch->query->symbol ? batch->query->symbol[k] : NULL};

    if (baseline == TESS_LINEAR)
        return tess_linear_predict(baselines->linear, baselines->profiles, context, of.combination,
                                   z);
    if (!baselines->by_features)
        return 0;
    return baseline == TESS_FEATURES
               ? tess_by_features_ridge(baselines->by_features, baselines->profiles, context, of, z)
               : tess_by_features_nearest(baselines->by_features, baselines->profiles,
                                          baselines->linear, context, of, z);
}

static void predict_factors(const struct batch *batch, int baseline)
{
    const struct tess_linear *linear = batch->baselines->linear;
    const struct tess_query *query = batch->query;
    double z[TESS_LINEAR_FACTORS];

    for (int64_t k = 0; k < query->n; k++) {
        double *out = row_of(batch, baseline, k);
        int known = change_in_factors(batch, baseline, k, z);

        fall_back(batch, baseline, k, !known);
        for (int64_t i = 0; i < query->n_readouts; i++) {
            double x = 0;

            for (int64_t j = 0; known && j < linear->k; j++)
                x += linear->readout[query->readout[i] * linear->k + j] * z[j];
            out[i] = x + batch->filled[i];
        }
    }
}

/* The components of perturbation k, as the store or as who asks knows it; none if nobody does. */
static int64_t components_of(const struct batch *batch, int64_t k, const int64_t **component)
{
    const struct tess_index *index = &batch->baselines->profiles->store->index;
    const struct tess_query *query = batch->query;
    int64_t combination = query->combination[k];
    const int64_t *first = combination >= 0 ? index->combination_first + combination
                           : query->first   ? query->first + k
                                            : NULL;

    if (!first)
        return 0;
    *component = (combination >= 0 ? index->combination_member : query->member) + first[0];
    return first[1] - first[0];
}

/* The control plus the changes of the components alone; one that is not measured changes nothing.
 */
static void add_changes(const struct batch *batch, int64_t n, const int64_t *unit, double *out,
                        struct tess_error *error)
{
    struct tess_profiles *profiles = batch->baselines->profiles;
    int64_t width = batch->query->n_readouts;

    memcpy(out, batch->zero, (size_t)width * sizeof *out);
    for (int64_t j = 0; j < n && error->code == TESS_OK; j++) {
        const float *row = tess_profiles_row(profiles, unit[j], batch->room, error);

        for (int64_t i = 0; row && i < width; i++)
            if (batch->place[i] >= 0 && !isnan(row[batch->place[i]]))
                out[i] += (double)row[batch->place[i]] - batch->zero[i];
    }
}

/* How the combination deviates from that; of a readout that its context lacks nothing is known. */
static void add_interaction(const struct batch *batch, int64_t n, const int64_t *unit, double *out)
{
    const struct tess_baselines *baselines = batch->baselines;
    const struct tess_linear *linear = baselines->linear;
    double z[TESS_LINEAR_FACTORS];

    tess_interactions_predict(baselines->interactions, baselines->profiles, n, unit, z);
    for (int64_t i = 0; i < batch->query->n_readouts; i++)
        for (int64_t j = 0; j < linear->k && batch->place[i] >= 0; j++)
            out[i] += linear->readout[batch->query->readout[i] * linear->k + j] * z[j];
}

/* Both fall back to `additive`, which must be there already. */
static void predict_sum(const struct batch *batch, int64_t k, struct tess_error *error)
{
    const struct tess_query *query = batch->query;
    const int64_t *component = NULL;
    int64_t n = components_of(batch, k, &component), *unit = TESS_NEW(int64_t, n);
    double *out = row_of(batch, TESS_ADDITIVE_COMPONENTS, k);
    double *beyond = row_of(batch, TESS_INTERACTING_COMPONENTS, k);
    size_t bytes = (size_t)query->n_readouts * sizeof *out;
    int found =
        tess_components_find(batch->baselines->profiles, query->context, n, component, unit);

    fall_back(batch, TESS_ADDITIVE_COMPONENTS, k, !found);
    fall_back(batch, TESS_INTERACTING_COMPONENTS, k, !found);
    if (found)
        add_changes(batch, n, unit, out, error);
    else
        memcpy(out, row_of(batch, TESS_ADDITIVE, k), bytes);
    if (beyond)
        memcpy(beyond, out, bytes);
    if (beyond && found && batch->baselines->interactions)
        add_interaction(batch, n, unit, beyond);
    tess_free(unit);
}

/* Doses between and beyond; `additive` where there are none. */
static void predict_interpolated(const struct batch *batch, double *room, int64_t k,
                                 struct tess_error *error)
{
    const struct tess_query *query = batch->query;
    double *out = row_of(batch, TESS_INTERPOLATED, k);
    const struct tess_dose_query asked = {query->context, query->combination[k],
                                          query->symbol ? query->symbol[k] : NULL, batch->room};
    int known =
        batch->baselines->doses && tess_doses_predict(batch->baselines->doses, &asked, room, error);

    fall_back(batch, TESS_INTERPOLATED, k, !known);
    memcpy(out, known ? batch->filled : row_of(batch, TESS_ADDITIVE, k),
           (size_t)query->n_readouts * sizeof *out);
    for (int64_t i = 0; known && i < query->n_readouts; i++)
        if (batch->place[i] >= 0 && !isnan(room[batch->place[i]]))
            out[i] = room[batch->place[i]];
}

static void predict_parts(const struct batch *batch, int64_t k, struct tess_error *error)
{
    const struct tess_query *query = batch->query;
    double *out = row_of(batch, TESS_ADDITIVE_PARTS, k);
    const struct tess_sum_query asked = {query->context, query->combination[k], query->n_readouts,
                                         query->readout, batch->filled,         batch->trained};
    int known = batch->baselines->parts &&
                tess_context_sums_predict(batch->baselines->parts, &asked, out, error);

    fall_back(batch, TESS_ADDITIVE_PARTS, k, !known);
    if (!known)
        memcpy(out, row_of(batch, TESS_ADDITIVE, k), (size_t)query->n_readouts * sizeof *out);
}

static void predict_named(const struct batch *batch, struct tess_error *error)
{
    double *room = TESS_NEW(double, batch->baselines->profiles->store->index.readout.n);

    for (int64_t k = 0; k < batch->query->n && error->code == TESS_OK; k++) {
        if (batch->out[TESS_INTERPOLATED])
            predict_interpolated(batch, room, k, error);
        if (batch->out[TESS_ADDITIVE_PARTS])
            predict_parts(batch, k, error);
    }
    tess_free(room);
}

/* The control where it was measured is what changes are counted from: every rule but the context's
 * mean says it itself, and none of them learned from it. */
static void predict_control(const struct batch *batch)
{
    const struct tess_query *query = batch->query;
    const struct tess_index *index = &batch->baselines->profiles->store->index;
    size_t bytes = (size_t)query->n_readouts * sizeof(double);

    for (int64_t k = 0; batch->baselines->control[query->context] && k < query->n; k++)
        for (int b = 0; b < TESS_BASELINES && query->combination[k] >= 0 &&
                        tess_index_is_control(index, query->combination[k]);
             b++) {
            if (b == TESS_GLOBAL_MEAN || b == TESS_READOUT_MEAN)
                continue;
            fall_back(batch, b, k, 0);
            if (row_of(batch, b, k))
                memcpy(row_of(batch, b, k), batch->zero, bytes);
        }
}

static const int by_factors[] = {TESS_LINEAR, TESS_FEATURES, TESS_NEAREST_FEATURES};

int tess_baselines_predict(struct tess_baselines *baselines, const struct tess_query *query,
                           double *const out[TESS_BASELINES], uint8_t *fallback,
                           struct tess_error *error)
{
    struct batch batch = {.baselines = baselines, .query = query, .out = out, .fallback = fallback};

    TESS_BUG_IF(!out[TESS_ADDITIVE] &&
                (out[TESS_NEAREST_CONTEXT] || out[TESS_ADDITIVE_COMPONENTS] ||
                 out[TESS_INTERPOLATED] || out[TESS_ADDITIVE_PARTS]));
    TESS_BUG_IF(out[TESS_INTERACTING_COMPONENTS] && !out[TESS_ADDITIVE_COMPONENTS]);
    memset(fallback, 0, (size_t)query->n * TESS_BASELINES);
    batch_init(&batch);
    predict_means(&batch);
    predict_elsewhere(&batch, error);
    for (size_t i = 0; i < sizeof by_factors / sizeof by_factors[0]; i++)
        if (out[by_factors[i]])
            predict_factors(&batch, by_factors[i]);
    for (int64_t k = 0; out[TESS_ADDITIVE_COMPONENTS] && k < query->n && error->code == TESS_OK;
         k++)
        predict_sum(&batch, k, error);
    predict_named(&batch, error);
    predict_control(&batch);
    batch_release(&batch);
    return error->code;
}
