/* pca.c -- two passes over the rows: the mean, then the covariances of what is left. In each round
 * every rank makes a block of rows, which is one of columns to ScaLAPACK. */
#include "tessera/pca.h"

#include "tessera/scalapack.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/rounds.h"

#include <cblas.h>
#include <inttypes.h>

/* This rank's rows of a round into x, (rounds->size, width), less the mean if there is one; the
 * rest is zero. How many there are. */
static int64_t make_rows(const struct tess_pca *pca, const struct tess_pca_rows *rows,
                         const struct tess_rounds *rounds, int64_t round, double *x,
                         struct tess_error *error)
{
    int64_t first, n = tess_rounds_take(rounds, round, &first), width = pca->width;

    if (n > 0)
        rows->make(rows->closure, first, n, x, error);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            x[i * width + j] -= pca->mean[j];
    for (int64_t i = n * width; i < rounds->size * width; i++)
        x[i] = 0;
    return n;
}

static int find_mean(struct tess_pca *pca, const struct tess_pca_rows *rows,
                     const struct tess_rounds *rounds, double *x, struct tess_error *error)
{
    double *sum = TESS_NEW(double, pca->width);

    for (int64_t round = 0; round < rounds->n_rounds && error->code == TESS_OK; round++) {
        int64_t n = make_rows(pca, rows, rounds, round, x, error);

        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < pca->width; j++)
                sum[j] += x[i * pca->width + j];
    }
    if (tess_agree(rounds->comm, error) == TESS_OK) {
        MPI_Allreduce(MPI_IN_PLACE, sum, tess_int(pca->width), MPI_DOUBLE, MPI_SUM, rounds->comm);
        for (int64_t j = 0; j < pca->width; j++)
            pca->mean[j] = sum[j] / (double)rows->n;
    }
    tess_free(sum);
    return error->code;
}

static int add_squares(struct tess_matrix *gram, struct tess_pca *pca,
                       const struct tess_pca_rows *rows, const struct tess_rounds *rounds,
                       double *x, struct tess_error *error)
{
    struct tess_matrix part;
    double total = 0;

    tess_matrix_init(&part, gram->grid, pca->width, rounds->size * rounds->n_ranks,
                     "rows of a round", error);
    for (int64_t round = 0; round < rounds->n_rounds && error->code == TESS_OK; round++) {
        int64_t n = make_rows(pca, rows, rounds, round, x, error);

        for (int64_t i = 0; i < n * pca->width; i++)
            total += x[i] * x[i];
        if (tess_agree(rounds->comm, error) != TESS_OK)
            break;
        tess_matrix_take(&part, rounds->size, x);
        tess_matrix_add_gram(gram, &part);
    }
    tess_matrix_release(&part);
    if (error->code == TESS_OK)
        MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_DOUBLE, MPI_SUM, rounds->comm);
    pca->total = total / (double)(rows->n - 1);
    return error->code;
}

static int find_axes(struct tess_pca *pca, const struct tess_pca_rows *rows,
                     const struct tess_rounds *rounds, double *x, struct tess_error *error)
{
    struct tess_grid grid;
    struct tess_matrix gram;

    tess_grid_open(&grid, rounds->comm);
    if (tess_matrix_init(&gram, &grid, pca->width, pca->width, "the covariances", error) ==
            TESS_OK &&
        add_squares(&gram, pca, rows, rounds, x, error) == TESS_OK &&
        tess_matrix_eigen(&gram, pca->k, pca->variance, pca->axis, error) == TESS_OK)
        for (int64_t i = 0; i < pca->k; i++)
            pca->variance[i] /= (double)(rows->n - 1);
    tess_matrix_release(&gram);
    tess_grid_close(&grid);
    return error->code;
}

int tess_pca_init(struct tess_pca *pca, const struct tess_pca_rows *rows, int64_t k, MPI_Comm comm,
                  struct tess_error *error)
{
    int64_t most = rows->n - 1 < rows->width ? rows->n - 1 : rows->width;
    const struct tess_rounds rounds = tess_rounds_make(comm, rows->n, 2 * rows->width, 1);
    double *x = NULL;

    *pca = (struct tess_pca){.width = rows->width, .k = k};
    if (k < 1 || k > most)
        return tess_error_set(error, TESS_EUSAGE,
                              "%" PRId64 " principal components of %" PRId64 " rows x %" PRId64
                              " columns: there are at most %" PRId64,
                              k, rows->n, rows->width, most < 0 ? 0 : most);
    pca->mean = TESS_NEW(double, rows->width);
    pca->variance = TESS_NEW(double, k);
    pca->axis = tess_alloc_large((size_t)(k * rows->width), sizeof *pca->axis,
                                 "principal components", error);
    x = tess_alloc_large((size_t)(rounds.size * rows->width), sizeof *x, "rows of a round", error);
    if (tess_agree(comm, error) == TESS_OK && find_mean(pca, rows, &rounds, x, error) == TESS_OK)
        find_axes(pca, rows, &rounds, x, error);
    tess_free(x);
    return error->code;
}

void tess_pca_project(const struct tess_pca *pca, int64_t n, double *x, double *out)
{
    int width = tess_int(pca->width), k = tess_int(pca->k);

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            x[i * width + j] -= pca->mean[j];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tess_int(n), k, width, 1, x, width,
                pca->axis, width, 0, out, k);
}

void tess_pca_release(struct tess_pca *pca)
{
    tess_free(pca->mean);
    tess_free(pca->axis);
    tess_free(pca->variance);
    *pca = (struct tess_pca){.width = 0};
}
