/* baseline_parts.c -- the baseline `additive_parts`.
 *
 * A context's mean is its own, or without training data the mean of all contexts plus, for each of
 * its parts, how far the contexts with that part lie from it. A perturbation's change is the mean
 * of its changes in all other contexts plus, for each part, how far the changes in the contexts
 * with that part lie from it, shrunk as if one context more had the mean. */
#include "baseline_parts.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SEPARATOR '_'
#define SHRINKAGE 1.0 /* contexts' worth of belief in the mean of all */

/* Each context's parts as numbers; 0 if they are not alike, or nothing is shared. */
static int number_parts(struct tess_context_sums *sums, const struct tess_vocab *context)
{
    struct tess_intern names = {0};
    int alike = context->n > 1;

    for (int64_t c = 0; c < context->n && alike; c++) {
        struct tess_strings part = {0};

        tess_strings_split(&part, context->symbol[c], SEPARATOR);
        if (c == 0) {
            sums->each = (int64_t)part.n;
            sums->part = TESS_NEW(int64_t, context->n * sums->each);
        }
        alike = (int64_t)part.n == sums->each && sums->each > 1;
        for (int64_t k = 0; alike && k < sums->each; k++) {
            char *name = tess_format("%lld:%s", (long long)k, part.item[k]);

            sums->part[c * sums->each + k] = tess_intern_add(&names, name, strlen(name));
            tess_free(name);
        }
        tess_strings_release(&part);
    }
    alike = alike && names.n < context->n * sums->each;
    tess_intern_release(&names);
    return alike;
}

struct tess_context_sums *tess_context_sums_init(struct tess_profiles *profiles,
                                                 double *const *mean, const double *overall)
{
    struct tess_context_sums *sums = TESS_NEW(struct tess_context_sums, 1);

    *sums = (struct tess_context_sums){profiles, mean, overall, 0, NULL};
    if (number_parts(sums, &profiles->store->index.context))
        return sums;
    tess_context_sums_release(sums);
    return NULL;
}

void tess_context_sums_release(struct tess_context_sums *sums)
{
    if (!sums)
        return;
    tess_free(sums->part);
    tess_free(sums);
}

/* Sums over contexts: of all (0) and of those with each part (1 + k); own. */
struct spread {
    int64_t n; /* readouts */
    double *sum, *count; /* (1 + parts, n) */
};

static void spread_init(struct spread *spread, const struct tess_context_sums *sums, int64_t n)
{
    spread->n = n;
    spread->sum = TESS_NEW(double, (1 + sums->each) * n);
    spread->count = TESS_NEW(double, (1 + sums->each) * n);
}

static void spread_release(struct spread *spread)
{
    tess_free(spread->sum);
    tess_free(spread->count);
}

/* A value of another context at a readout. */
static void add(struct spread *spread, const struct tess_context_sums *sums, const int64_t pair[2],
                int64_t i, double x)
{
    const int64_t *mine = sums->part + pair[0] * sums->each,
                  *other = sums->part + pair[1] * sums->each;

    for (int64_t k = 0; k <= sums->each && !isnan(x); k++)
        if (k == 0 || mine[k - 1] == other[k - 1]) {
            spread->sum[k * spread->n + i] += x;
            spread->count[k * spread->n + i] += 1;
        }
}

/* The mean of all plus what each part adds to it. */
static double total(const struct spread *spread, const struct tess_context_sums *sums, int64_t i,
                    double shrinkage, double otherwise)
{
    double mean = spread->count[i] > 0 ? spread->sum[i] / spread->count[i] : otherwise, x = mean;

    for (int64_t k = 1; k <= sums->each; k++) {
        double n = spread->count[k * spread->n + i];

        if (n > 0)
            x += (spread->sum[k * spread->n + i] - n * mean) / (n + shrinkage);
    }
    return x;
}

/* Means of the contexts, as a sum of parts. */
static void predict_mean(const struct tess_context_sums *sums, const struct tess_sum_query *query,
                         double *out)
{
    const struct tess_profiles *profiles = sums->profiles;
    int64_t *place = TESS_NEW(int64_t, query->n_readouts);
    struct spread spread;

    spread_init(&spread, sums, query->n_readouts);
    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        const int64_t pair[2] = {query->context, c};

        tess_profiles_place(profiles, c, query->n_readouts, query->readout, place);
        for (int64_t i = 0; i < query->n_readouts; i++)
            add(&spread, sums, pair, i, place[i] < 0 ? NAN : sums->mean[c][place[i]]);
    }
    for (int64_t i = 0; i < query->n_readouts; i++)
        out[i] = total(&spread, sums, i, 0, sums->overall[query->readout[i]]);
    spread_release(&spread);
    tess_free(place);
}

static int shares(const struct tess_context_sums *sums, int64_t a, int64_t b)
{
    int shared = 0;

    for (int64_t k = 0; k < sums->each; k++)
        shared |= sums->part[a * sums->each + k] == sums->part[b * sums->each + k];
    return shared;
}

int tess_context_sums_predict(const struct tess_context_sums *sums,
                              const struct tess_sum_query *query, double *out,
                              struct tess_error *error)
{
    struct tess_profiles *profiles = sums->profiles;
    int64_t p = query->combination, *place = TESS_NEW(int64_t, query->n_readouts);
    float *room = TESS_NEW(float, profiles->store->index.readout.n);
    struct spread spread;
    int known = 0;

    spread_init(&spread, sums, query->n_readouts);
    for (int64_t j = p < 0 ? 0 : profiles->trained_first[p];
         p >= 0 && j < profiles->trained_first[p + 1] && error->code == TESS_OK; j++) {
        const int64_t pair[2] = {query->context, profiles->trained_in[j]};
        const float *row;

        if (pair[1] == pair[0] ||
            !(row = tess_profiles_row(profiles, profiles->trained[j], room, error)))
            continue;
        known |= shares(sums, pair[0], pair[1]);
        tess_profiles_place(profiles, pair[1], query->n_readouts, query->readout, place);
        for (int64_t i = 0; i < query->n_readouts; i++)
            add(&spread, sums, pair, i,
                place[i] < 0 ? NAN : tess_profiles_change(sums->mean, pair[1], row, place[i]));
    }
    if (query->trained)
        memcpy(out, query->filled, (size_t)query->n_readouts * sizeof *out);
    else
        predict_mean(sums, query, out);
    for (int64_t i = 0; i < query->n_readouts; i++)
        out[i] += total(&spread, sums, i, SHRINKAGE, 0);
    spread_release(&spread);
    tess_free(place);
    tess_free(room);
    return known;
}
