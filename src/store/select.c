/* select.c -- names, patterns and files to sets of numbers. */
#include "tessera/select.h"

#include "tessera/alloc.h"
#include "tessera/combination.h"
#include "tessera/error.h"
#include "tessera/share.h"
#include "tessera/store.h"
#include "tessera/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LISTED 10 /* symbols in a sentence */

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

static int compare(int64_t n, const int64_t *a, int64_t m, const int64_t *b)
{
    for (int64_t i = 0; i < n && i < m; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return (n > m) - (n < m);
}

struct set {
    int64_t n;
    const int64_t *member;
};

static int compare_sets(const void *a, const void *b)
{
    const struct set *x = a, *y = b;

    return compare(x->n, x->member, y->n, y->member);
}

void tess_sets_sort(struct tess_sets *sets)
{
    struct set *set = TESS_NEW(struct set, sets->n);
    struct tess_sets sorted = {0};

    for (int64_t i = 0; i < sets->n; i++)
        set[i] = (struct set){sets->first[i + 1] - sets->first[i], sets->member + sets->first[i]};
    qsort(set, (size_t)sets->n, sizeof *set, compare_sets);
    for (int64_t i = 0; i < sets->n; i++)
        if (i == 0 || compare_sets(&set[i - 1], &set[i]) != 0)
            tess_sets_add(&sorted, set[i].n, set[i].member);
    tess_free(set);
    tess_sets_release(sets);
    *sets = sorted;
}

int64_t tess_sets_find(const struct tess_sets *sets, int64_t n, const int64_t *member)
{
    int64_t low = 0, high = sets->n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2, begin = sets->first[middle];
        int order = compare(sets->first[middle + 1] - begin, sets->member + begin, n, member);

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
    tess_share(comm, sets->first, (size_t)(head[0] + 1) * sizeof *sets->first);
    tess_share(comm, sets->member, (size_t)head[1] * sizeof *sets->member);
}

void tess_sets_release(struct tess_sets *sets)
{
    tess_free(sets->first);
    tess_free(sets->member);
    *sets = (struct tess_sets){0};
}

/* What was found, and what was wrong. */
struct search {
    const struct tess_choice *choice;
    struct tess_sets *sets;
    struct tess_strings unknown, untrained; /* own */
};

static int may_choose(const struct tess_choice *choice, int64_t number)
{
    return !choice->trained || choice->trained[number];
}

static void add_set(struct search *search, int64_t n, const int64_t *member)
{
    int fine = 1;

    for (int64_t i = 0; i < n; i++)
        if (!may_choose(search->choice, member[i])) {
            const char *name = search->choice->vocab->symbol[member[i]];

            fine = 0;
            if (tess_strings_find(&search->untrained, name) < 0)
                tess_strings_add(&search->untrained, name);
        }
    if (fine)
        tess_sets_add(search->sets, n, member);
}

static int64_t add_matches(struct search *search, const char *pattern)
{
    const struct tess_choice *choice = search->choice;
    int64_t found = 0;

    for (int64_t i = 0; i < choice->vocab->n; i++)
        if (may_choose(choice, i) &&
            (!pattern || tess_text_match(pattern, choice->vocab->symbol[i]))) {
            tess_sets_add(search->sets, 1, &i);
            found++;
        }
    return found;
}

/* A symbol as it stands, or without the blanks around it; -1. */
static int64_t find_symbol(const struct tess_vocab *vocab, const char *text)
{
    int64_t number = tess_vocab_find(vocab, text);
    char *name = tess_text_trimmed(text);

    if (number < 0)
        number = tess_vocab_find(vocab, name);
    tess_free(name);
    return number;
}

/* A symbol or a combination: was it one? Its unknown parts are added to `unknown`. */
static int add_named(struct search *search, const char *text, struct tess_strings *unknown)
{
    const struct tess_choice *choice = search->choice;
    int64_t number = find_symbol(choice->vocab, text), *member;
    int64_t room = 1;
    int n = number >= 0;

    for (const char *c = text; *c; c++)
        room += *c == '+';
    member = TESS_NEW(int64_t, room);
    member[0] = number;
    if (number < 0 && choice->combinations)
        n = tess_combination_parse(choice->vocab, NULL, text, member, unknown);
    else if (number < 0)
        tess_strings_add(unknown, text);
    if (n > 0)
        add_set(search, n, member);
    tess_free(member);
    return n > 0;
}

static int is_file(const char *path)
{
    struct stat state;

    return stat(path, &state) == 0 && !S_ISDIR(state.st_mode);
}

static int add_file(struct search *search, const char *path, struct tess_error *error)
{
    struct tess_strings name = {0};

    if (tess_strings_read(&name, path, error) == TESS_OK)
        for (size_t i = 0; i < name.n; i++)
            add_named(search, name.item[i], &search->unknown);
    tess_strings_release(&name);
    return error->code;
}

static int add_item(struct search *search, const char *text, struct tess_error *error)
{
    struct tess_strings unknown = {0};
    int known = tess_vocab_find(search->choice->vocab, text) >= 0;

    if (!known && text[0] == '@')
        return add_file(search, text + 1, error);
    if (!known && tess_text_is_pattern(text)) {
        if (add_matches(search, text) == 0)
            tess_error_set(error, TESS_EDATA, "%s: no trained %s fits the pattern '%s'",
                           search->choice->source, search->choice->what, text);
        return error->code;
    }
    if (!add_named(search, text, &unknown)) {
        if (is_file(text))
            add_file(search, text, error);
        else
            for (size_t i = 0; i < unknown.n; i++)
                tess_strings_add(&search->unknown, unknown.item[i]);
    }
    tess_strings_release(&unknown);
    return error->code;
}

static int judge(struct search *search, struct tess_error *error)
{
    const struct tess_choice *choice = search->choice;

    if (error->code == TESS_OK && search->unknown.n > 0)
        tess_vocab_refuse(choice->vocab, &search->unknown, choice->what, choice->source, error);
    if (error->code == TESS_OK && search->untrained.n > 0) {
        char *list = tess_strings_join(&search->untrained, ", ", LISTED);

        tess_error_set(error, TESS_EDATA,
                       "%s knows %zu %s%s by name only, without any training data: %s; leave out "
                       "what it could not learn",
                       choice->source, search->untrained.n, choice->what,
                       search->untrained.n == 1 ? "" : "s", list);
        tess_free(list);
    }
    if (error->code == TESS_OK && search->sets->n == 0)
        tess_error_set(error, TESS_EDATA, "%s: no %s is left to choose", choice->source,
                       choice->what);
    return error->code;
}

int tess_select(const struct tess_choice *choice, const struct tess_strings *given,
                struct tess_sets *sets, struct tess_error *error)
{
    struct search search = {.choice = choice, .sets = sets};

    if (given->n == 0)
        add_matches(&search, NULL);
    for (size_t i = 0; i < given->n && error->code == TESS_OK; i++)
        add_item(&search, given->item[i], error);
    judge(&search, error);
    tess_strings_release(&search.unknown);
    tess_strings_release(&search.untrained);
    tess_sets_sort(sets);
    return error->code;
}
