/* inverse_partial.c -- partial correlations: the inverse of the correlations, shrunk towards none.
 *
 * Schäfer and Strimmer 2005 (Statistical Applications in Genetics and Molecular Biology 4, 32),
 * after Ledoit and Wolf 2003: (1 - w) r_ij with w = sum of var(r_ij) / sum of r_ij^2 over pairs,
 * where var(r_ij) = N / (N - 1)^3 sum over rows of (x_i x_j - their mean)^2. The sum of squares is
 * a second product, of squares. */
#include "tessera/inverse.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/scalapack.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ROWS_AT_ONCE 1024

struct partial {
    const struct tess_samples *samples;
    struct tess_grid grid;
    struct tess_matrix product, square; /* (t, t) sums over rows of x_i x_j, and of (x_i x_j)^2 */
    double *mean, *scale; /* (n) of this rank's columns; own */
    double *block; /* (ROWS_AT_ONCE, n) own */
    int64_t *first; /* (n_ranks + 1) own */
};

/* Over what was measured; scale 0 of what does not vary. */
static void measure(struct partial *partial)
{
    const struct tess_samples *samples = partial->samples;
    int64_t n = samples->n;

    for (int64_t j = 0; j < n; j++) {
        double sum = 0, squares = 0;
        int64_t count = 0;

        for (int64_t r = 0; r < samples->n_rows; r++)
            if (samples->measured[r * n + j]) {
                sum += samples->value[r * n + j];
                count++;
            }
        partial->mean[j] = count > 0 ? sum / (double)count : 0;
        for (int64_t r = 0; r < samples->n_rows; r++)
            if (samples->measured[r * n + j]) {
                double x = samples->value[r * n + j] - partial->mean[j];

                squares += x * x;
            }
        partial->scale[j] = squares > 0 ? sqrt((double)(samples->n_rows - 1) / squares) : 0;
    }
}

/* Collective. */
static int check_varies(const struct partial *partial, struct tess_error *error)
{
    const struct tess_samples *samples = partial->samples;
    int64_t n = 0;

    for (int64_t j = 0; j < samples->n; j++)
        n += partial->scale[j] > 0;
    MPI_Allreduce(MPI_IN_PLACE, &n, 1, MPI_INT64_T, MPI_SUM, samples->comm);
    if (n >= 2)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: %" PRId64 " of the readouts vary over the %" PRId64
                          " rows: a correlation needs two that do",
                          samples->path, n, samples->n_rows);
}

/* Rows [first, first + n) of all ranks, of mean 0 and variance 1, to `rows`; what is missing is
 * that mean. */
static void load(struct partial *partial, int64_t first, int64_t n_rows, int squared,
                 struct tess_matrix *rows)
{
    const struct tess_samples *samples = partial->samples;
    int64_t n = samples->n;

    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t j = 0; j < n; j++) {
            int64_t at = (first + r) * n + j;
            double x = samples->measured[at] ? samples->value[at] - partial->mean[j] : 0;

            x *= partial->scale[j];
            partial->block[r * n + j] = squared ? x * x : x;
        }
    for (int r = 0; r < partial->grid.n_ranks; r++) {
        const struct tess_corner at = {.row = partial->first[r],
                                       .n_rows = partial->first[r + 1] - partial->first[r],
                                       .n_columns = n_rows};

        tess_matrix_put(rows, r, &at, partial->block);
    }
}

static int add_products(struct partial *partial, struct tess_error *error)
{
    const struct tess_samples *samples = partial->samples;

    for (int64_t first = 0; first < samples->n_rows; first += ROWS_AT_ONCE) {
        int64_t rest = samples->n_rows - first, n = rest < ROWS_AT_ONCE ? rest : ROWS_AT_ONCE;
        struct tess_matrix rows;

        if (tess_matrix_init(&rows, &partial->grid, samples->t, n, "rows", error) == TESS_OK) {
            load(partial, first, n, 0, &rows);
            tess_matrix_add_gram(&partial->product, &rows);
            load(partial, first, n, 1, &rows);
            tess_matrix_add_gram(&partial->square, &rows);
        }
        tess_matrix_release(&rows);
        if (error->code != TESS_OK)
            break;
    }
    return error->code;
}

/* How much the correlations are shrunk, which `product` becomes, with 1 on the diagonal. */
static double shrink(struct partial *partial)
{
    struct tess_matrix *product = &partial->product;
    double rows = (double)partial->samples->n_rows, sum[2] = {0, 0}, weight;
    int64_t lead = product->local_rows;

    for (int64_t b = 0; b < product->local_columns; b++)
        for (int64_t a = 0; a < lead; a++) {
            double p = product->value[a + b * lead], s = partial->square.value[a + b * lead];

            if (tess_matrix_row(product, a) <= tess_matrix_column(product, b))
                continue;
            sum[0] += rows / pow(rows - 1, 3) * (s - p * p / rows);
            sum[1] += p * p / (rows - 1) / (rows - 1);
        }
    MPI_Allreduce(MPI_IN_PLACE, sum, 2, MPI_DOUBLE, MPI_SUM, partial->grid.comm);
    weight = sum[1] > 0 ? fmin(fmax(sum[0] / sum[1], 0), 1) : 1;
    for (int64_t b = 0; b < product->local_columns; b++)
        for (int64_t a = 0; a < lead; a++) {
            double *p = &product->value[a + b * lead];

            *p = tess_matrix_row(product, a) == tess_matrix_column(product, b)
                     ? 1
                     : (1 - weight) * *p / (rows - 1);
        }
    return weight;
}

/* -P_ij / sqrt(P_ii P_jj) to who has readout j; `inverse` is overwritten. */
static void give(struct partial *partial, struct tess_matrix *inverse, double *out)
{
    int64_t t = partial->samples->t, lead = inverse->local_rows;
    double *diagonal = TESS_NEW(double, t);

    tess_matrix_diagonal(inverse, diagonal);
    for (int64_t b = 0; b < inverse->local_columns; b++)
        for (int64_t a = 0; a < lead; a++) {
            int64_t i = tess_matrix_row(inverse, a), j = tess_matrix_column(inverse, b);
            double *p = &inverse->value[a + b * lead];

            *p = i == j ? 1 : -*p / sqrt(diagonal[i] * diagonal[j]);
        }
    for (int r = 0; r < partial->grid.n_ranks; r++) {
        const struct tess_corner at = {.row = partial->first[r],
                                       .n_rows = partial->first[r + 1] - partial->first[r],
                                       .n_columns = t};

        tess_matrix_get(inverse, r, &at, out);
    }
    tess_free(diagonal);
}

static int invert(struct partial *partial, double *out, struct tess_error *error)
{
    double weight = shrink(partial);
    struct tess_matrix *inverse = &partial->square; /* no longer needed */
    struct tess_inversion about;

    if (tess_matrix_invert_positive(&partial->product, inverse, &about, error) != TESS_OK)
        return error->code;
    if (!about.usable)
        return tess_error_set(error, TESS_EDATA,
                              "%s: the correlations of %" PRId64 " readouts over %" PRId64
                              " rows have no inverse: some readouts are sums or copies of others; "
                              "leave them out",
                              partial->samples->path, partial->samples->t,
                              partial->samples->n_rows);
    tess_info("correlations are shrunk by %.4g; inverted by Cholesky in %.2f s, %.1f Gflop/s; "
              "residual %.1e",
              weight, about.seconds, about.rate / 1e9, about.residual);
    give(partial, inverse, out);
    return TESS_OK;
}

int tess_inverse_partial(const struct tess_samples *samples, double *out, struct tess_error *error)
{
    int64_t t = samples->t;
    struct partial partial = {.samples = samples};

    tess_grid_open(&partial.grid, samples->comm);
    partial.mean = TESS_NEW(double, samples->n);
    partial.scale = TESS_NEW(double, samples->n);
    partial.first = TESS_NEW(int64_t, partial.grid.n_ranks + 1);
    partial.block = tess_alloc_large((size_t)(ROWS_AT_ONCE * samples->n), sizeof(double),
                                     "rows of the input", error);
    MPI_Allgather(&samples->first, 1, MPI_INT64_T, partial.first, 1, MPI_INT64_T, samples->comm);
    partial.first[partial.grid.n_ranks] = t;
    tess_matrix_init(&partial.product, &partial.grid, t, t, "correlations", error);
    if (tess_matrix_init(&partial.square, &partial.grid, t, t, "their squares", error) == TESS_OK) {
        measure(&partial);
        if (check_varies(&partial, error) == TESS_OK && add_products(&partial, error) == TESS_OK)
            invert(&partial, out, error);
    }
    tess_matrix_release(&partial.product);
    tess_matrix_release(&partial.square);
    tess_free(partial.mean);
    tess_free(partial.scale);
    tess_free(partial.first);
    tess_free(partial.block);
    tess_grid_close(&partial.grid);
    return error->code;
}

/* Rows on their way, the inverse with its check, or the result on its way. */
double tess_inverse_partial_bytes(int64_t n_rows, int64_t t, int n_ranks)
{
    int64_t own = (t + n_ranks - 1) / n_ranks, n = n_rows < ROWS_AT_ONCE ? n_rows : ROWS_AT_ONCE;
    double square = tess_matrix_bytes(t, t, n_ranks);
    double rows = tess_matrix_bytes(t, n, n_ranks) + tess_matrix_packed_bytes(own, n, n_ranks);
    double result = tess_matrix_packed_bytes(own, t, n_ranks);

    return sizeof(double) * (double)(ROWS_AT_ONCE * own) + 2 * square +
           fmax(square, fmax(rows, result));
}
