/* edges.c -- the best edges of all ranks are those that sorting all of them gives: with equal
 * scores, and where some ranks have few or none. */
#include "tessera/edges.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Edge i of a rank: `levels` scores, so that many are equal; a rank has readouts of its own. */
static struct tess_edge edge_of(int rank, int64_t i, int levels)
{
    struct tess_edge edge = {.regulator = (int32_t)(i % 37), .target = (int32_t)(i / 37)};

    edge.target = edge.target * 8 + rank;
    edge.score = (double)((i * 7919 + rank * 104729) % levels);
    edge.part[TESS_EDGE_REFIT] = edge.score + rank;
    edge.sign = i % 2 ? 1 : -1;
    return edge;
}

static int64_t count_of(int rank, int64_t n)
{
    return rank == 2 ? 0 : rank == 1 ? n / 5 : n;
}

static int compare(const void *left, const void *right)
{
    const struct tess_edge *a = left, *b = right;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->regulator != b->regulator)
        return a->regulator < b->regulator ? -1 : 1;
    return a->target < b->target ? -1 : a->target > b->target;
}

static int check(int64_t n, int64_t most, int levels, int reserve)
{
    struct tess_edges edges = {.most = most};
    struct tess_edge *all;
    int rank, n_ranks, bad = 0;
    int64_t total = 0, expected;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    all = TESS_NEW(struct tess_edge, n * n_ranks);
    for (int r = 0; r < n_ranks; r++)
        for (int64_t i = 0; i < count_of(r, n); i++)
            all[total++] = edge_of(r, i, levels);
    qsort(all, (size_t)total, sizeof *all, compare);
    if (reserve) {
        struct tess_error error = TESS_ERROR_INIT;

        bad |= tess_edges_reserve(&edges, count_of(rank, n), &error) != TESS_OK;
    }
    for (int64_t i = 0; i < count_of(rank, n); i++) {
        struct tess_edge edge = edge_of(rank, i, levels);

        tess_edges_add(&edges, &edge);
    }
    tess_edges_gather(&edges, MPI_COMM_WORLD);
    expected = rank > 0 ? 0 : total < most ? total : most;
    bad |= edges.n != expected;
    bad |= reserve && (double)edges.room * sizeof *all >
                          tess_edges_bytes(most, (double)n, (double)n * n_ranks) + 4096;
    for (int64_t i = 0; i < expected && !bad; i++)
        bad = compare(&edges.edge[i], &all[i]) != 0 || edges.edge[i].sign != all[i].sign ||
              edges.edge[i].part[TESS_EDGE_REFIT] != all[i].part[TESS_EDGE_REFIT];
    tess_edges_release(&edges);
    tess_free(all);
    return bad;
}

int main(int argc, char **argv)
{
    static const int64_t most[] = {1, 10, 250, 1000, 1000000};
    int rank, bad = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int k = 0; k < 5; k++) {
        bad |= check(1000, most[k], 23, 1) << (2 * k);
        bad |= check(800, most[k], 1000000, 0) << (2 * k + 1);
    }
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_BOR, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s %x\n", bad ? "FAILED" : "ok", bad);
    MPI_Finalize();
    return bad != 0;
}
