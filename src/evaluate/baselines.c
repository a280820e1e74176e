/* baselines.c -- means, and what other contexts say about a perturbation. */
#include "tessera/baselines.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[TESS_BASELINES] = {
    "global_mean",     "readout_mean", "no_perturbation",     "additive",
    "nearest_context", "linear",       "additive_components",
};

const char *tess_baseline_name(int baseline)
{
    return names[baseline];
}

const char *tess_baseline_excuse(int baseline)
{
    return baseline == TESS_NO_PERTURBATION ? "no control is measured in these contexts"
           : baseline == TESS_ADDITIVE_COMPONENTS
               ? "none is a combination whose components are all trained on alone in its context"
               : NULL;
}

/* Sum and count of all training values, for the global mean. */
struct total {
    double sum, n;
};

/* One experiment's measured values to the sums. */
static void add_measured(int64_t n, const float *x, double *sum, double *count)
{
    for (int64_t i = 0; i < n; i++)
        if (!isnan(x[i])) {
            sum[i] += (double)x[i];
            count[i] += 1;
        }
}

/* The context's mean over training units (each counts once, however many replicates it has), and
 * the control's profile; sums and counts of all values go to `total`. */
static int find_means(struct tess_baselines *baselines, int64_t context, struct total *total,
                      struct tess_error *error)
{
    struct tess_profiles *profiles = baselines->profiles;
    int64_t n = tess_profiles_width(profiles, context), first = profiles->context_first[context];
    const float *value = tess_profiles_read(profiles, context, error);
    double *mean = baselines->mean[context], *count = TESS_NEW(double, n);

    for (int64_t u = first; value && u < profiles->context_first[context + 1]; u++) {
        const float *x = value + (u - first) * n;

        if (tess_profiles_trains(profiles, u))
            add_measured(n, x, mean, count);
        if (baselines->control[context] && profiles->split[u] == TESS_TRAIN &&
            tess_index_is_control(&profiles->store->index, profiles->combination[u]))
            for (int64_t i = 0; i < n; i++)
                baselines->control[context][i] = (double)x[i];
    }
    for (int64_t i = 0; i < n; i++) {
        total->sum += mean[i];
        total->n += count[i];
        mean[i] = count[i] > 0 ? mean[i] / count[i] : NAN;
    }
    tess_free(count);
    return error->code;
}

/* What stands in for a readout without training data in a context: the mean of the contexts that
 * have some, each counting once; else the mean of everything. */
static void find_overall(struct tess_baselines *baselines, const struct total *total)
{
    struct tess_profiles *profiles = baselines->profiles;
    int64_t n = profiles->store->index.readout.n;
    double *count = TESS_NEW(double, n);
    struct total all = {0, 0};

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        const int64_t *readout = profiles->readout + profiles->readout_first[c];

        all.sum += total[c].sum;
        all.n += total[c].n;
        for (int64_t i = 0; i < tess_profiles_width(profiles, c); i++)
            if (!isnan(baselines->mean[c][i])) {
                baselines->overall[readout[i]] += baselines->mean[c][i];
                count[readout[i]] += 1;
            }
    }
    baselines->global_mean = all.n > 0 ? all.sum / all.n : NAN;
    for (int64_t r = 0; r < n; r++)
        baselines->overall[r] =
            count[r] > 0 ? baselines->overall[r] / count[r] : baselines->global_mean;
    tess_free(count);
}

static int64_t control_combination(const struct tess_profiles *profiles)
{
    const struct tess_index *index = &profiles->store->index;

    return index->control < 0 ? -1 : tess_index_find(index, 1, &index->control);
}

static void broadcast_means(struct tess_baselines *baselines, struct total *total, MPI_Comm comm)
{
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    for (int64_t c = 0; c < baselines->profiles->n_contexts; c++) {
        int root = (int)(c % n_ranks), n = tess_int(tess_profiles_width(baselines->profiles, c));

        MPI_Bcast(baselines->mean[c], n, MPI_DOUBLE, root, comm);
        if (baselines->control[c])
            MPI_Bcast(baselines->control[c], n, MPI_DOUBLE, root, comm);
        MPI_Bcast(&total[c], 2, MPI_DOUBLE, root, comm);
    }
}

/* Context c is found by rank c mod n_ranks, whole and in its own order, and sent from there
 * (broadcast_means): the same bits on any number of ranks. */
int tess_baselines_init(struct tess_baselines *baselines, struct tess_profiles *profiles,
                        MPI_Comm comm, struct tess_error *error)
{
    int64_t n = profiles->n_contexts, control = control_combination(profiles);
    struct total *total = TESS_NEW(struct total, n);
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    *baselines = (struct tess_baselines){.profiles = profiles, .similar_to = -1};
    baselines->mean = TESS_NEW(double *, n);
    baselines->control = TESS_NEW(double *, n);
    baselines->overall = TESS_NEW(double, profiles->store->index.readout.n);
    baselines->similarity = TESS_NEW(double, n);
    for (int64_t c = 0; c < n; c++) {
        baselines->mean[c] = TESS_NEW(double, tess_profiles_width(profiles, c));
        if (control >= 0 && tess_profiles_find(profiles, c, control, TESS_TRAIN) >= 0)
            baselines->control[c] = TESS_NEW(double, tess_profiles_width(profiles, c));
    }
    for (int64_t c = rank; c < n && error->code == TESS_OK; c += n_ranks)
        find_means(baselines, c, &total[c], error);
    if (tess_agree(comm, error) == TESS_OK) {
        broadcast_means(baselines, total, comm);
        find_overall(baselines, total);
        tess_linear_init(&baselines->linear, profiles, baselines->mean, comm, error);
    }
    tess_free(total);
    return error->code;
}

void tess_baselines_release(struct tess_baselines *baselines)
{
    for (int64_t c = 0; baselines->profiles && c < baselines->profiles->n_contexts; c++) {
        tess_free(baselines->mean[c]);
        tess_free(baselines->control[c]);
    }
    tess_free(baselines->mean);
    tess_free(baselines->control);
    tess_free(baselines->overall);
    tess_free(baselines->similarity);
    tess_linear_release(&baselines->linear);
    *baselines = (struct tess_baselines){0};
}

/* One of `other`'s readouts for each of the context's: its place there, or -1. */
static int64_t *match_readouts(const struct tess_profiles *profiles, int64_t context, int64_t other)
{
    const int64_t *mine = profiles->readout + profiles->readout_first[context];
    const int64_t *theirs = profiles->readout + profiles->readout_first[other];
    int64_t n = tess_profiles_width(profiles, context), k = 0;
    int64_t *place = TESS_NEW(int64_t, n);

    for (int64_t i = 0; i < n; i++) {
        while (k < tess_profiles_width(profiles, other) && theirs[k] < mine[i])
            k++;
        place[i] =
            k < tess_profiles_width(profiles, other) && theirs[k] == mine[i] ? k : (int64_t)-1;
    }
    return place;
}

/* Sums for Pearson's r; changes have a mean near zero, so that one pass is enough. */
struct moments {
    double n, x, y, xx, yy, xy;
};

static double correlate(const struct moments *m)
{
    double xx = m->xx - m->x * m->x / m->n, yy = m->yy - m->y * m->y / m->n;

    if (m->n < 1 || xx <= 1e-14 * m->xx || yy <= 1e-14 * m->yy)
        return -1;
    return (m->xy - m->x * m->y / m->n) / sqrt(xx * yy);
}

/* Pearson of the changes over the training perturbations (at least 3) and readouts that the two
 * contexts share; -1 if it cannot be told. */
static double similarity(struct tess_baselines *baselines, int64_t context, const float *value,
                         int64_t other, const float *other_value)
{
    const struct tess_profiles *profiles = baselines->profiles;
    int64_t *place = match_readouts(profiles, context, other), shared = 0;
    struct moments m = {0};

    for (int64_t u = profiles->context_first[context]; u < profiles->context_first[context + 1];
         u++) {
        int64_t v = tess_profiles_trains(profiles, u)
                        ? tess_profiles_find(profiles, other, profiles->combination[u], TESS_TRAIN)
                        : -1;

        shared += v >= 0;
        for (int64_t i = 0; v >= 0 && i < tess_profiles_width(profiles, context); i++) {
            double x = tess_profiles_change(profiles, baselines->mean, context, value, u, i), y;

            if (place[i] < 0 || isnan(x))
                continue;
            y = tess_profiles_change(profiles, baselines->mean, other, other_value, v, place[i]);
            if (isnan(y))
                continue;
            m.n += 1;
            m.x += x;
            m.y += y;
            m.xx += x * x;
            m.yy += y * y;
            m.xy += x * y;
        }
    }
    tess_free(place);
    return shared > 2 ? correlate(&m) : -1;
}

/* The context is pinned by the caller: `value` stays while the others are read. */
static int find_similar(struct tess_baselines *baselines, int64_t context, struct tess_error *error)
{
    struct tess_profiles *profiles = baselines->profiles;
    const float *value = tess_profiles_read(profiles, context, error), *other;

    if (baselines->similar_to == context)
        return error->code;
    for (int64_t d = 0; d < profiles->n_contexts && error->code == TESS_OK; d++) {
        other = d == context ? NULL : tess_profiles_read(profiles, d, error);
        baselines->similarity[d] = other ? similarity(baselines, context, value, d, other) : -2;
    }
    if (error->code == TESS_OK)
        baselines->similar_to = context;
    return error->code;
}

/* The other context with the combination in training that is most like the unit's (the first wins a
 * tie); UNLIKE if there are some but of none it can be told how alike it is; NOWHERE. */
enum { NOWHERE = -1, UNLIKE = -2 };

static int64_t nearest(const struct tess_baselines *baselines, int64_t unit)
{
    const struct tess_profiles *profiles = baselines->profiles;
    int64_t best = NOWHERE;

    for (int64_t d = 0; d < profiles->n_contexts; d++)
        if (d != profiles->context_of[unit] &&
            tess_profiles_find(profiles, d, profiles->combination[unit], TESS_TRAIN) >= 0 &&
            (best < 0 || baselines->similarity[d] > baselines->similarity[best]))
            best = d;
    return best >= 0 && baselines->similarity[best] <= -1 ? UNLIKE : best;
}

struct batch {
    int64_t context, n, width;
    const int64_t *unit;
    double *const *out;
    uint8_t *fallback;
    double *filled; /* (width) the context's mean, or the next best */
};

/* Changes of the batch's perturbations in context `other`, added to the sums of `additive`, and
 * taken by those whose nearest context it is. */
static void visit(struct tess_baselines *baselines, const struct batch *batch, int64_t other,
                  const float *value, const int64_t *nearest_of, int32_t *count)
{
    const struct tess_profiles *profiles = baselines->profiles;
    int64_t *place = match_readouts(profiles, batch->context, other);

    for (int64_t k = 0; k < batch->n; k++) {
        int64_t combination = profiles->combination[batch->unit[k]];
        int64_t u = tess_profiles_find(profiles, other, combination, TESS_TRAIN);

        for (int64_t i = 0; u >= 0 && i < batch->width; i++) {
            int64_t at = k * batch->width + i;
            double x = place[i] < 0 ? NAN
                                    : tess_profiles_change(profiles, baselines->mean, other, value,
                                                           u, place[i]);

            if (isnan(x))
                continue;
            batch->out[TESS_ADDITIVE][at] += x;
            count[at]++;
            if (nearest_of[k] == other)
                batch->out[TESS_NEAREST_CONTEXT][at] = x;
        }
    }
    tess_free(place);
}

/* additive and nearest_context: the context's mean, plus the mean of the changes that the
 * perturbation has in the other contexts, or its change in the most similar one. Contexts are read
 * once each, in their order: sums do not depend on what is in the cache. */
static int predict_elsewhere(struct tess_baselines *baselines, const struct batch *batch,
                             struct tess_error *error)
{
    struct tess_profiles *profiles = baselines->profiles;
    int64_t *nearest_of = TESS_NEW(int64_t, batch->n), size = batch->n * batch->width;
    int32_t *count = TESS_NEW(int32_t, size);

    profiles->pinned = batch->context;
    find_similar(baselines, batch->context, error);
    for (int64_t k = 0; k < batch->n; k++)
        nearest_of[k] = nearest(baselines, batch->unit[k]);
    for (int64_t d = 0; d < profiles->n_contexts && error->code == TESS_OK; d++) {
        const float *value = NULL;
        int64_t k = 0;

        while (k < batch->n &&
               tess_profiles_find(profiles, d, profiles->combination[batch->unit[k]], TESS_TRAIN) <
                   0)
            k++;
        if (k < batch->n && d != batch->context)
            value = tess_profiles_read(profiles, d, error);
        if (value)
            visit(baselines, batch, d, value, nearest_of, count);
    }
    for (int64_t i = 0; i < size; i++) {
        if (count[i] > 0)
            batch->out[TESS_ADDITIVE][i] /= count[i];
        if (nearest_of[i / batch->width] == UNLIKE)
            batch->out[TESS_NEAREST_CONTEXT][i] = batch->out[TESS_ADDITIVE][i];
        batch->out[TESS_ADDITIVE][i] += batch->filled[i % batch->width];
        batch->out[TESS_NEAREST_CONTEXT][i] += batch->filled[i % batch->width];
    }
    for (int64_t k = 0; k < batch->n; k++) {
        batch->fallback[k * TESS_BASELINES + TESS_ADDITIVE] = nearest_of[k] == NOWHERE;
        batch->fallback[k * TESS_BASELINES + TESS_NEAREST_CONTEXT] = nearest_of[k] < 0;
    }
    profiles->pinned = -1;
    tess_free(nearest_of);
    tess_free(count);
    return error->code;
}

/* The units of a combination's components alone, trained on in the context: how many, or 0 if one
 * is missing or it is no combination. */
static int64_t find_components(const struct tess_profiles *profiles, int64_t context,
                               int64_t combination, int64_t *unit)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t first = index->combination_first[combination];
    int64_t n = index->combination_first[combination + 1] - first;

    for (int64_t i = 0; i < n; i++) {
        int64_t single = tess_index_find(index, 1, &index->combination_member[first + i]);

        unit[i] = single < 0 ? -1 : tess_profiles_find(profiles, context, single, TESS_TRAIN);
        if (unit[i] < 0)
            return 0;
    }
    return n > 1 ? n : 0;
}

/* The control plus the changes of the components alone; one that is not measured changes nothing.
 * Falls back to `additive`, which must be there already. */
static void predict_components(struct tess_baselines *baselines, const struct batch *batch,
                               const float *value)
{
    const struct tess_profiles *profiles = baselines->profiles;
    const double *control = baselines->control[batch->context];
    const struct tess_index *index = &profiles->store->index;
    double *out = batch->out[TESS_ADDITIVE_COMPONENTS];

    for (int64_t k = 0; k < batch->n; k++) {
        int64_t combination = profiles->combination[batch->unit[k]];
        int64_t *part = TESS_NEW(int64_t, index->combination_first[combination + 1] -
                                              index->combination_first[combination]);
        int64_t n = find_components(profiles, batch->context, combination, part);

        batch->fallback[k * TESS_BASELINES + TESS_ADDITIVE_COMPONENTS] = n == 0;
        for (int64_t i = 0; i < batch->width; i++) {
            double zero = control && !isnan(control[i]) ? control[i] : batch->filled[i];
            double *x = &out[k * batch->width + i];

            *x = n ? zero : batch->out[TESS_ADDITIVE][k * batch->width + i];
            for (int64_t j = 0; j < n; j++) {
                int64_t row = part[j] - profiles->context_first[batch->context];
                double y = (double)value[row * batch->width + i];

                *x += isnan(y) ? 0 : y - zero;
            }
        }
        tess_free(part);
    }
}

static void predict_means(struct tess_baselines *baselines, const struct batch *batch)
{
    const double *control = baselines->control[batch->context];
    const double *mean = baselines->mean[batch->context];
    int trained = 0;

    for (int64_t i = 0; i < batch->width; i++)
        trained |= !isnan(mean[i]);
    for (int64_t k = 0; k < batch->n; k++) {
        batch->fallback[k * TESS_BASELINES + TESS_READOUT_MEAN] = !trained;
        batch->fallback[k * TESS_BASELINES + TESS_NO_PERTURBATION] = !control;
        for (int64_t i = 0; i < batch->width; i++) {
            int64_t at = k * batch->width + i;

            batch->out[TESS_GLOBAL_MEAN][at] = baselines->global_mean;
            batch->out[TESS_READOUT_MEAN][at] = batch->filled[i];
            batch->out[TESS_NO_PERTURBATION][at] =
                control && !isnan(control[i]) ? control[i] : batch->filled[i];
        }
    }
}

static void predict_linear(struct tess_baselines *baselines, const struct batch *batch)
{
    const struct tess_profiles *profiles = baselines->profiles;

    for (int64_t k = 0; k < batch->n; k++) {
        double *out = batch->out[TESS_LINEAR] + k * batch->width;

        batch->fallback[k * TESS_BASELINES + TESS_LINEAR] =
            !tess_linear_predict(&baselines->linear, baselines->profiles, batch->context,
                                 profiles->combination[batch->unit[k]], out);
        for (int64_t i = 0; i < batch->width; i++)
            out[i] += batch->filled[i];
    }
}

int tess_baselines_predict(struct tess_baselines *baselines, struct tess_units units,
                           double *const out[TESS_BASELINES], uint8_t *fallback,
                           struct tess_error *error)
{
    struct tess_profiles *profiles = baselines->profiles;
    int64_t context = units.context, n = units.n;
    struct batch batch = {context,  n,   tess_profiles_width(profiles, context), units.unit, out,
                          fallback, NULL};
    const int64_t *readout = profiles->readout + profiles->readout_first[context];
    const float *value;

    batch.filled = TESS_NEW(double, batch.width);
    for (int64_t i = 0; i < batch.width; i++)
        batch.filled[i] = isnan(baselines->mean[context][i]) ? baselines->overall[readout[i]]
                                                             : baselines->mean[context][i];
    for (int b = 0; b < TESS_BASELINES; b++)
        memset(out[b], 0, (size_t)(n * batch.width) * sizeof(double));
    memset(fallback, 0, (size_t)n * TESS_BASELINES);
    predict_means(baselines, &batch);
    predict_linear(baselines, &batch);
    predict_elsewhere(baselines, &batch, error);
    value = tess_profiles_read(profiles, context, error);
    if (value)
        predict_components(baselines, &batch, value); /* last: may fall back to `additive` */
    tess_free(batch.filled);
    return error->code;
}
