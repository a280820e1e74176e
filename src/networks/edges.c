/* edges.c -- a list that is sorted and cut whenever it is twice as long as it may be. */
#include "tessera/edges.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"

#include <math.h>
#include <stdlib.h>

static double longest(int64_t most, double pairs)
{
    return fmin(2 * (double)most + 1, pairs);
}

int tess_edges_reserve(struct tess_edges *edges, int64_t pairs, struct tess_error *error)
{
    int64_t room = (int64_t)longest(edges->most, (double)pairs);

    edges->edge = tess_alloc_large((size_t)room, sizeof *edges->edge, "edges", error);
    edges->room = edges->edge ? (size_t)room : 0;
    return error->code;
}

/* Sorting takes two pointers an edge in some libraries. Where lists are put together another's of
 * at most `most` comes beside a rank's own, and if that is too short, one in its place. */
double tess_edges_bytes(int64_t most, double own_pairs, double pairs)
{
    double own = longest(most, own_pairs), size = sizeof(struct tess_edge), limit = (double)most,
           together = 0;

    if (own_pairs < pairs)
        together = own + fmin(limit, pairs - own_pairs);
    if (own_pairs < pairs && own < limit)
        together = fmin(2 * limit, pairs) + fmin(limit, pairs);
    return fmax(own * (size + 2 * sizeof(void *)), together * size);
}

/* Negative: a comes first. */
static int compare(const void *left, const void *right)
{
    const struct tess_edge *a = left, *b = right;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->regulator != b->regulator)
        return a->regulator < b->regulator ? -1 : 1;
    return (a->target > b->target) - (a->target < b->target);
}

static void cut(struct tess_edges *edges)
{
    if (edges->n > 0)
        qsort(edges->edge, (size_t)edges->n, sizeof *edges->edge, compare);
    if (edges->n < edges->most)
        return;
    edges->n = edges->most;
    edges->full = 1;
    edges->worst = edges->edge[edges->most - 1];
}

void tess_edges_add(struct tess_edges *edges, const struct tess_edge *edge)
{
    if (edges->full && compare(edge, &edges->worst) > 0)
        return;
    edges->edge = tess_grow(edges->edge, &edges->room, (size_t)edges->n + 1, sizeof *edges->edge);
    edges->edge[edges->n++] = *edge;
    if (edges->n / 2 >= edges->most)
        cut(edges);
}

/* n edges of another list, in order, are put among these, the last one first: in place, if there is
 * room. */
static void merge(struct tess_edges *edges, int64_t n, const struct tess_edge *other)
{
    int64_t mine = edges->n, both = mine + n, length = both < edges->most ? both : edges->most;
    struct tess_edge *all =
        (size_t)length > edges->room ? TESS_NEW(struct tess_edge, length) : edges->edge;

    for (int64_t at = both - 1; at >= 0; at--) {
        int is_mine = n == 0 || (mine > 0 && compare(&edges->edge[mine - 1], &other[n - 1]) > 0);
        const struct tess_edge *last = is_mine ? &edges->edge[--mine] : &other[--n];

        if (at < length)
            all[at] = *last;
    }
    if (all != edges->edge) {
        tess_free(edges->edge);
        edges->edge = all;
        edges->room = (size_t)length;
    }
    edges->n = length;
    edges->full = length == edges->most;
    if (edges->full)
        edges->worst = all[length - 1];
}

/* Of two ranks the second sends what is better than the worst that counts on the first. Collective
 * over both; one alone keeps what it has. */
static void put_together(struct tess_edges *edges, MPI_Comm pair)
{
    struct tess_edges bound = {.full = edges->full, .worst = edges->worst};
    struct tess_edge *other;
    int64_t n = 0;
    int rank, n_ranks;

    MPI_Comm_rank(pair, &rank);
    MPI_Comm_size(pair, &n_ranks);
    if (n_ranks < 2)
        return;
    MPI_Bcast(&bound, (int)sizeof bound, MPI_BYTE, 0, pair);
    while (rank == 1 && n < edges->n && !(bound.full && compare(&edges->edge[n], &bound.worst) > 0))
        n++;
    MPI_Bcast(&n, 1, MPI_INT64_T, 1, pair);
    other = TESS_NEW(struct tess_edge, rank == 0 ? n : 0);
    tess_gather(pair, edges->edge, rank == 1 ? n : 0, sizeof *other, other);
    if (rank == 0)
        merge(edges, n, other);
    else
        tess_edges_release(edges);
    tess_free(other);
}

/* A tree: of ranks 0 and 1, 2 and 3, ... the first has what counts of both, then of 0 and 2, ... */
void tess_edges_gather(struct tess_edges *edges, MPI_Comm comm)
{
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    cut(edges);
    for (int64_t apart = 1; apart < n_ranks; apart *= 2) {
        int has_list = rank % apart == 0;
        MPI_Comm pair;

        MPI_Comm_split(comm, has_list ? (int)(rank / (2 * apart)) : MPI_UNDEFINED, rank, &pair);
        if (!has_list)
            continue;
        put_together(edges, pair);
        MPI_Comm_free(&pair);
    }
}

void tess_edges_release(struct tess_edges *edges)
{
    tess_free(edges->edge);
    *edges = (struct tess_edges){.n = 0};
}
