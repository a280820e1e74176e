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

/* Sorting takes two pointers an edge in some libraries; of two ranks or more rank 0 has another's
 * list and a new one beside its own. */
double tess_edges_bytes(int64_t most, double own_pairs, double pairs)
{
    double own = longest(most, own_pairs), written = fmin((double)most, pairs), size, other;

    size = sizeof(struct tess_edge);
    other = own_pairs < pairs ? fmin((double)most, own_pairs) + written : 0;
    return fmax(own * (size + 2 * sizeof(void *)), (own + other) * size);
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

/* n edges of another list, in order, are put among these. */
static void merge(struct tess_edges *edges, int64_t n, const struct tess_edge *other)
{
    int64_t both = edges->n + n, length = both < edges->most ? both : edges->most, mine = 0;
    struct tess_edge *all = TESS_NEW(struct tess_edge, length);

    for (int64_t i = 0; i < length; i++) {
        int64_t theirs = i - mine;
        int first =
            theirs == n || (mine < edges->n && compare(&edges->edge[mine], &other[theirs]) < 0);

        all[i] = first ? edges->edge[mine++] : other[theirs];
    }
    tess_free(edges->edge);
    edges->edge = all;
    edges->room = (size_t)length;
    edges->n = length;
    edges->full = length == edges->most;
    if (edges->full)
        edges->worst = all[length - 1];
}

/* One rank after the other sends what is better than the worst that counts by then: rank 0 has
 * three lists at most, however many ranks there are. */
void tess_edges_gather(struct tess_edges *edges, MPI_Comm comm)
{
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    cut(edges);
    for (int r = 1; r < n_ranks; r++) {
        struct tess_edges bound = {.full = edges->full, .worst = edges->worst};
        struct tess_edge *other;
        int64_t n = 0;

        MPI_Bcast(&bound, (int)sizeof bound, MPI_BYTE, 0, comm);
        while (rank == r && n < edges->n &&
               !(bound.full && compare(&edges->edge[n], &bound.worst) > 0))
            n++;
        MPI_Bcast(&n, 1, MPI_INT64_T, r, comm);
        other = TESS_NEW(struct tess_edge, rank == 0 ? n : 0);
        tess_gather(comm, edges->edge, rank == r ? n : 0, sizeof *other, other);
        if (rank == 0)
            merge(edges, n, other);
        tess_free(other);
    }
    if (rank != 0)
        tess_edges_release(edges);
}

void tess_edges_release(struct tess_edges *edges)
{
    tess_free(edges->edge);
    *edges = (struct tess_edges){.n = 0};
}
