/* slabs.c -- each rank's readouts to a matrix that is dealt out in blocks, and back. */
#include "slabs.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

void tess_slabs_init(struct tess_slabs *slabs, struct tess_totals *totals)
{
    int64_t m = totals->m, t = totals->t, next = 0;
    MPI_Comm comm = totals->comm;

    *slabs = (struct tess_slabs){.totals = totals};
    MPI_Comm_rank(comm, &slabs->rank);
    MPI_Comm_size(comm, &slabs->n_ranks);
    slabs->read = TESS_NEW(int64_t, m);
    slabs->unread = TESS_NEW(int64_t, m);
    slabs->same = TESS_NEW(int64_t, m);
    slabs->other = TESS_NEW(int64_t, t);
    slabs->first = TESS_NEW(int64_t, slabs->n_ranks + 1);
    for (int64_t i = 0; i < m; i++) {
        int64_t column = totals->column[i];

        if (column < 0) {
            slabs->unread[slabs->n_unread++] = i;
            continue;
        }
        while (next < column)
            slabs->other[slabs->n_other++] = next++;
        next = column + 1;
        slabs->same[slabs->n_read] = column;
        slabs->read[slabs->n_read++] = i;
    }
    while (next < t)
        slabs->other[slabs->n_other++] = next++;
    MPI_Allgather(&totals->first, 1, MPI_INT64_T, slabs->first, 1, MPI_INT64_T, comm);
    slabs->first[slabs->n_ranks] = t;
}

void tess_slabs_release(struct tess_slabs *slabs)
{
    tess_free(slabs->read);
    tess_free(slabs->unread);
    tess_free(slabs->same);
    tess_free(slabs->other);
    tess_free(slabs->first);
    *slabs = (struct tess_slabs){.totals = NULL};
}

/* How many of a part's readouts lie before `readout`. */
static int64_t before(const struct tess_slab *part, int64_t readout)
{
    int64_t low = 0, high = part->n_rows;

    while (low < high) {
        int64_t middle = (low + high) / 2;

        if (part->readout[middle] < readout)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tess_corner corner_of(const struct tess_slabs *slabs, const struct tess_slab *part,
                                    int rank)
{
    int64_t row = before(part, slabs->first[rank]);

    return (struct tess_corner){
        .row = row,
        .n_rows = before(part, slabs->first[rank + 1]) - row,
        .n_columns = part->n_columns,
    };
}

/* This rank's place of row k and column i of its part. */
static double *place_of(const struct tess_slabs *slabs, const struct tess_slab *part,
                        const struct tess_corner *own, int64_t k, int64_t i)
{
    const struct tess_totals *totals = slabs->totals;

    return &totals->value[part->gene[i] * totals->n + part->readout[own->row + k] - totals->first];
}

/* Room for this rank's part. Collective: all ranks have it, or none goes on. */
static double *room_for(const struct tess_slabs *slabs, const struct tess_corner *own,
                        struct tess_error *error)
{
    double *block = tess_alloc_large((size_t)(own->n_rows * own->n_columns), sizeof *block,
                                     "effects on their way", error);

    tess_agree(slabs->totals->comm, error);
    return block;
}

int tess_slabs_load(const struct tess_slabs *slabs, const struct tess_slab *part,
                    struct tess_matrix *matrix, struct tess_error *error)
{
    struct tess_corner own = corner_of(slabs, part, slabs->rank);
    double *block = room_for(slabs, &own, error);

    if (error->code == TESS_OK) {
        for (int64_t i = 0; i < own.n_columns; i++)
            for (int64_t k = 0; k < own.n_rows; k++)
                block[i * own.n_rows + k] = *place_of(slabs, part, &own, k, i);
        for (int r = 0; r < slabs->n_ranks; r++) {
            struct tess_corner at = corner_of(slabs, part, r);

            tess_matrix_put(matrix, r, &at, block);
        }
    }
    tess_free(block);
    return error->code;
}

int tess_slabs_store(const struct tess_slabs *slabs, const struct tess_slab *part,
                     const struct tess_matrix *matrix, struct tess_error *error)
{
    struct tess_corner own = corner_of(slabs, part, slabs->rank);
    double *block = room_for(slabs, &own, error);

    if (error->code == TESS_OK) {
        for (int r = 0; r < slabs->n_ranks; r++) {
            struct tess_corner at = corner_of(slabs, part, r);

            tess_matrix_get(matrix, r, &at, block);
        }
        for (int64_t i = 0; i < own.n_columns; i++)
            for (int64_t k = 0; k < own.n_rows; k++)
                *place_of(slabs, part, &own, k, i) = block[i * own.n_rows + k];
    }
    tess_free(block);
    return error->code;
}

double tess_slabs_bytes(int64_t n_rows, int64_t n_columns, int64_t t, int n_ranks)
{
    int64_t most = (t + n_ranks - 1) / n_ranks, own = n_rows < most ? n_rows : most;

    return sizeof(double) * (double)own * (double)n_columns +
           tess_matrix_packed_bytes(own, n_columns, n_ranks);
}
