/* linalg.c -- matrices of all sizes around the blocks of ScaLAPACK, on grids that are lines,
 * squares and larger than the matrix: there and back, and eigenvectors and principal components
 * against LAPACK's on one rank. */
#include "tessera/scalapack.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/pca.h"
#include "tessera/random.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
            double *work, const int *lwork, int *info, size_t l1, size_t l2);

typedef void redistribute(int m, int n, const double *a, int ia, int ja, const int *desc_a,
                          double *b, int ib, int jb, const int *desc_b, int context);
redistribute Cpdgemr2d;

static int rank, n_ranks, bad;
static int64_t largest_piece; /* bytes that went in one call, if of several columns */

/* ScaLAPACK's own, looked at on the way. */
void Cpdgemr2d(int m, int n, const double *a, int ia, int ja, const int *desc_a, double *b, int ib,
               int jb, const int *desc_b, int context)
{
    redistribute *theirs = (redistribute *)dlsym(RTLD_NEXT, "Cpdgemr2d");
    int64_t bytes = n > 1 ? (int64_t)m * n * (int64_t)sizeof(double) : 0;

    largest_piece = bytes > largest_piece ? bytes : largest_piece;
    theirs(m, n, a, ia, ja, desc_a, b, ib, jb, desc_b, context);
}

static void expect(int right, const char *what, int64_t n)
{
    if (!right && !bad)
        fprintf(stderr, "rank %d of %d, size %lld: %s\n", rank, n_ranks, (long long)n, what);
    bad |= !right;
}

static double number(int64_t i, int64_t j)
{
    return tess_random_normal(tess_random_stream(8, TESS_RANDOM_TEST, (uint64_t)j), (uint64_t)i);
}

/* Column i of a symmetric matrix with eigenvalues that are well apart. */
static double symmetric(int64_t n, int64_t i, int64_t j)
{
    double x = number(i < j ? i : j, i < j ? j : i) / sqrt((double)n);

    return i == j ? x + (double)i : x;
}

/* Columns go to their places and come back, from any first one. */
static void there_and_back(const struct tess_grid *grid, int64_t n, int64_t m)
{
    int64_t each = (m + n_ranks - 1) / n_ranks, first = m / 3;
    double *column = TESS_NEW(double, each *n);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_matrix matrix;

    for (int64_t j = 0; j < each; j++)
        for (int64_t i = 0; i < n; i++)
            column[j * n + i] = number(i, rank * each + j);
    expect(tess_matrix_init(&matrix, grid, n, m, "a matrix", &error) == TESS_OK, error.text, n);
    tess_matrix_take(&matrix, each, column);
    memset(column, 0, (size_t)(each * n) * sizeof *column);
    tess_matrix_give(&matrix, first, m - first, each, column);
    for (int64_t j = 0; j < each && rank * each + j < m - first; j++)
        for (int64_t i = 0; i < n; i++)
            expect(column[j * n + i] == number(i, first + rank * each + j), "a column is wrong", n);
    tess_matrix_release(&matrix);
    tess_free(column);
}

static void compare(int64_t n, int64_t k, const double *value, const double *vector, double *a)
{
    int size = (int)n, room = 64 * size, info;
    double *w = TESS_NEW(double, n), *work = TESS_NEW(double, room);

    dsyev_("V", "L", &size, a, &size, w, work, &room, &info, 1, 1);
    expect(info == 0, "LAPACK failed", n);
    for (int64_t i = 0; i < k; i++) {
        const double *theirs = a + (n - 1 - i) * n, *mine = vector + i * n;
        double dot = 0, most = 0, largest = 0;

        for (int64_t j = 0; j < n; j++) {
            dot += theirs[j] * mine[j];
            if (fabs(mine[j]) > most * (1 + 1e-6)) {
                most = fabs(mine[j]);
                largest = mine[j];
            }
        }
        expect(fabs(value[i] - w[n - 1 - i]) <= 1e-12 * (fabs(w[n - 1]) + fabs(w[0])),
               "an eigenvalue", n);
        expect(fabs(fabs(dot) - 1) < 1e-9, "an eigenvector", n);
        expect(largest > 0, "an eigenvector's sign", n);
    }
    tess_free(w);
    tess_free(work);
}

static void eigen(const struct tess_grid *grid, int64_t n, int64_t k)
{
    int64_t each = (n + n_ranks - 1) / n_ranks;
    double *column = TESS_NEW(double, each *n), *a = TESS_NEW(double, n *n);
    double *value = TESS_NEW(double, k), *vector = TESS_NEW(double, k *n);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_matrix matrix;

    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < n; i++)
            a[j * n + i] = symmetric(n, i, j);
    for (int64_t j = 0; j < each && rank * each + j < n; j++)
        memcpy(column + j * n, a + (rank * each + j) * n, (size_t)n * sizeof *column);
    expect(tess_matrix_init(&matrix, grid, n, n, "a matrix", &error) == TESS_OK, error.text, n);
    tess_matrix_take(&matrix, each, column);
    expect(tess_matrix_eigen(&matrix, k, value, vector, &error) == TESS_OK, error.text, n);
    compare(n, k, value, vector, a);
    tess_matrix_release(&matrix);
    tess_free(column);
    tess_free(a);
    tess_free(value);
    tess_free(vector);
}

/* ||A X - 1|| of what rank 0 has of both, by columns; 0 on the others. */
static double rest_of(int64_t n, const double *a, const double *x)
{
    double sum = 0;

    for (int64_t i = 0; i < n && rank == 0; i++)
        for (int64_t j = 0; j < n; j++) {
            double rest = i == j ? -1 : 0;

            for (int64_t k = 0; k < n; k++)
                rest += a[i + k * n] * x[k + j * n];
            sum += rest * rest;
        }
    return sqrt(sum);
}

/* By the last rank's whole matrix: inverse, and against a product of one's own. */
static struct tess_inversion invert(const struct tess_grid *grid, int64_t n, const double *a,
                                    int positive)
{
    const struct tess_corner all = {0, 0, n, n};
    double *x = TESS_NEW(double, n *n), *diagonal = TESS_NEW(double, n), rest;
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_matrix matrix, inverse;
    struct tess_inversion about;

    tess_matrix_init(&matrix, grid, n, n, "a matrix", &error);
    expect(tess_matrix_init(&inverse, grid, n, n, "an inverse", &error) == TESS_OK, error.text, n);
    tess_matrix_put(&matrix, n_ranks - 1, &all, a);
    (positive ? tess_matrix_invert_positive(&matrix, &inverse, &about, &error)
              : tess_matrix_invert(&matrix, &inverse, &about, &error));
    expect(error.code == TESS_OK, error.text, n);
    tess_matrix_get(&inverse, 0, &all, x);
    tess_matrix_diagonal(&inverse, diagonal);
    MPI_Bcast(x, (int)(n * n), MPI_DOUBLE, 0, MPI_COMM_WORLD);
    for (int64_t i = 0; i < n; i++)
        expect(diagonal[i] == x[i * n + i], "the diagonal", n);
    rest = rest_of(n, a, x);
    expect(!about.usable || rest < 1.1e-6, "an inverse is wrong", n);
    tess_matrix_release(&matrix);
    tess_matrix_release(&inverse);
    tess_free(x);
    tess_free(diagonal);
    return about;
}

/* Of any matrix, of a symmetric one, of Wilkinson's (which LU fails at and QR does not), of none
 * that has an inverse. */
static void inverses(const struct tess_grid *grid, int64_t n)
{
    double *a = TESS_NEW(double, n *n);
    struct tess_inversion about;

    for (int64_t k = 0; k < n * n; k++)
        a[k] = number(k % n, k / n) + 3 * (k % n == k / n);
    about = invert(grid, n, a, 0);
    expect(about.usable && !about.by_qr && about.residual < 1e-13, "LU", n);
    for (int64_t k = 0; k < n * n; k++)
        a[k] = (k % n == k / n) ? (double)n + 1 : 1 / (1.0 + (double)(k % n + k / n));
    about = invert(grid, n, a, 1);
    expect(about.usable && about.residual < 1e-14, "Cholesky", n);
    for (int64_t k = 0; k < n * n; k++)
        a[k] = k / n == n - 1   ? 1 + 0.3 * number(k % n, 7)
               : k % n == k / n ? 1
               : k % n > k / n  ? -1 + 1e-3 * fabs(number(k % n, k / n))
                                : 0;
    about = invert(grid, n, a, 0);
    expect(about.usable && (about.by_qr || n < 60) && (!about.by_qr || n > 10),
           "Wilkinson's matrix", n);
    for (int64_t k = 0; k < n * n; k++)
        a[k] = 1 + 1e-11 * number(k % n, k / n);
    if (n > 4) { /* few digits are right, and no other method finds more */
        about = invert(grid, n, a, 0);
        expect(!about.usable && !about.by_qr && about.residual < 1e-13, "nearly singular", n);
    }
    for (int64_t k = 0; k < n * n; k++)
        a[k] = 1;
    if (n > 1) {
        expect(!invert(grid, n, a, 0).usable, "a singular matrix has an inverse", n);
        a[0] = -1;
        expect(!invert(grid, n, a, 1).usable, "it is not positive definite", n);
    }
    tess_free(a);
}

/* Blocks that each rank has of the rows, products and transposes of matrices of other shapes. */
static void products(const struct tess_grid *grid, int64_t m, int64_t k, int64_t n)
{
    double *block = TESS_NEW(double, (m + k) * (k + n) + 1);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_matrix a, b, c, turned;

    tess_matrix_init(&a, grid, m, k, "a", &error);
    tess_matrix_init(&b, grid, k, n, "b", &error);
    tess_matrix_init(&c, grid, m, n, "c", &error);
    expect(tess_matrix_init(&turned, grid, k, m, "d", &error) == TESS_OK, error.text, m);
    for (int r = 0; r < n_ranks; r++) {
        const struct tess_corner own = {m * r / n_ranks, 0, m * (r + 1) / n_ranks - m * r / n_ranks,
                                        k};

        for (int64_t i = 0; i < own.n_rows * k; i++)
            block[i] = number(own.row + i % own.n_rows, i / own.n_rows);
        tess_matrix_put(&a, r, &own, block);
    }
    tess_matrix_transpose(&a, &turned);
    for (int64_t i = 0; i < k * n; i++)
        block[i] = number(9 + i % k, i / k);
    tess_matrix_put(&b, 0, &(struct tess_corner){0, 0, k, n}, block);
    tess_matrix_multiply(&a, &b, 0, &c);
    tess_matrix_multiply(&a, &b, 1, &c);
    tess_matrix_get(&c, 0, &(struct tess_corner){m / 2, 0, m - m / 2, n}, block);
    for (int64_t i = m / 2; i < m && rank == 0; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;

            for (int64_t l = 0; l < k; l++)
                sum += 2 * number(i, l) * number(9 + l, j);
            expect(fabs(block[i - m / 2 + j * (m - m / 2)] - sum) < 1e-10, "a product", m);
        }
    for (int64_t j = 0; j < turned.local_columns; j++)
        for (int64_t i = 0; i < turned.local_rows; i++)
            expect(turned.value[i + j * turned.local_rows] ==
                       number(tess_matrix_column(&turned, j), tess_matrix_row(&turned, i)),
                   "a transpose", m);
    tess_matrix_release(&a);
    tess_matrix_release(&b);
    tess_matrix_release(&c);
    tess_matrix_release(&turned);
    tess_free(block);
}

/* What is not finite is refused by all; nothing hangs. A matrix of zeroes has any eigenvectors. */
static void strange(const struct tess_grid *grid)
{
    double x[9] = {0}, value[3], vector[9];
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_matrix matrix;

    expect(tess_matrix_init(&matrix, grid, 3, 3, "a matrix", &error) == TESS_OK, error.text, 3);
    expect(tess_matrix_eigen(&matrix, 3, value, vector, &error) == TESS_OK, error.text, 3);
    expect(value[0] == 0 && value[2] == 0, "an eigenvalue of zeroes", 3);
    if (rank == 0)
        x[4] = NAN;
    tess_matrix_take(&matrix, 3, x);
    expect(tess_matrix_eigen(&matrix, 1, value, vector, &error) == TESS_EDATA, "NaN is taken", 3);
    tess_matrix_release(&matrix);
}

static int make(void *closure, int64_t first, int64_t n, double *out, struct tess_error *error)
{
    int64_t width = *(const int64_t *)closure;

    (void)error;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++)
            out[i * width + j] = 3 + number(first + i, j) * (double)(j + 1);
    return TESS_OK;
}

static void components(int64_t n, int64_t width, int64_t k)
{
    const struct tess_pca_rows rows = {n, width, &width, make};
    double *x = TESS_NEW(double, n *width), *a = TESS_NEW(double, width *width);
    double *place = TESS_NEW(double, n *k);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_pca pca;

    expect(tess_pca_init(&pca, &rows, k, MPI_COMM_WORLD, &error) == TESS_OK, error.text, n);
    make(&width, 0, n, x, &error);
    tess_pca_project(&pca, n, x, place);
    for (int64_t i = 0; i < width * width; i++)
        for (int64_t r = 0; r < n; r++)
            a[i] += x[r * width + i / width] * x[r * width + i % width] / (double)(n - 1);
    for (int64_t j = 0; j < k; j++) {
        double sum = 0, square = 0;

        for (int64_t r = 0; r < n; r++) {
            sum += place[r * k + j];
            square += place[r * k + j] * place[r * k + j];
        }
        expect(fabs(sum) < 1e-9 * (double)n, "rows are not centred", n);
        expect(fabs(square / (double)(n - 1) / pca.variance[j] - 1) < 1e-9, "a variance", n);
    }
    compare(width, k, pca.variance, pca.axis, a);
    tess_pca_release(&pca);
    expect(tess_pca_init(&pca, &rows, n + width, MPI_COMM_WORLD, &error) == TESS_EUSAGE,
           "too many components are made", n);
    tess_pca_release(&pca);
    tess_free(x);
    tess_free(a);
    tess_free(place);
}

/* Few calls, for each waits for all ranks, and over the ends of blocks. */
static void pieces(struct tess_grid *grid)
{
    static const struct {
        int piece;
        int64_t rows, columns;
    } of[] = {{1, 9, 11}, {1000, 20, 40}, {20000, 65, 130}, {30000, 130, 65}};

    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        grid->piece = of[i].piece;
        largest_piece = 0;
        there_and_back(grid, of[i].rows, of[i].columns);
        products(grid, 7, of[i].rows, of[i].columns);
        expect(largest_piece <= grid->piece, "more at a time than may be", grid->piece);
        expect(largest_piece > 0 || i == 0, "nothing was looked at", grid->piece);
    }
}

int main(int argc, char **argv)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 31, 63, 64, 65, 130, 200};
    struct tess_grid grid;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    tess_grid_open(&grid, MPI_COMM_WORLD);
    expect(grid.rows * grid.columns == n_ranks && grid.rows <= grid.columns, "the grid", n_ranks);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        there_and_back(&grid, sizes[i], sizes[i]);
        there_and_back(&grid, sizes[i], 3);
        there_and_back(&grid, 3, sizes[i]);
        eigen(&grid, sizes[i], sizes[i]);
        eigen(&grid, sizes[i], (sizes[i] + 2) / 3);
        inverses(&grid, sizes[i]);
        products(&grid, sizes[i], 5, 70);
        products(&grid, 3, sizes[i], sizes[i]);
    }
    strange(&grid);
    pieces(&grid);
    tess_grid_close(&grid);
    tess_grid_close(&grid);
    components(2, 1, 1);
    components(3, 40, 2);
    components(300, 70, 5);
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return bad;
}
