/* edges.c -- a list that is sorted and cut whenever it is twice as long as it may be. */
#include "tessera/edges.h"

#include "tessera/alloc.h"
#include "tessera/gather.h"

#include <stdlib.h>

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

void tess_edges_gather(struct tess_edges *edges, MPI_Comm comm)
{
    struct tess_edge *all;
    int64_t total;
    int rank;

    MPI_Comm_rank(comm, &rank);
    cut(edges);
    MPI_Allreduce(&edges->n, &total, 1, MPI_INT64_T, MPI_SUM, comm);
    all = TESS_NEW(struct tess_edge, rank == 0 ? total : 0);
    tess_gather(comm, edges->edge, edges->n, sizeof *all, all);
    tess_free(edges->edge);
    edges->edge = all;
    edges->n = rank == 0 ? total : 0;
    cut(edges);
}

void tess_edges_release(struct tess_edges *edges)
{
    tess_free(edges->edge);
    *edges = (struct tess_edges){.n = 0};
}
