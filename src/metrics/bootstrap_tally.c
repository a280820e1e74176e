/* bootstrap_tally.c -- sums of scores by perturbation: a column for each sum that is not zero. */
#include "bootstrap.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void tess_tally_init(struct tess_tally *tally, int n_methods, int64_t n_keys)
{
    *tally = (struct tess_tally){.n_methods = n_methods, .n_keys = n_keys};
    tally->place = TESS_NEW(int32_t, n_keys);
    tally->column = TESS_NEW(double *, n_methods *SUMS_OF_METHOD);
    tally->reasons = TESS_NEW(int64_t, n_methods * TESS_METRICS * TESS_REASONS);
    for (int64_t k = 0; k < n_keys; k++)
        tally->place[k] = -1;
}

void tess_tally_clear(struct tess_tally *tally)
{
    for (int64_t i = 0; i < tally->n; i++)
        tally->place[tally->key[i]] = -1;
    for (int64_t i = 0; i < (int64_t)tally->n_methods * SUMS_OF_METHOD; i++) {
        tess_free(tally->column[i]);
        tally->column[i] = NULL;
    }
    memset(tally->reasons, 0,
           (size_t)tally->n_methods * TESS_METRICS * TESS_REASONS * sizeof *tally->reasons);
    tally->n = tally->n_experiments = 0;
}

void tess_tally_release(struct tess_tally *tally)
{
    if (tally->column)
        tess_tally_clear(tally);
    tess_free(tally->place);
    tess_free(tally->key);
    tess_free(tally->column);
    tess_free(tally->reasons);
    *tally = (struct tess_tally){0};
}

static int64_t place_of(struct tess_tally *tally, int64_t key)
{
    int64_t room = tally->room ? 2 * tally->room : 256;

    TESS_BUG_IF(key < 0 || key >= tally->n_keys);
    if (tally->place[key] >= 0)
        return tally->place[key];
    if (tally->n == tally->room) {
        size_t from = (size_t)tally->room, to = (size_t)room;

        tally->key = tess_realloc(tally->key, from, to, sizeof *tally->key);
        for (int64_t i = 0; i < (int64_t)tally->n_methods * SUMS_OF_METHOD; i++)
            if (tally->column[i])
                tally->column[i] = tess_realloc(tally->column[i], from, to, sizeof(double));
        tally->room = room;
    }
    tally->key[tally->n] = key;
    tally->place[key] = (int32_t)tally->n;
    return tally->n++;
}

static void add(struct tess_tally *tally, int64_t place, int64_t sum, double x)
{
    double **column = &tally->column[sum];

    if (x == 0)
        return;
    if (!*column)
        *column = TESS_NEW(double, tally->room);
    (*column)[place] += x;
}

static void add_pool(struct tess_tally *tally, int64_t place, int64_t sum,
                     const struct tess_pool *pool)
{
    const double *x = &pool->n;

    for (int i = 0; i < SUMS_OF_POOL; i++)
        add(tally, place, sum + i, x[i]);
}

/* Means over experiments are compared over those where both methods have the score. */
void tess_tally_add(struct tess_tally *tally, int64_t key, const struct tess_scores *score)
{
    int64_t place = place_of(tally, key);

    tally->n_experiments++;
    for (int m = 0; m < tally->n_methods; m++) {
        int64_t *reasons = tally->reasons + (int64_t)m * TESS_METRICS * TESS_REASONS;

        add_pool(tally, place, (int64_t)m * SUMS_OF_METHOD, &score[m].pool);
        for (int k = 0; k < TESS_METRICS; k++)
            reasons[k * TESS_REASONS + score[m].reason[k]]++;
        for (int k = TESS_CHANGE; k < TESS_METRICS; k++) {
            int64_t at = sum_at(m, k);
            double own = score[m].value[k], first = score[0].value[k];

            if (isnan(own))
                continue;
            add(tally, place, at + SUM, own);
            add(tally, place, at + COUNT, 1);
            if (m == 0 || isnan(first))
                continue;
            add(tally, place, at + DIFFERENCE, first - own);
            add(tally, place, at + BASE, own);
            add(tally, place, at + BOTH, 1);
        }
    }
}

struct keyed {
    int64_t key, place;
};

static int compare_keys(const void *a, const void *b)
{
    const struct keyed *u = a, *v = b;

    return (u->key > v->key) - (u->key < v->key);
}

/* Scores that no method has (no control, small panels) are left out of all resamples. */
static void find_metrics(struct tess_sample *sample, const struct tess_tally *tally)
{
    for (int k = 0; k < TESS_METRICS; k++) {
        int any = k < TESS_CHANGE;

        for (int m = 0; m < tally->n_methods && !any; m++)
            any = tally->column[sum_at(m, k) + COUNT] != NULL;
        if (any)
            sample->metric[sample->n_metrics++] = k;
    }
}

/* Columns are found once: what all methods share (counts, sums of measured values) is one. */
static int64_t known_column(const struct tess_sample *sample, const double *column)
{
    for (int64_t i = 0; i < sample->n_columns; i++)
        if (memcmp(sample->column + i * sample->n_groups, column,
                   (size_t)sample->n_groups * sizeof *column) == 0)
            return i;
    return -1;
}

int64_t tess_sample_n_sums(const struct tess_sample *sample)
{
    return sample->n_methods * SUMS_OF_METHOD;
}

void tess_sample_alloc(struct tess_sample *sample)
{
    sample->column_of = TESS_NEW(int64_t, tess_sample_n_sums(sample));
    sample->metric = TESS_NEW(int64_t, TESS_METRICS);
    sample->column = TESS_NEW(double, sample->n_columns * sample->n_groups);
}

void tess_sample_init(struct tess_sample *sample, const struct tess_tally *tally)
{
    struct keyed *order = TESS_NEW(struct keyed, tally->n);
    int64_t n_sums = (int64_t)tally->n_methods * SUMS_OF_METHOD;

    *sample = (struct tess_sample){.n_methods = tally->n_methods, .n_groups = tally->n};
    for (int64_t i = 0; i < n_sums; i++)
        sample->n_columns += tally->column[i] != NULL;
    tess_sample_alloc(sample);
    sample->n_columns = 0;
    for (int64_t i = 0; i < tally->n; i++)
        order[i] = (struct keyed){tally->key[i], i};
    qsort(order, (size_t)tally->n, sizeof *order, compare_keys);
    for (int64_t s = 0; s < n_sums; s++) {
        double *column = sample->column + sample->n_columns * sample->n_groups;
        int64_t known;

        sample->column_of[s] = -1;
        for (int64_t i = 0; tally->column[s] && i < tally->n; i++)
            column[i] = tally->column[s][order[i].place];
        if (!tally->column[s])
            continue;
        known = known_column(sample, column);
        sample->column_of[s] = known >= 0 ? known : sample->n_columns++;
    }
    find_metrics(sample, tally);
    tess_free(order);
}

void tess_sample_release(struct tess_sample *sample)
{
    tess_free(sample->column_of);
    tess_free(sample->metric);
    tess_free(sample->column);
    *sample = (struct tess_sample){0};
}
