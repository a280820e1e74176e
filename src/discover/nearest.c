/* nearest.c -- each rank keeps the nearest of its candidates; lists are merged on the way to rank
 * 0, where they have one order, whichever way they came. */
#include "nearest.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

#define LISTS ((int64_t)1 << 22) /* neighbours of a batch: 64 MiB, and twice that to merge */

struct lists {
    const struct tess_likeness *likeness;
    const struct tess_likeness_queries *queries;
    int64_t k;
    struct tess_near *near; /* (queries, k) */
};

static int is_before(struct tess_near a, struct tess_near b)
{
    return a.number >= 0 && (b.number < 0 || a.likeness > b.likeness ||
                             (a.likeness == b.likeness && a.number < b.number));
}

/* Into a list of k in order; the last one goes. */
static void insert(struct tess_near *list, int64_t k, struct tess_near one)
{
    int64_t at = k - 1;

    if (!is_before(one, list[at]))
        return;
    for (; at > 0 && is_before(one, list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = one;
}

static void take(void *closure, int64_t first, int64_t n, const float *value)
{
    const struct lists *lists = closure;

    for (int64_t q = 0; q < lists->queries->n; q++)
        for (int64_t i = 0; i < n; i++)
            if (lists->likeness->candidate[first + i] && first + i != lists->queries->row[q] &&
                !isnan(value[q * TESS_LIKENESS_TILE + i]))
                insert(lists->near + q * lists->k, lists->k,
                       (struct tess_near){(double)value[q * TESS_LIKENESS_TILE + i], first + i});
}

/* MPI's: an element of the type is a list. */
static void merge(void *from, void *into, int *n, MPI_Datatype *type)
{
    const struct tess_near *more = from;
    struct tess_near *list = into;
    int size;

    MPI_Type_size(*type, &size);
    size /= (int)sizeof *list;
    for (int64_t q = 0; q < *n; q++)
        for (int64_t i = 0; i < size; i++)
            insert(list + q * size, size, more[q * size + i]);
}

static void collect(const struct lists *lists)
{
    MPI_Datatype type;
    MPI_Op op;
    int rank;

    MPI_Comm_rank(lists->likeness->comm, &rank);
    MPI_Type_contiguous(tess_int(lists->k * (int64_t)sizeof *lists->near), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(merge, 1, &op);
    MPI_Reduce(rank == 0 ? MPI_IN_PLACE : lists->near, lists->near, tess_int(lists->queries->n),
               type, op, 0, lists->likeness->comm);
    MPI_Op_free(&op);
    MPI_Type_free(&type);
}

int64_t tess_nearest_batch(const struct tess_likeness *likeness, int64_t k, int64_t n)
{
    int64_t batch = tess_likeness_batch(likeness), tiles = LISTS / (k * TESS_LIKENESS_TILE);

    if (batch > tiles * TESS_LIKENESS_TILE)
        batch = (tiles > 1 ? tiles : 1) * TESS_LIKENESS_TILE;
    return batch < n ? batch : n;
}

int tess_nearest_find(const struct tess_likeness *likeness,
                      const struct tess_likeness_queries *queries, int64_t k,
                      struct tess_near *near, struct tess_error *error)
{
    struct lists lists = {likeness, queries, k, near};
    const struct tess_likeness_visitor visitor = {&lists, take};

    for (int64_t i = 0; i < queries->n * k; i++)
        near[i] = (struct tess_near){-INFINITY, -1};
    tess_likeness_scan(likeness, queries, &visitor, error);
    if (tess_agree(likeness->comm, error) == TESS_OK)
        collect(&lists);
    return error->code;
}
