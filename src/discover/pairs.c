/* pairs.c -- the table of pairs, and their ranks among the candidates. */
#include "pairs.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/mapping.h"
#include "tessera/vocab.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return x[0] != y[0] ? (x[0] > y[0]) - (x[0] < y[0]) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* The pair of a line into number[2], and what is wrong with it counted; 1 if it is one to score. */
static int read_pair(struct tess_pairs *pairs, const char *line, const struct tess_kinds *kinds,
                     const uint8_t *candidate, int64_t number[2])
{
    const struct tess_vocab *vocab = kinds->vocab;
    struct tess_strings field = {0};
    int known;

    if (!strchr(line, '\t')) {
        pairs->no_tab = pairs->n_no_tab++ ? pairs->no_tab : tess_strdup(line);
        return 0;
    }
    tess_strings_split(&field, line, '\t');
    for (int i = 0; i < 2; i++)
        number[i] = (size_t)i < field.n && strlen(field.item[i]) <= (size_t)vocab->width
                        ? tess_vocab_find(vocab, field.item[i])
                        : -1;
    tess_strings_release(&field);
    known = number[0] >= 0 && number[1] >= 0;
    if (!known)
        pairs->n_unknown++;
    else if (!kinds->trained[number[0]] || !kinds->trained[number[1]])
        pairs->n_untrained++;
    else if (number[0] == number[1] || !candidate[number[1]])
        pairs->n_left_out++;
    else
        return 1;
    return 0;
}

static int is_heading(const char *line)
{
    static const char words[] = "perturbation\ttarget";
    size_t n = sizeof words - 1;

    return strncmp(line, words, n) == 0 && (line[n] == '\0' || line[n] == '\t');
}

char *tess_pairs_no_tab(const struct tess_pairs *pairs)
{
    return pairs->n_no_tab == 0 ? tess_strdup("")
                                : tess_format(", %" PRId64 " lines without a tab (the first: '%s')",
                                              pairs->n_no_tab, pairs->no_tab);
}

static void fail_empty(const struct tess_pairs *pairs, const char *path, struct tess_error *error)
{
    char *no_tab = tess_pairs_no_tab(pairs);

    tess_error_set(error, TESS_EDATA,
                   "%s: no pair of it can be scored: of %" PRId64
                   " one or both are unknown to the model, of %" PRId64
                   " never trained, of %" PRId64
                   " the target is the perturbation itself or no candidate; lines are "
                   "perturbation<tab>target%s",
                   path, pairs->n_unknown, pairs->n_untrained, pairs->n_left_out, no_tab);
    tess_free(no_tab);
}

/* list: (n, 2) of what can be scored, each once; own of the caller. Rank 0. */
static int64_t *read_list(struct tess_pairs *pairs, const char *path,
                          const struct tess_kinds *kinds, const uint8_t *candidate,
                          struct tess_error *error)
{
    struct tess_strings line = {0};
    int64_t *list = NULL, n = 0, all;

    if (tess_strings_read(&line, path, error) == TESS_OK) {
        list = TESS_NEW(int64_t, 2 * line.n);
        for (size_t i = 0; i < line.n; i++)
            if (!(i == 0 && is_heading(line.item[i])))
                n += read_pair(pairs, line.item[i], kinds, candidate, list + 2 * n);
        if (n > 0)
            qsort(list, (size_t)n, 2 * sizeof *list, compare);
        all = n;
        n = 0;
        for (int64_t i = 0; i < all; i++)
            if (i == 0 || compare(list + 2 * i, list + 2 * (n - 1)) != 0)
                memmove(list + 2 * n++, list + 2 * i, 2 * sizeof *list);
        if (n == 0)
            fail_empty(pairs, path, error);
    }
    tess_strings_release(&line);
    pairs->n = n;
    return list;
}

/* Distinct numbers at list[side], ascending, and which of them each pair has. */
static int64_t *index_side(int64_t n, const int64_t *list, int side, int64_t n_symbols,
                           int64_t *place, int64_t *n_distinct)
{
    int64_t *at = TESS_NEW(int64_t, n_symbols), *distinct = TESS_NEW(int64_t, n);

    *n_distinct = 0;
    for (int64_t i = 0; i < n; i++)
        at[list[2 * i + side]] = 1;
    for (int64_t s = 0; s < n_symbols; s++)
        if (at[s]) {
            at[s] = *n_distinct;
            distinct[(*n_distinct)++] = s;
        }
    for (int64_t i = 0; i < n; i++)
        place[i] = at[list[2 * i + side]];
    tess_free(at);
    return distinct;
}

int tess_pairs_read(struct tess_pairs *pairs, const char *path, const struct tess_kinds *kinds,
                    const uint8_t *candidate, MPI_Comm comm, struct tess_error *error)
{
    int64_t *list = NULL;
    int rank;

    MPI_Comm_rank(comm, &rank);
    *pairs = (struct tess_pairs){.n = 0};
    if (rank == 0)
        list = read_list(pairs, path, kinds, candidate, error);
    if (tess_agree(comm, error) == TESS_OK) {
        tess_broadcast(comm, &pairs->n, sizeof pairs->n);
        list = tess_broadcast_array(comm, list, 2 * pairs->n, sizeof *list);
        pairs->query = TESS_NEW(int64_t, pairs->n);
        pairs->target = TESS_NEW(int64_t, pairs->n);
        pairs->queries = index_side(pairs->n, list, 0, kinds->n, pairs->query, &pairs->n_queries);
        pairs->targets = index_side(pairs->n, list, 1, kinds->n, pairs->target, &pairs->n_targets);
    }
    tess_free(list);
    return error->code;
}

void tess_pairs_release(struct tess_pairs *pairs)
{
    tess_free(pairs->query);
    tess_free(pairs->target);
    tess_free(pairs->queries);
    tess_free(pairs->targets);
    tess_free(pairs->no_tab);
    *pairs = (struct tess_pairs){.n = 0};
}

/* A tile of queries: this rank's cosines of each, and the targets' on their way to all ranks. */
struct scores {
    const struct tess_likeness *likeness;
    const struct tess_pairs *pairs;
    const int64_t *row; /* of the tile's queries */
    int64_t n_queries, room; /* room: for candidates of a query */
    int64_t *n; /* (queries) how many there are */
    float *value; /* (queries, room) */
    float *target; /* (queries, targets) -infinity: another rank's */
};

static void take(void *closure, int64_t first, int64_t n, const float *value)
{
    const struct scores *s = closure;
    int64_t t = 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t c = first + i;

        while (t < s->pairs->n_targets && s->pairs->targets[t] < c)
            t++;
        for (int64_t q = 0; q < s->n_queries; q++) {
            float x = value[q * TESS_LIKENESS_TILE + i];

            if (isnan(x)) /* without length: neither alike nor unlike */
                x = s->likeness->hub ? -s->likeness->hub[s->row[q]] : 0;
            if (!s->likeness->candidate[c] || c == s->row[q])
                continue;
            s->value[q * s->room + s->n[q]++] = x;
            if (t < s->pairs->n_targets && s->pairs->targets[t] == c)
                s->target[q * s->pairs->n_targets + t] = x;
        }
    }
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* How many of n ascending numbers are below x (or equal, too). */
static int64_t count(int64_t n, const float *value, float x, int equal)
{
    int64_t low = 0, high = n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (value[middle] < x || (equal && value[middle] == x))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* out (queries, targets) of the tile. Collective. */
static void rank_tile(struct scores *s, double *out)
{
    int64_t n_targets = s->pairs->n_targets, n = s->n_queries * n_targets;
    int64_t *more = TESS_NEW(int64_t, 2 * n);

    MPI_Allreduce(MPI_IN_PLACE, s->target, tess_int(n), MPI_FLOAT, MPI_MAX, s->likeness->comm);
    for (int64_t q = 0; q < s->n_queries; q++) {
        float *value = s->value + q * s->room;

        if (s->n[q] > 0)
            qsort(value, (size_t)s->n[q], sizeof *value, compare_floats);
        for (int64_t t = 0; t < n_targets; t++) {
            float x = s->target[q * n_targets + t];
            int64_t up_to = count(s->n[q], value, x, 1);

            more[2 * (q * n_targets + t)] = s->n[q] - up_to;
            more[2 * (q * n_targets + t) + 1] = up_to - count(s->n[q], value, x, 0);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, more, tess_int(2 * n), MPI_INT64_T, MPI_SUM, s->likeness->comm);
    for (int64_t i = 0; i < n; i++)
        out[i] =
            isinf(s->target[i]) ? NAN : 1 + (double)more[2 * i] + (double)(more[2 * i + 1] - 1) / 2;
    tess_free(more);
}

/* Candidates that can be this rank's. */
static int64_t room_for(const struct tess_likeness *likeness)
{
    int64_t all = likeness->directions->origin.n, tile = TESS_LIKENESS_TILE;
    int n_ranks;

    MPI_Comm_size(likeness->comm, &n_ranks);
    return ((all + tile - 1) / tile + n_ranks - 1) / n_ranks * tile;
}

int tess_pairs_rank(const struct tess_pairs *pairs, const struct tess_likeness *likeness,
                    double *rank, struct tess_error *error)
{
    struct scores s = {.likeness = likeness, .pairs = pairs, .room = room_for(likeness)};
    const struct tess_likeness_visitor visitor = {&s, take};
    int64_t tile = TESS_LIKENESS_TILE, n_targets = pairs->n_targets;

    s.n = TESS_NEW(int64_t, tile);
    s.target = TESS_NEW(float, tile *n_targets);
    s.value = tess_alloc_large((size_t)(tile * s.room), sizeof *s.value, "cosines", error);
    tess_agree(likeness->comm, error);
    for (int64_t q = 0; q < pairs->n_queries && error->code == TESS_OK; q += tile) {
        struct tess_likeness_queries some = {
            pairs->n_queries - q < tile ? pairs->n_queries - q : tile, pairs->queries + q};

        s.n_queries = some.n;
        s.row = some.row;
        memset(s.n, 0, (size_t)tile * sizeof *s.n);
        for (int64_t i = 0; i < tile * n_targets; i++)
            s.target[i] = -INFINITY;
        tess_likeness_scan(likeness, &some, &visitor, error);
        if (tess_agree(likeness->comm, error) == TESS_OK)
            rank_tile(&s, rank + q * n_targets);
    }
    tess_free(s.n);
    tess_free(s.target);
    tess_free(s.value);
    return error->code;
}
