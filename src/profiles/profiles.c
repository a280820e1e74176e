/* profiles.c -- which units there are, in which context, and where they are trained on. */
#include "tessera/profiles.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdlib.h>
#include <string.h>

struct row {
    int64_t combination, split, experiment;
};

/* No two rows are equal, as experiments have numbers: the order is the same with any qsort. */
static int compare_rows(const void *a, const void *b)
{
    const int64_t *u = a, *v = b; /* three numbers, the first that differs decides */

    for (int i = 0; i < 3; i++)
        if (u[i] != v[i])
            return u[i] < v[i] ? -1 : 1;
    return 0;
}

/* Sorted, the rows of a unit stand together, and the units of a context by combination and split:
 * by that order tess_profiles_find searches. */
static void find_context(struct tess_profiles *profiles, int64_t context, int64_t n,
                         const struct row *row, int64_t *at)
{
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || row[i].combination != row[i - 1].combination ||
            row[i].split != row[i - 1].split) {
            int64_t unit = profiles->n_units++;

            profiles->context_of[unit] = context;
            profiles->combination[unit] = row[i].combination;
            profiles->split[unit] = (int8_t)row[i].split;
            profiles->row_first[unit] = *at;
        }
        profiles->row[(*at)++] = row[i].experiment;
    }
    profiles->context_first[context + 1] = profiles->n_units;
}

/* The experiments of a context follow each other, [first[context], first[context + 1]). */
static void find_units(struct tess_profiles *profiles, const int64_t *first)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t at = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        int64_t n = first[c + 1] - first[c];
        struct row *row = TESS_NEW(struct row, n);

        for (int64_t i = 0, e = first[c]; i < n; i++, e++)
            row[i] = (struct row){index->combination[e], index->split[e], e};
        qsort(row, (size_t)n, sizeof *row, compare_rows);
        find_context(profiles, c, n, row, &at);
        tess_free(row);
    }
    profiles->row_first[profiles->n_units] = at;
}

/* Marks the readouts of a context's panels; experiments of one panel follow each other. */
static void mark_readouts(const struct tess_index *index, int64_t first, int64_t end, uint8_t *seen)
{
    memset(seen, 0, (size_t)index->readout.n);
    for (int64_t i = first; i < end; i++) {
        const int64_t *columns = index->panel_first + index->panel[i];

        if (i > first && index->panel[i] == index->panel[i - 1])
            continue;
        for (int64_t k = columns[0]; k < columns[1]; k++)
            seen[index->panel_readout[k]] = 1;
    }
}

static void find_readouts(struct tess_profiles *profiles, const int64_t *first)
{
    const struct tess_index *index = &profiles->store->index;
    uint8_t *seen = TESS_NEW(uint8_t, index->readout.n);
    size_t room = 0;
    int64_t n = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        mark_readouts(index, first[c], first[c + 1], seen);
        profiles->readout = tess_grow(profiles->readout, &room, (size_t)(n + index->readout.n),
                                      sizeof *profiles->readout);
        for (int64_t r = 0; r < index->readout.n; r++)
            if (seen[r])
                profiles->readout[n++] = r;
        profiles->readout_first[c + 1] = n;
    }
    tess_free(seen);
}

/* A counting sort by combination: within one, units stay in the order of their contexts. */
static void find_trained(struct tess_profiles *profiles)
{
    int64_t n = profiles->store->index.n_combinations, *next;

    profiles->trained_first = TESS_NEW(int64_t, n + 1);
    for (int64_t u = 0; u < profiles->n_units; u++)
        if (tess_profiles_trains(profiles, u))
            profiles->trained_first[profiles->combination[u] + 1]++;
    for (int64_t p = 0; p < n; p++)
        profiles->trained_first[p + 1] += profiles->trained_first[p];
    profiles->trained = TESS_NEW(int64_t, profiles->trained_first[n]);
    profiles->trained_in = TESS_NEW(int32_t, profiles->trained_first[n]);
    next = TESS_NEW(int64_t, n + 1);
    memcpy(next, profiles->trained_first, (size_t)n * sizeof *next);
    for (int64_t u = 0; u < profiles->n_units; u++)
        if (tess_profiles_trains(profiles, u)) {
            int64_t at = next[profiles->combination[u]]++;

            profiles->trained[at] = u;
            profiles->trained_in[at] = (int32_t)profiles->context_of[u];
        }
    tess_free(next);
}

double tess_profiles_bytes(const struct tess_profiles *profiles)
{
    double bytes = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++)
        bytes += (double)(profiles->context_first[c + 1] - profiles->context_first[c]) *
                 (double)tess_profiles_width(profiles, c) * sizeof(float);
    return bytes;
}

void tess_profiles_allow(struct tess_profiles *profiles, size_t bytes)
{
    profiles->budget = bytes;
    profiles->keeps = tess_profiles_bytes(profiles) <= (double)bytes;
}

void tess_profiles_init(struct tess_profiles *profiles, const struct tess_store *store,
                        size_t bytes)
{
    const struct tess_index *index = &store->index;
    int64_t n = index->n_experiments, n_contexts = index->context.n;
    int64_t *first = TESS_NEW(int64_t, n_contexts + 1);

    *profiles = (struct tess_profiles){.store = store, .n_contexts = n_contexts};
    profiles->context_first = TESS_NEW(int64_t, n_contexts + 1);
    profiles->readout_first = TESS_NEW(int64_t, n_contexts + 1);
    profiles->value = TESS_NEW(float *, n_contexts);
    profiles->context_of = TESS_NEW(int64_t, n);
    profiles->combination = TESS_NEW(int64_t, n);
    profiles->split = TESS_NEW(int8_t, n);
    profiles->row_first = TESS_NEW(int64_t, n + 1);
    profiles->row = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++)
        first[index->context_of[i] + 1]++;
    for (int64_t c = 0; c < n_contexts; c++)
        first[c + 1] += first[c];
    find_units(profiles, first);
    find_readouts(profiles, first);
    find_trained(profiles);
    tess_profiles_allow(profiles, bytes);
    tess_free(first);
}

void tess_profiles_release(struct tess_profiles *profiles)
{
    for (int64_t c = 0; c < profiles->n_contexts; c++)
        tess_free(profiles->value[c]);
    tess_free(profiles->value);
    tess_free(profiles->context_first);
    tess_free(profiles->readout_first);
    tess_free(profiles->context_of);
    tess_free(profiles->combination);
    tess_free(profiles->split);
    tess_free(profiles->row_first);
    tess_free(profiles->row);
    tess_free(profiles->readout);
    tess_free(profiles->trained_first);
    tess_free(profiles->trained);
    tess_free(profiles->trained_in);
    *profiles = (struct tess_profiles){0};
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

/* A walk along two ascending lists. */
void tess_profiles_place(const struct tess_profiles *profiles, int64_t context, int64_t n,
                         const int64_t *readout, int64_t *place)
{
    const int64_t *theirs = profiles->readout + profiles->readout_first[context];
    int64_t width = tess_profiles_width(profiles, context), k = 0;

    for (int64_t i = 0; i < n; i++) {
        while (k < width && theirs[k] < readout[i])
            k++;
        place[i] = k < width && theirs[k] == readout[i] ? k : -1;
    }
}
