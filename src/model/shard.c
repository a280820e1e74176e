/* shard.c -- owned rows: touch, catch up, update. */
#include "tessera/shard.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <string.h>

void tess_shard_divide(struct tess_shard *shard, int64_t n_rows, int rank, int n_ranks)
{
    *shard = (struct tess_shard){
        .comm = MPI_COMM_NULL, .n_rows = n_rows, .rank = rank, .n_ranks = n_ranks};
    shard->first = TESS_NEW(int64_t, shard->n_ranks + 1);
    /* The first n_rows mod n_ranks ranks own one row more. */
    for (int r = 0; r <= shard->n_ranks; r++)
        shard->first[r] = r * (n_rows / shard->n_ranks) +
                          (r < n_rows % shard->n_ranks ? r : n_rows % shard->n_ranks);
    shard->n_local = shard->first[shard->rank + 1] - shard->first[shard->rank];
}

int tess_shard_init(struct tess_shard *shard, MPI_Comm comm, int64_t n_rows, int dim,
                    struct tess_error *error)
{
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    tess_shard_divide(shard, n_rows, rank, n_ranks);
    shard->comm = comm;
    shard->dim = dim;
    tess_row_state_reserve(&shard->rows, shard->n_local, dim, error);
    shard->mark = tess_alloc_large((size_t)shard->n_local, sizeof(int32_t), "row marks", error);
    if (error->code == TESS_OK)
        memset(shard->mark, -1, (size_t)shard->n_local * sizeof *shard->mark);
    return error->code;
}

void tess_shard_release(struct tess_shard *shard)
{
    tess_free(shard->first);
    tess_row_state_release(&shard->rows);
    tess_free(shard->mark);
    tess_free(shard->touched);
    tess_free(shard->gradient);
    *shard = (struct tess_shard){0};
}

/* Of the rank with most rows. */
int64_t tess_shard_bytes(int64_t n_rows, int dim, int n_ranks)
{
    int64_t local = (n_rows + n_ranks - 1) / n_ranks;

    return local * (tess_row_state_bytes(dim) + (int64_t)sizeof(int32_t)); /* and a mark */
}

/* The last rank that begins at or before the row: ranks without rows begin where the next one does.
 */
int tess_shard_owner(const struct tess_shard *shard, int64_t row)
{
    int low = 0, high = shard->n_ranks - 1;

    while (low < high) {
        int middle = (low + high + 1) / 2;

        if (shard->first[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static int64_t local_row(const struct tess_shard *shard, int64_t row)
{
    int64_t local = row - shard->first[shard->rank];

    TESS_BUG_IF(local < 0 || local >= shard->n_local);
    return local;
}

void tess_shard_touch(struct tess_shard *shard, int64_t row)
{
    int64_t local = local_row(shard, row);
    size_t room = (size_t)shard->room_touched;

    if (shard->mark[local] >= 0)
        return;
    if (shard->n_touched == shard->room_touched) {
        shard->touched =
            tess_grow(shard->touched, &room, (size_t)shard->n_touched + 1, sizeof(int64_t));
        /* Nothing to keep: gradients are added only after all rows of a step are touched. */
        tess_free(shard->gradient);
        shard->gradient = TESS_NEW(float, room *(size_t)shard->dim);
        shard->room_touched = (int64_t)room;
    }
    shard->mark[local] = tess_int(shard->n_touched);
    shard->touched[shard->n_touched++] = local;
}

/* Before the step's gradients are computed: the forward pass needs rows as they stand now. */
void tess_shard_catch_up(struct tess_shard *shard, const struct tess_optimizer *optimizer,
                         int64_t step)
{
    const struct tess_parameter_rows rows = {
        shard->dim, {shard->rows.value, shard->rows.m, shard->rows.v}, shard->rows.last};

    tess_optimizer_catch_up_rows(optimizer, shard->n_touched, shard->touched, step, &rows);
    if (shard->n_touched == 0) // and perhaps no gradient yet
        return;
    memset(shard->gradient, 0,
           (size_t)shard->n_touched * (size_t)shard->dim * sizeof *shard->gradient);
}

VECTORISED void tess_shard_add(struct tess_shard *shard, int32_t mark,
                               const float *restrict gradient)
{
    int64_t dim = shard->dim;
    float *restrict to = shard->gradient + mark * dim;

    for (int64_t d = 0; d < dim; d++)
        to[d] += gradient[d];
}

void tess_shard_update(struct tess_shard *shard, const struct tess_optimizer *optimizer,
                       float scale)
{
    int64_t dim = shard->dim;

    /* Threads take longer to meet than a few rows take. */
#pragma omp parallel for schedule(static) if (shard->n_touched * dim > 8192)
    for (int64_t i = 0; i < shard->n_touched; i++) {
        int64_t row = shard->touched[i];

        tess_optimizer_update(optimizer, dim, shard->gradient + i * dim, scale,
                              (struct tess_parameters){shard->rows.value + row * dim,
                                                       shard->rows.m + row * dim,
                                                       shard->rows.v + row * dim});
        shard->rows.last[row] = optimizer->step;
        shard->mark[row] = -1;
    }
    shard->n_touched = 0;
}

/* Moments are caught up as well, in a copy: a row's values follow from them. */
void tess_shard_copy(const struct tess_shard *shard, const struct tess_optimizer *optimizer,
                     int64_t row, int64_t step, float *out)
{
    int64_t local = local_row(shard, row), dim = shard->dim;
    float *moments = TESS_NEW(float, 2 * dim);

    memcpy(out, shard->rows.value + local * dim, (size_t)dim * sizeof *out);
    memcpy(moments, shard->rows.m + local * dim, (size_t)dim * sizeof *out);
    memcpy(moments + dim, shard->rows.v + local * dim, (size_t)dim * sizeof *out);
    tess_optimizer_catch_up(optimizer, dim, shard->rows.last[local], step,
                            (struct tess_parameters){out, moments, moments + dim});
    tess_free(moments);
}

void tess_shard_gather(const struct tess_shard *shard, const struct tess_optimizer *optimizer,
                       int64_t step, float *out)
{
    int *count = TESS_NEW(int, shard->n_ranks), *first = TESS_NEW(int, shard->n_ranks);
    int64_t begin = shard->first[shard->rank];
    MPI_Datatype row;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < shard->n_local; i++)
        tess_shard_copy(shard, optimizer, begin + i, step, out + (begin + i) * shard->dim);
    for (int r = 0; r < shard->n_ranks; r++) {
        first[r] = tess_int(shard->first[r]);
        count[r] = tess_int(shard->first[r + 1] - shard->first[r]);
    }
    /* Counted in rows, not in floats, so that MPI's int counts last for larger tables. */
    MPI_Type_contiguous(shard->dim, MPI_FLOAT, &row);
    MPI_Type_commit(&row);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, out, count, first, row, shard->comm);
    MPI_Type_free(&row);
    tess_free(count);
    tess_free(first);
}
