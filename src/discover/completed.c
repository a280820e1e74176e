/* completed.c -- rows are made as they are asked for, a perturbation at a time: of any number of
 * them none is kept. */
#include "completed.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/index.h"
#include "tessera/mapping.h"
#include "tessera/model.h"

#include <math.h>
#include <string.h>

/* Numbers of the store's symbols in the model; -1 without training data. */
static int64_t *map(const struct tess_vocab *from, const struct tess_vocab *to,
                    const uint8_t *trained)
{
    int64_t *number = TESS_NEW(int64_t, from->n);
    struct tess_mapping mapping;

    tess_mapping_init(&mapping, from, to, NULL);
    for (int64_t i = 0; i < from->n; i++)
        number[i] = mapping.to[i] >= 0 && trained[mapping.to[i]] ? mapping.to[i] : -1;
    tess_mapping_release(&mapping);
    return number;
}

/* Contexts in which perturbations of every type, control aside, were measured. */
static void find_shared(struct tess_completed *completed, const struct tess_kinds *kinds)
{
    const struct tess_profiles *profiles = &completed->measured->profiles;
    int64_t contexts = profiles->n_contexts, types = (int64_t)kinds->name.n, first;
    uint8_t *seen = TESS_NEW(uint8_t, (contexts + 1) * types);

    for (int64_t i = 0; i < kinds->n; i++) {
        int64_t n = tess_measurements_units(completed->measured, i, &first);

        if (!tess_kinds_has(kinds, i, NULL) || n == 0)
            continue;
        seen[contexts * types + kinds->type[i]] = 1; /* the type was measured at all */
        for (int64_t u = first; u < first + n; u++)
            seen[profiles->trained_in[u] * types + kinds->type[i]] = 1;
    }
    completed->shared = TESS_NEW(int64_t, contexts);
    for (int64_t c = 0; c < contexts; c++)
        if (completed->context[c] >= 0 &&
            memcmp(seen + c * types, seen + contexts * types, (size_t)types) == 0)
            completed->shared[completed->n_shared++] = c;
    tess_free(seen);
}

int tess_completed_init(struct tess_completed *completed, const struct tess_model *model,
                        struct tess_measurements *measured, const struct tess_kinds *kinds,
                        struct tess_error *error)
{
    const struct tess_index *index = &measured->store.index;
    int64_t width = index->readout.n;

    *completed = (struct tess_completed){.model = model,
                                         .measured = measured,
                                         .n_readouts = width,
                                         .n_parts = 1,
                                         .begin = {0, width, width}};
    completed->readout = map(&index->readout, &model->readout, model->trained_readout);
    completed->context = map(&index->context, &model->context, model->trained_context);
    find_shared(completed, kinds);
    if (completed->n_shared > 0) {
        completed->n_parts = 2;
        completed->begin[2] = width * (1 + completed->n_shared);
    }
    return tess_noise_init(&completed->noise, &measured->store, error);
}

/* One perturbation on its way. */
struct one {
    const struct tess_completed *completed;
    int64_t perturbation;
    int64_t n; /* contexts that it needs */
    int64_t *context; /* (contexts of the store) own */
    int64_t *place; /* (contexts of the store) among those, or -1; own */
    double *change; /* (n, readouts) NaN: to be predicted; own */
    int64_t n_own; /* the first ones are averaged */
};

static void need(struct one *one, int64_t context)
{
    if (one->place[context] < 0) {
        one->place[context] = one->n;
        one->context[one->n++] = context;
    }
}

/* The contexts where it was measured come first; of one that never was, all. */
static void list_contexts(struct one *one)
{
    const struct tess_completed *completed = one->completed;
    const struct tess_profiles *profiles = &completed->measured->profiles;
    int64_t first = 0, n = tess_measurements_units(completed->measured, one->perturbation, &first);

    one->context = TESS_NEW(int64_t, profiles->n_contexts);
    one->place = TESS_NEW(int64_t, profiles->n_contexts);
    for (int64_t c = 0; c < profiles->n_contexts; c++)
        one->place[c] = -1;
    for (int64_t u = first; u < first + n; u++)
        need(one, profiles->trained_in[u]);
    for (int64_t c = 0; c < profiles->n_contexts && n == 0; c++)
        if (completed->context[c] >= 0)
            need(one, c);
    one->n_own = one->n;
    for (int64_t s = 0; s < completed->n_shared; s++)
        need(one, completed->shared[s]);
}

/* Changes as they were measured; NaN where the context has a mean and nothing was. */
static int take_measured(struct one *one, float *room, struct tess_error *error)
{
    const struct tess_completed *completed = one->completed;
    struct tess_profiles *profiles = &completed->measured->profiles;
    double *const *mean = completed->measured->baselines.mean;
    int64_t first = 0, n = tess_measurements_units(completed->measured, one->perturbation, &first);

    for (int64_t i = 0; i < one->n; i++) {
        int64_t c = one->context[i], width = tess_profiles_width(profiles, c);
        const int64_t *readout = profiles->readout + profiles->readout_first[c];

        for (int64_t j = 0; j < width; j++)
            if (!isnan(mean[c][j]) && completed->readout[readout[j]] >= 0)
                one->change[i * completed->n_readouts + readout[j]] = NAN;
    }
    for (int64_t u = first; u < first + n; u++) {
        int64_t c = profiles->trained_in[u], width = tess_profiles_width(profiles, c);
        const int64_t *readout = profiles->readout + profiles->readout_first[c];
        const float *row = tess_profiles_row(profiles, profiles->trained[u], room, error);
        double *change = one->change + one->place[c] * completed->n_readouts;

        for (int64_t j = 0; row && j < width; j++)
            if (!isnan(tess_profiles_change(mean, c, row, j)))
                change[readout[j]] = tess_profiles_change(mean, c, row, j);
    }
    return error->code;
}

/* Of the context at place i, what is missing, as the model has it. */
static int predict(struct one *one, int64_t i, struct tess_error *error)
{
    const struct tess_completed *completed = one->completed;
    const struct tess_profiles *profiles = &completed->measured->profiles;
    int64_t c = one->context[i], n = 0, width = tess_profiles_width(profiles, c);
    const int64_t *readout = profiles->readout + profiles->readout_first[c];
    double *change = one->change + i * completed->n_readouts;
    int64_t *asked = TESS_NEW(int64_t, width), *at = TESS_NEW(int64_t, width);
    float *out = TESS_NEW(float, width);
    const struct tess_rows rows = {1, (const int64_t[]){0, 1}, &one->perturbation,
                                   &completed->context[c]};

    for (int64_t j = 0; j < width; j++)
        if (isnan(change[readout[j]])) {
            asked[n] = completed->readout[readout[j]];
            at[n++] = j;
        }
    if (n > 0 && completed->context[c] >= 0)
        tess_model_predict(
            completed->model, &rows,
            &(struct tess_model_columns){.n_readouts = n, .readout = asked, .out = out}, error);
    for (int64_t k = 0; k < n; k++)
        change[readout[at[k]]] =
            completed->context[c] < 0
                ? 0
                : (double)out[k] - completed->measured->baselines.mean[c][at[k]];
    tess_free(asked);
    tess_free(at);
    tess_free(out);
    return error->code;
}

/* Adds a change over `count`, at a length of 1: of large ones no more than of small ones. */
static void add_direction(int64_t width, const double *change, int64_t count, double *sum)
{
    double square = 0;

    for (int64_t j = 0; j < width; j++)
        square += change[j] * change[j];
    for (int64_t j = 0; j < width && square > 0; j++)
        sum[j] += change[j] / sqrt(square) / (double)count;
}

static void write_out(int64_t width, const double *x, float *out)
{
    for (int64_t j = 0; j < width; j++)
        out[j] = (float)x[j];
}

static int make_one(const struct tess_completed *completed, int64_t perturbation, float *out,
                    struct tess_error *error)
{
    struct one one = {.completed = completed, .perturbation = perturbation};
    int64_t width = completed->n_readouts;
    double *mean = TESS_NEW(double, width);
    float *room = TESS_NEW(float, width);

    list_contexts(&one);
    one.change = TESS_NEW(double, one.n *width);
    take_measured(&one, room, error);
    for (int64_t i = 0; i < one.n && error->code == TESS_OK; i++)
        predict(&one, i, error);
    for (int64_t i = 0; i < one.n; i++)
        tess_noise_divide(&completed->noise, one.change + i * width);
    for (int64_t i = 0; i < one.n_own; i++)
        add_direction(width, one.change + i * width, one.n_own, mean);
    write_out(width, mean, out);
    for (int64_t s = 0; s < completed->n_shared; s++)
        write_out(width, one.change + one.place[completed->shared[s]] * width,
                  out + (1 + s) * width);
    tess_free(one.context);
    tess_free(one.place);
    tess_free(one.change);
    tess_free(mean);
    tess_free(room);
    return error->code;
}

int tess_completed_make(const void *closure, int64_t first, int64_t n, float *out,
                        struct tess_error *error)
{
    const struct tess_completed *completed = closure;
    int64_t width = completed->begin[completed->n_parts];

    memset(out, 0, (size_t)(n * width) * sizeof *out);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        if (completed->model->trained_perturbation[first + i])
            make_one(completed, first + i, out + i * width, error);
    return error->code;
}

void tess_completed_release(struct tess_completed *completed)
{
    tess_noise_release(&completed->noise);
    tess_free(completed->readout);
    tess_free(completed->context);
    tess_free(completed->shared);
    *completed = (struct tess_completed){.n_readouts = 0};
}
