/* sets.c -- sets of numbers, one after the other in one array. */
#include "tessera/sets.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/text.h"
#include "tessera/vocab.h"

#include <stdlib.h>
#include <string.h>

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int64_t tess_set_tidy(int64_t n, int64_t *member)
{
    int64_t kept = 0;

    qsort(member, (size_t)n, sizeof *member, compare_numbers);
    for (int64_t i = 0; i < n; i++)
        if (kept == 0 || member[kept - 1] != member[i])
            member[kept++] = member[i];
    return kept;
}

int64_t tess_set_place(int64_t n, const int64_t *member, int64_t number)
{
    int64_t low = 0, high = n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (member[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && member[low] == number ? low : -1;
}

int tess_set_compare(int64_t n, const int64_t *a, int64_t m, const int64_t *b)
{
    for (int64_t i = 0; i < n && i < m; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return (n > m) - (n < m);
}

void tess_sets_add(struct tess_sets *sets, int64_t n, const int64_t *member)
{
    int64_t end;

    sets->first =
        tess_grow(sets->first, &sets->room_first, (size_t)sets->n + 2, sizeof *sets->first);
    end = sets->first[sets->n];
    sets->member =
        tess_grow(sets->member, &sets->room_member, (size_t)(end + n) + 1, sizeof *sets->member);
    memcpy(sets->member + end, member, (size_t)n * sizeof *member);
    sets->first[++sets->n] = end + n;
}

/* The key is the bytes of the numbers themselves. */
int64_t tess_sets_number(struct tess_sets *sets, int64_t n, const int64_t *member)
{
    int64_t number =
        tess_intern_add(&sets->known, (const char *)member, (size_t)n * sizeof *member);

    if (number == sets->n)
        tess_sets_add(sets, n, member);
    return number;
}

struct set {
    int64_t n;
    const int64_t *member;
    int64_t number; /* before sorting */
};

static int compare_sets(const void *a, const void *b)
{
    const struct set *x = a, *y = b;

    return tess_set_compare(x->n, x->member, y->n, y->member);
}

void tess_sets_sort(struct tess_sets *sets, int64_t *number)
{
    struct set *set = TESS_NEW(struct set, sets->n);
    int64_t n = sets->n, n_members = n ? sets->first[n] : 0;
    struct tess_sets sorted = {.room_first = (size_t)n + 2, .room_member = (size_t)n_members + 1};

    sorted.first = TESS_NEW(int64_t, sorted.room_first); /* (1) of zero where there are none */
    sorted.member = TESS_NEW(int64_t, sorted.room_member);
    for (int64_t i = 0; i < n; i++)
        set[i] =
            (struct set){sets->first[i + 1] - sets->first[i], sets->member + sets->first[i], i};
    qsort(set, (size_t)n, sizeof *set, compare_sets);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || compare_sets(&set[i - 1], &set[i]) != 0)
            tess_sets_add(&sorted, set[i].n, set[i].member);
        if (number)
            number[set[i].number] = sorted.n - 1;
    }
    tess_free(set);
    tess_sets_release(sets);
    *sets = sorted;
}

int64_t tess_sets_find(const struct tess_sets *sets, int64_t n, const int64_t *member)
{
    int64_t low = 0, high = sets->n;

    /* collected ones are in order of appearance, which cannot be bisected */
    if (sets->known.n > 0)
        return tess_intern_find(&sets->known, (const char *)member, (size_t)n * sizeof *member);
    while (low < high) {
        int64_t middle = low + (high - low) / 2, begin = sets->first[middle];
        int order =
            tess_set_compare(sets->first[middle + 1] - begin, sets->member + begin, n, member);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

void tess_sets_broadcast(MPI_Comm comm, struct tess_sets *sets)
{
    int64_t head[2] = {sets->n, sets->n ? sets->first[sets->n] : 0};
    int rank;

    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(head, 2, MPI_INT64_T, 0, comm);
    if (rank != 0 || head[0] == 0) {
        tess_sets_release(sets);
        sets->n = head[0];
        sets->room_first = (size_t)head[0] + 1;
        sets->room_member = (size_t)head[1];
        sets->first = TESS_NEW(int64_t, sets->room_first);
        sets->member = TESS_NEW(int64_t, sets->room_member);
    }
    tess_broadcast(comm, sets->first, (size_t)(head[0] + 1) * sizeof *sets->first);
    tess_broadcast(comm, sets->member, (size_t)head[1] * sizeof *sets->member);
}

void tess_sets_release(struct tess_sets *sets)
{
    tess_free(sets->first);
    tess_free(sets->member);
    tess_intern_release(&sets->known);
    *sets = (struct tess_sets){0};
}

char *tess_sets_name(const struct tess_sets *sets, int64_t set, const struct tess_vocab *vocab)
{
    struct tess_strings part = {0};
    char *name;

    for (int64_t k = sets->first[set]; k < sets->first[set + 1]; k++)
        tess_strings_add(&part, vocab->symbol[sets->member[k]]);
    name = tess_strings_join(&part, "+", part.n);
    tess_strings_release(&part);
    return name;
}
