/* lists.c -- lists made by one rank each, then had by all. */
#include "lists.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/gather.h"

#include <string.h>

void tess_lists_init(struct tess_lists *lists, int64_t m)
{
    *lists = (struct tess_lists){.m = m, .first = TESS_NEW(int64_t, m + 1)};
}

/* While lists are made, first[m] counts all entries, and first[i] those of list i. */
void tess_lists_add(struct tess_lists *lists, int64_t regulator, int64_t row, double value)
{
    size_t n = (size_t)lists->first[lists->m];

    lists->entry = tess_grow(lists->entry, &lists->room, n + 1, sizeof *lists->entry);
    lists->entry[n] = (struct tess_entry){value, row};
    lists->first[regulator]++;
    lists->first[lists->m]++;
}

/* Entries come in the order of ranks and, of each rank, of its lists; `count` says how long each
 * is, `owner` whose. */
static void arrange(struct tess_lists *lists, const struct tess_entry *all, const int *owner,
                    int n_ranks)
{
    int64_t at = 0;

    for (int rank = 0; rank < n_ranks; rank++)
        for (int64_t i = 0; i < lists->m; i++)
            if (owner[i] == rank) {
                int64_t n = lists->first[i + 1] - lists->first[i];

                memcpy(lists->entry + lists->first[i], all + at, (size_t)n * sizeof *all);
                at += n;
            }
}

void tess_lists_share(struct tess_lists *lists, MPI_Comm comm)
{
    int64_t m = lists->m, mine = lists->first[m], total = 0, *count = TESS_NEW(int64_t, m);
    int *owner = TESS_NEW(int, m), rank, n_ranks;
    struct tess_entry *all;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    for (int64_t i = 0; i < m; i++)
        owner[i] = lists->first[i] > 0 ? rank : 0;
    MPI_Allreduce(MPI_IN_PLACE, owner, tess_int(m), MPI_INT, MPI_MAX, comm);
    MPI_Allreduce(lists->first, count, tess_int(m), MPI_INT64_T, MPI_SUM, comm);
    for (int64_t i = 0; i < m; i++) {
        lists->first[i] = total;
        total += count[i];
    }
    lists->first[m] = total;
    all = TESS_NEW(struct tess_entry, total);
    tess_gather(comm, lists->entry, mine, sizeof *all, all);
    tess_broadcast(comm, all, (size_t)total * sizeof *all);
    tess_free(lists->entry);
    lists->entry = TESS_NEW(struct tess_entry, total);
    arrange(lists, all, owner, n_ranks);
    tess_free(all);
    tess_free(owner);
    tess_free(count);
}

void tess_lists_release(struct tess_lists *lists)
{
    tess_free(lists->first);
    tess_free(lists->entry);
    *lists = (struct tess_lists){.m = 0};
}
