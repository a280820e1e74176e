/* profiles.c -- units of replicates, read by context. */
#include "tessera/profiles.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)2 << 30)
#define READ_VALUES ((int64_t)4 << 20) /* floats at a time */

struct row {
    int64_t context, combination, split, experiment;
};

/* No two rows are equal, as experiments have numbers: the order is the same with any qsort. */
static int compare_rows(const void *a, const void *b)
{
    const int64_t *u = a, *v = b; /* four numbers, the first that differs decides */

    for (int i = 0; i < 4; i++)
        if (u[i] != v[i])
            return u[i] < v[i] ? -1 : 1;
    return 0;
}

static int same_unit(const struct row *a, const struct row *b)
{
    return a->context == b->context && a->combination == b->combination && a->split == b->split;
}

/* Sorted, the rows of a unit stand together, and the units of a context by combination and split:
 * by that order tess_profiles_find searches. */
static void find_units(struct tess_profiles *profiles, const struct tess_index *index)
{
    int64_t n = index->n_experiments, unit = -1;
    struct row *row = TESS_NEW(struct row, n);

    for (int64_t i = 0; i < n; i++) {
        row[i] = (struct row){index->context_of[i], index->combination[i], index->split[i], i};
        profiles->experiment_first[index->context_of[i] + 1]++;
    }
    qsort(row, (size_t)n, sizeof *row, compare_rows);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || !same_unit(&row[i], &row[i - 1])) {
            unit++;
            profiles->context_of[unit] = row[i].context;
            profiles->combination[unit] = row[i].combination;
            profiles->split[unit] = (int8_t)row[i].split;
            profiles->row_first[unit] = i;
            profiles->context_first[row[i].context + 1]++;
        }
        profiles->row[i] = row[i].experiment;
    }
    profiles->n_units = unit + 1;
    profiles->row_first[unit + 1] = n;
    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        profiles->context_first[c + 1] += profiles->context_first[c];
        profiles->experiment_first[c + 1] += profiles->experiment_first[c];
    }
    tess_free(row);
}

/* Marks the readouts of a context's panels; experiments of one panel follow each other. */
static void mark_readouts(const struct tess_profiles *profiles, const struct tess_index *index,
                          int64_t context, uint8_t *seen)
{
    int64_t first = profiles->experiment_first[context];

    memset(seen, 0, (size_t)index->readout.n);
    for (int64_t i = first; i < profiles->experiment_first[context + 1]; i++) {
        const int64_t *columns = index->panel_first + index->panel[i];

        if (i > first && index->panel[i] == index->panel[i - 1])
            continue;
        for (int64_t k = columns[0]; k < columns[1]; k++)
            seen[index->panel_readout[k]] = 1;
    }
}

static void find_readouts(struct tess_profiles *profiles, const struct tess_index *index)
{
    uint8_t *seen = TESS_NEW(uint8_t, index->readout.n);
    size_t room = 0;
    int64_t n = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        mark_readouts(profiles, index, c, seen);
        profiles->readout = tess_grow(profiles->readout, &room, (size_t)(n + index->readout.n),
                                      sizeof *profiles->readout);
        for (int64_t r = 0; r < index->readout.n; r++)
            if (seen[r])
                profiles->readout[n++] = r;
        profiles->readout_first[c + 1] = n;
    }
    tess_free(seen);
}

void tess_profiles_init(struct tess_profiles *profiles, const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    int64_t n = index->n_experiments, n_contexts = index->context.n;

    *profiles = (struct tess_profiles){
        .store = store, .n_contexts = n_contexts, .budget = CACHE_BYTES, .pinned = -1};
    profiles->context_first = TESS_NEW(int64_t, n_contexts + 1);
    profiles->experiment_first = TESS_NEW(int64_t, n_contexts + 1);
    profiles->readout_first = TESS_NEW(int64_t, n_contexts + 1);
    profiles->context = TESS_NEW(struct tess_context_profiles, n_contexts);
    profiles->context_of = TESS_NEW(int64_t, n);
    profiles->combination = TESS_NEW(int64_t, n);
    profiles->split = TESS_NEW(int8_t, n);
    profiles->row_first = TESS_NEW(int64_t, n + 1);
    profiles->row = TESS_NEW(int64_t, n);
    find_units(profiles, index);
    find_readouts(profiles, index);
}

void tess_profiles_release(struct tess_profiles *profiles)
{
    for (int64_t c = 0; c < profiles->n_contexts; c++)
        tess_free(profiles->context[c].value);
    tess_free(profiles->context_first);
    tess_free(profiles->experiment_first);
    tess_free(profiles->readout_first);
    tess_free(profiles->context);
    tess_free(profiles->context_of);
    tess_free(profiles->combination);
    tess_free(profiles->split);
    tess_free(profiles->row_first);
    tess_free(profiles->row);
    tess_free(profiles->readout);
    *profiles = (struct tess_profiles){0};
}

/* A walk along two ascending lists: the panel's readouts are some of the context's. */
void tess_profiles_spread(const struct tess_profiles *profiles, int64_t experiment,
                          const float *value, float *out)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t context = index->context_of[experiment], panel = index->panel[experiment];
    const int64_t *to = profiles->readout + profiles->readout_first[context];
    const int64_t *from = index->panel_readout + index->panel_first[panel];
    int64_t n = index->panel_first[panel + 1] - index->panel_first[panel], k = 0;

    for (int64_t r = 0; r < tess_profiles_width(profiles, context); r++)
        out[r] = k < n && from[k] == to[r] ? value[k++] : NAN;
}

/* Sums of the rows of units that have several. */
struct sums {
    float *row; /* (n_readouts) */
    double *sum; /* (n_units, n_readouts), or NULL */
    double *weight; /* the same */
};

/* The only row of a unit keeps its bits; several are averaged, weighed by their replicates. */
static void take_row(struct tess_profiles *profiles, int64_t experiment, int64_t unit,
                     const float *value, struct sums *sums)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t context = index->context_of[experiment], n = tess_profiles_width(profiles, context);
    int64_t at = (unit - profiles->context_first[context]) * n;

    if (profiles->row_first[unit + 1] - profiles->row_first[unit] == 1) {
        tess_profiles_spread(profiles, experiment, value, profiles->context[context].value + at);
        return;
    }
    tess_profiles_spread(profiles, experiment, value, sums->row);
    for (int64_t r = 0; r < n; r++)
        if (!isnan(sums->row[r])) {
            sums->sum[at + r] += (double)index->n_replicates[experiment] * (double)sums->row[r];
            sums->weight[at + r] += (double)index->n_replicates[experiment];
        }
}

static void finish_sums(struct tess_profiles *profiles, int64_t context, const struct sums *sums)
{
    int64_t n = tess_profiles_width(profiles, context), first = profiles->context_first[context];

    for (int64_t unit = first; sums->sum && unit < profiles->context_first[context + 1]; unit++)
        if (profiles->row_first[unit + 1] - profiles->row_first[unit] > 1)
            for (int64_t i = (unit - first) * n; i < (unit - first + 1) * n; i++)
                profiles->context[context].value[i] =
                    sums->weight[i] > 0 ? (float)(sums->sum[i] / sums->weight[i]) : NAN;
}

/* All rows of the context in the order of the file. unit_of[i]: of its i-th experiment. */
static int read_rows(struct tess_profiles *profiles, int64_t context, const int64_t *unit_of,
                     struct sums *sums, struct tess_error *error)
{
    const struct tess_index *index = &profiles->store->index;
    const int64_t *first = index->value_first;
    int64_t begin = profiles->experiment_first[context];
    int64_t end = profiles->experiment_first[context + 1];

    for (int64_t i = begin, stop; i < end && error->code == TESS_OK; i = stop) {
        float *value;

        for (stop = i + 1; stop < end && first[stop + 1] - first[i] <= READ_VALUES; stop++)
            ;
        value = TESS_NEW(float, first[stop] - first[i]);
        if (tess_store_read_values(profiles->store, i, stop - i, value, error) == TESS_OK)
            for (int64_t k = i; k < stop; k++)
                take_row(profiles, k, unit_of[k - begin], value + (first[k] - first[i]), sums);
        tess_free(value);
    }
    return error->code;
}

/* Rows are read in the order of the file, whatever units they belong to; sums take memory only
 * where some unit has several rows. */
static int load(struct tess_profiles *profiles, int64_t context, struct tess_error *error)
{
    int64_t first = profiles->context_first[context], end = profiles->context_first[context + 1];
    int64_t n = tess_profiles_width(profiles, context), begin = profiles->experiment_first[context];
    int64_t n_rows = profiles->experiment_first[context + 1] - begin;
    int64_t *unit_of = TESS_NEW(int64_t, n_rows);
    size_t size = (size_t)(end - first) * (size_t)n;
    struct sums sums = {.row = TESS_NEW(float, n)};

    for (int64_t unit = first; unit < end; unit++)
        for (int64_t k = profiles->row_first[unit]; k < profiles->row_first[unit + 1]; k++)
            unit_of[profiles->row[k] - begin] = unit;
    profiles->context[context].value =
        tess_alloc_large(size, sizeof(float), "a context's profiles", error);
    if (error->code == TESS_OK && n_rows > end - first) {
        sums.sum = tess_alloc_large(size, sizeof(double), "a context's replicates", error);
        sums.weight = tess_alloc_large(size, sizeof(double), "a context's replicates", error);
    }
    if (error->code == TESS_OK && read_rows(profiles, context, unit_of, &sums, error) == TESS_OK)
        finish_sums(profiles, context, &sums);
    tess_free(sums.sum);
    tess_free(sums.weight);
    tess_free(sums.row);
    tess_free(unit_of);
    return error->code;
}

static size_t bytes_of(const struct tess_profiles *profiles, int64_t context)
{
    int64_t n_units = profiles->context_first[context + 1] - profiles->context_first[context];

    return (size_t)(n_units * tess_profiles_width(profiles, context)) * sizeof(float);
}

static void drop(struct tess_profiles *profiles, int64_t context)
{
    tess_free(profiles->context[context].value);
    profiles->context[context].value = NULL;
    profiles->bytes -= bytes_of(profiles, context);
}

/* The longest unused go first. What is pinned stays, and what is asked for is read even if it alone
 * exceeds the budget. */
static void make_room(struct tess_profiles *profiles, int64_t context)
{
    while (profiles->bytes + bytes_of(profiles, context) > profiles->budget) {
        int64_t oldest = -1;

        for (int64_t c = 0; c < profiles->n_contexts; c++)
            if (profiles->context[c].value && c != profiles->pinned &&
                (oldest < 0 || profiles->context[c].used < profiles->context[oldest].used))
                oldest = c;
        if (oldest < 0)
            return;
        drop(profiles, oldest);
    }
}

const float *tess_profiles_read(struct tess_profiles *profiles, int64_t context,
                                struct tess_error *error)
{
    struct tess_context_profiles *at = &profiles->context[context];

    if (error->code != TESS_OK)
        return NULL;
    at->used = ++profiles->clock;
    if (at->value)
        return at->value;
    make_room(profiles, context);
    profiles->bytes += bytes_of(profiles, context);
    if (load(profiles, context, error) != TESS_OK)
        drop(profiles, context);
    return at->value;
}

int64_t tess_profiles_find(const struct tess_profiles *profiles, int64_t context,
                           int64_t combination, int split)
{
    int64_t low = profiles->context_first[context], high = profiles->context_first[context + 1];

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int64_t by = profiles->combination[middle] - combination;

        if (by == 0)
            by = profiles->split[middle] - split;
        if (by == 0)
            return middle;
        if (by < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

int tess_profiles_trains(const struct tess_profiles *profiles, int64_t unit)
{
    return profiles->split[unit] == TESS_TRAIN &&
           !tess_index_is_control(&profiles->store->index, profiles->combination[unit]);
}
