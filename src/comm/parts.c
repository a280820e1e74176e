/* parts.c -- sums of parts, in rounds of one part a rank. */
#include "tessera/parts.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"

static void add(int64_t n, const double *x, double *total)
{
    for (int64_t i = 0; i < n; i++)
        total[i] += x[i];
}

/* The parts of one round to rank 0, in the order of the ranks, which is that of the parts: no more
 * than one of them is held there. */
static void collect(const struct tess_parts *parts, int64_t round, double *own, double *total)
{
    int rank, n_ranks;

    MPI_Comm_rank(parts->comm, &rank);
    MPI_Comm_size(parts->comm, &n_ranks);
    for (int r = 0; r < n_ranks && round * n_ranks + r < parts->n; r++) {
        int64_t first, n;

        parts->place(parts->closure, round * n_ranks + r, &first, &n);
        if (r == rank && rank > 0)
            MPI_Send(own, tess_int(n), MPI_DOUBLE, 0, 0, parts->comm);
        if (rank > 0)
            continue;
        if (r > 0) {
            double *theirs = TESS_NEW(double, n);

            MPI_Recv(theirs, tess_int(n), MPI_DOUBLE, r, 0, parts->comm, MPI_STATUS_IGNORE);
            add(n, theirs, total + first);
            tess_free(theirs);
        } else
            add(n, own, total + first);
    }
}

int tess_parts_sum(const struct tess_parts *parts, int64_t n_total, double *total,
                   struct tess_error *error)
{
    int rank, n_ranks;

    MPI_Comm_rank(parts->comm, &rank);
    MPI_Comm_size(parts->comm, &n_ranks);
    for (int64_t round = 0; round * n_ranks < parts->n && error->code == TESS_OK; round++) {
        int64_t part = round * n_ranks + rank, first, n = 0;
        double *own = NULL;

        if (part < parts->n) {
            parts->place(parts->closure, part, &first, &n);
            own = tess_alloc_large((size_t)n, sizeof *own, "a part of a sum", error);
            if (own)
                parts->compute(parts->closure, part, own, error);
        }
        if (tess_agree(parts->comm, error) == TESS_OK)
            collect(parts, round, own, total);
        tess_free(own);
    }
    if (error->code == TESS_OK)
        tess_broadcast(parts->comm, total, (size_t)n_total * sizeof *total);
    return error->code;
}
