/* scalapack.c -- with scalapack_*.c, the only files that know ScaLAPACK: grids, what lies where,
 * products, eigenvectors.
 *
 * Its interface counts in int: whatever could exceed that is computed in 64 bits and refused before
 * a call. A call's room is asked for, held against the documented formula, and agreed upon. */
#include "tessera/scalapack.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#define BLOCK 128

/* BLACS, and what ScaLAPACK has in C. */
int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int *context, const char *order, int rows, int columns);
void Cblacs_gridinfo(int context, int *rows, int *columns, int *row, int *column);
void Cblacs_gridexit(int context);
void Cblacs_exit(int go_on);
void Cpdgemr2d(int m, int n, const double *a, int ia, int ja, const int *desc_a, double *b, int ib,
               int jb, const int *desc_b, int context);
/* PBLAS, which is C with the names of Fortran: no hidden lengths. */
void pdsyrk_(const char *uplo, const char *trans, const int *n, const int *k, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *desc_a, const double *beta,
             double *c, const int *ic, const int *jc, const int *desc_c);
void pdgemm_(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k,
             const double *alpha, const double *a, const int *ia, const int *ja, const int *desc_a,
             const double *b, const int *ib, const int *jb, const int *desc_b, const double *beta,
             double *c, const int *ic, const int *jc, const int *desc_c);
void pdsymm_(const char *side, const char *uplo, const int *m, const int *n, const double *alpha,
             const double *a, const int *ia, const int *ja, const int *desc_a, const double *b,
             const int *ib, const int *jb, const int *desc_b, const double *beta, double *c,
             const int *ic, const int *jc, const int *desc_c);
void pdtran_(const int *m, const int *n, const double *alpha, const double *a, const int *ia,
             const int *ja, const int *desc_a, const double *beta, double *c, const int *ic,
             const int *jc, const int *desc_c);
/* Fortran, with the hidden lengths of character arguments. */
void pdsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *ia,
              const int *ja, const int *desc_a, double *w, double *z, const int *iz, const int *jz,
              const int *desc_z, double *work, const int *lwork, int *iwork, const int *liwork,
              int *info, size_t l1, size_t l2);

static const int one = 1; /* Fortran's first row and column */

/* As square as the number of ranks permits. */
static void shape(struct tess_grid *grid)
{
    grid->rows = 1;
    for (int i = 1; i <= grid->n_ranks / i; i++)
        grid->rows = grid->n_ranks % i == 0 ? i : grid->rows;
    grid->columns = grid->n_ranks / grid->rows;
}

void tess_grid_open(struct tess_grid *grid, MPI_Comm comm)
{
    *grid = (struct tess_grid){.comm = comm, .piece = INT_MAX};
    MPI_Comm_rank(comm, &grid->rank);
    MPI_Comm_size(comm, &grid->n_ranks);
    shape(grid);
    grid->handle = grid->context = grid->line = Csys2blacs_handle(comm);
    Cblacs_gridinit(&grid->context, "R", grid->rows, grid->columns);
    Cblacs_gridinit(&grid->line, "R", 1, grid->n_ranks);
    Cblacs_gridinfo(grid->context, &grid->rows, &grid->columns, &grid->row, &grid->column);
    TESS_BUG_IF(grid->row * grid->columns + grid->column != grid->rank);
}

void tess_grid_close(struct tess_grid *grid)
{
    if (grid->handle < 0 || grid->n_ranks == 0)
        return;
    Cblacs_gridexit(grid->line);
    Cblacs_gridexit(grid->context);
    Cfree_blacs_system_handle(grid->handle);
    Cblacs_exit(1); /* without 1 it would finalise MPI */
    *grid = (struct tess_grid){.handle = -1};
}

/* How many of n items in blocks are dealt to place `place` of `places`. */
static int64_t share(int64_t n, int64_t block, int place, int places)
{
    int64_t blocks = n / block, own = blocks / places + (place < blocks % places);

    return own * block + (place == blocks % places ? n % block : 0);
}

/* The item that is this place's number i. */
static int64_t place_of(int64_t i, int64_t block, int place, int places)
{
    return (i / block * places + place) * block + i % block;
}

/* Blocks of a small matrix are smaller, so that every rank has some of it. */
static int block_of(const struct tess_grid *grid, int64_t n)
{
    int64_t most = (n + grid->columns - 1) / grid->columns; /* columns >= rows */

    return (int)(most < 1 ? 1 : most < BLOCK ? most : BLOCK);
}

/* What the first place has, which is most. */
static void most_of(int64_t n_rows, int64_t n_columns, int n_ranks, int64_t most[2])
{
    struct tess_grid grid = {.n_ranks = n_ranks};
    int64_t block;

    shape(&grid);
    block = block_of(&grid, n_rows);
    most[0] = share(n_rows, block, 0, grid.rows);
    most[1] = share(n_columns, block, 0, grid.columns);
}

int tess_matrix_fits(int64_t n_rows, int64_t n_columns, int n_ranks)
{
    int64_t most[2];

    most_of(n_rows, n_columns, n_ranks, most);
    return n_rows <= INT_MAX && n_columns <= INT_MAX &&
           (most[0] == 0 || most[1] <= INT_MAX / most[0]);
}

double tess_matrix_bytes(int64_t n_rows, int64_t n_columns, int n_ranks)
{
    int64_t most[2];

    most_of(n_rows, n_columns, n_ranks, most);
    return sizeof(double) * (double)most[0] * (double)most[1];
}

/* The owner packs what all get of it, and unpacks its own share, a piece at a time. */
double tess_matrix_packed_bytes(int64_t n_rows, int64_t n_columns, int n_ranks)
{
    double piece = fmin(sizeof(double) * (double)n_rows * (double)n_columns, INT_MAX);

    return piece + piece / n_ranks;
}

static void describe(struct tess_matrix *matrix, int block)
{
    int64_t lead = matrix->local_rows > 0 ? matrix->local_rows : 1;
    int descriptor[9] = {1,
                         matrix->grid->context,
                         (int)matrix->n_rows,
                         (int)matrix->n_columns,
                         block,
                         block,
                         0,
                         0,
                         (int)lead};

    memcpy(matrix->descriptor, descriptor, sizeof descriptor);
}

int tess_matrix_init(struct tess_matrix *matrix, const struct tess_grid *grid, int64_t n_rows,
                     int64_t n_columns, const char *what, struct tess_error *error)
{
    int block = block_of(grid, n_rows);
    int64_t rows = share(n_rows, block, grid->row, grid->rows);
    int64_t columns = share(n_columns, block, grid->column, grid->columns);

    *matrix = (struct tess_matrix){.grid = grid,
                                   .n_rows = n_rows,
                                   .n_columns = n_columns,
                                   .local_rows = rows,
                                   .local_columns = columns};
    if (!tess_matrix_fits(n_rows, n_columns, grid->n_ranks)) /* the same on every rank */
        tess_error_set(error, TESS_EOS,
                       "%s: %" PRId64 " x %" PRId64 " numbers on %d ranks are more than ScaLAPACK "
                       "counts (2^31 a rank): use more ranks",
                       what, n_rows, n_columns, grid->n_ranks);
    else
        matrix->value = tess_alloc_large((size_t)(rows * columns), sizeof(double), what, error);
    describe(matrix, block);
    return tess_agree(grid->comm, error);
}

void tess_matrix_release(struct tess_matrix *matrix)
{
    tess_free(matrix->value);
    *matrix = (struct tess_matrix){.value = NULL};
}

/* The next columns from `first` on that go in one call, of rows of this length: BLACS packs what is
 * sent, and counts its bytes in int. The same on every rank. */
static int64_t piece_of(const struct tess_grid *grid, int64_t n_rows, int64_t n_columns,
                        int64_t first)
{
    int64_t most = grid->piece / (int64_t)sizeof(double) / (n_rows > 0 ? n_rows : 1);

    most = most < 1 ? 1 : most;
    return n_columns - first < most ? n_columns - first : most;
}

/* Columns in one piece a rank, as ScaLAPACK describes them. */
static void describe_line(const struct tess_matrix *matrix, int64_t n, int64_t each,
                          int descriptor[9])
{
    int rows = (int)matrix->n_rows;
    int line[9] = {1, matrix->grid->line, rows, tess_int(n), rows, tess_int(each), 0, 0, rows};

    TESS_BUG_IF(n > each * matrix->grid->n_ranks || n > matrix->n_columns);
    memcpy(descriptor, line, sizeof line);
}

void tess_matrix_take(struct tess_matrix *matrix, int64_t each, const double *column)
{
    int64_t rows = matrix->n_rows, n = matrix->n_columns, w;
    int line[9];

    describe_line(matrix, n, each, line);
    for (int64_t j = 0; j < n; j += w) {
        w = piece_of(matrix->grid, rows, n, j);
        Cpdgemr2d((int)rows, (int)w, column, 1, (int)j + 1, line, matrix->value, 1, (int)j + 1,
                  matrix->descriptor, matrix->grid->context);
    }
}

void tess_matrix_give(const struct tess_matrix *matrix, int64_t first, int64_t n, int64_t each,
                      double *column)
{
    int64_t rows = matrix->n_rows, w;
    int line[9];

    describe_line(matrix, n, each, line);
    for (int64_t j = 0; j < n; j += w) {
        w = piece_of(matrix->grid, rows, n, j);
        Cpdgemr2d((int)rows, (int)w, matrix->value, 1, (int)(first + j) + 1, matrix->descriptor,
                  column, 1, (int)j + 1, line, matrix->grid->context);
    }
}

void tess_matrix_add_gram(struct tess_matrix *gram, const struct tess_matrix *x)
{
    int n = (int)gram->n_rows, k = (int)x->n_columns;
    double plus = 1;

    TESS_BUG_IF(gram->n_rows != gram->n_columns || x->n_rows != gram->n_rows);
    pdsyrk_("L", "N", &n, &k, &plus, x->value, &one, &one, x->descriptor, &plus, gram->value, &one,
            &one, gram->descriptor);
}

/* Of a block w columns. */
static void describe_block(const struct tess_matrix *matrix, int owner,
                           const struct tess_corner *at, int64_t w, int descriptor[9])
{
    int rows = tess_int(at->n_rows), columns = tess_int(w);
    int block[9] = {1, matrix->grid->line, rows, columns, rows, columns, 0, owner, rows};

    TESS_BUG_IF(at->row + rows > matrix->n_rows || at->column + at->n_columns > matrix->n_columns);
    memcpy(descriptor, block, sizeof block);
}

void tess_matrix_put(struct tess_matrix *matrix, int owner, const struct tess_corner *at,
                     const double *block)
{
    int64_t w;
    int from[9];

    for (int64_t j = 0; at->n_rows > 0 && j < at->n_columns; j += w) {
        w = piece_of(matrix->grid, at->n_rows, at->n_columns, j);
        describe_block(matrix, owner, at, w, from);
        Cpdgemr2d(from[2], from[3], block + j * at->n_rows, 1, 1, from, matrix->value,
                  (int)at->row + 1, (int)(at->column + j) + 1, matrix->descriptor,
                  matrix->grid->context);
    }
}

void tess_matrix_get(const struct tess_matrix *matrix, int owner, const struct tess_corner *at,
                     double *block)
{
    int64_t w;
    int to[9];

    for (int64_t j = 0; at->n_rows > 0 && j < at->n_columns; j += w) {
        w = piece_of(matrix->grid, at->n_rows, at->n_columns, j);
        describe_block(matrix, owner, at, w, to);
        Cpdgemr2d(to[2], to[3], matrix->value, (int)at->row + 1, (int)(at->column + j) + 1,
                  matrix->descriptor, block + j * at->n_rows, 1, 1, to, matrix->grid->context);
    }
}

int64_t tess_matrix_row(const struct tess_matrix *matrix, int64_t i)
{
    return place_of(i, matrix->descriptor[4], matrix->grid->row, matrix->grid->rows);
}

int64_t tess_matrix_column(const struct tess_matrix *matrix, int64_t j)
{
    return place_of(j, matrix->descriptor[5], matrix->grid->column, matrix->grid->columns);
}

void tess_matrix_diagonal(const struct tess_matrix *matrix, double *out)
{
    for (int64_t i = 0; i < matrix->n_rows; i++)
        out[i] = 0;
    for (int64_t j = 0; j < matrix->local_columns; j++)
        for (int64_t i = 0; i < matrix->local_rows; i++)
            if (tess_matrix_row(matrix, i) == tess_matrix_column(matrix, j))
                out[tess_matrix_row(matrix, i)] = matrix->value[i + j * matrix->local_rows];
    MPI_Allreduce(MPI_IN_PLACE, out, (int)matrix->n_rows, MPI_DOUBLE, MPI_SUM, matrix->grid->comm);
}

void tess_matrix_transpose(const struct tess_matrix *matrix, struct tess_matrix *out)
{
    int m = (int)out->n_rows, n = (int)out->n_columns;
    double plus = 1, none = 0;

    TESS_BUG_IF(m != matrix->n_columns || n != matrix->n_rows);
    pdtran_(&m, &n, &plus, matrix->value, &one, &one, matrix->descriptor, &none, out->value, &one,
            &one, out->descriptor);
}

void tess_matrix_multiply(const struct tess_matrix *a, const struct tess_matrix *b, double minus,
                          struct tess_matrix *out)
{
    int m = (int)a->n_rows, n = (int)b->n_columns, k = (int)a->n_columns;
    double plus = 1;

    TESS_BUG_IF(k != b->n_rows || m != out->n_rows || n != out->n_columns);
    pdgemm_("N", "N", &m, &n, &k, &plus, a->value, &one, &one, a->descriptor, b->value, &one, &one,
            b->descriptor, &minus, out->value, &one, &one, out->descriptor);
}

/* Calls `add` with each element of this rank's and its place in the whole; the sum over all ranks.
 */
static double sum_elements(const struct tess_matrix *matrix,
                           double (*add)(const void *closure, int64_t row, int64_t column,
                                         double x),
                           const void *closure)
{
    double sum = 0;

    for (int64_t j = 0; j < matrix->local_columns; j++)
        for (int64_t i = 0; i < matrix->local_rows; i++)
            sum += add(closure, tess_matrix_row(matrix, i), tess_matrix_column(matrix, j),
                       matrix->value[i + j * matrix->local_rows]);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, matrix->grid->comm);
    return sum;
}

/* Of a symmetric matrix whose lower half counts. */
static double square_of_half(const void *closure, int64_t row, int64_t column, double x)
{
    (void)closure;
    return row < column ? 0 : row == column ? x * x : 2 * x * x;
}

static double square(const void *closure, int64_t row, int64_t column, double x)
{
    (void)closure, (void)row, (void)column;
    return x * x;
}

static double square_beside_one(const void *closure, int64_t row, int64_t column, double x)
{
    double rest = row == column ? x - 1 : x;

    (void)closure;
    return rest * rest;
}

/* What the eigenvectors `v` of a matrix are held against: its copy. */
struct spectrum {
    struct tess_matrix copy, vector;
    double *value; /* (n) ascending */
    double norm; /* of the matrix */
};

static int fail(const char *what, double x, struct tess_error *error)
{
    return tess_error_set(error, TESS_EOS,
                          "ScaLAPACK's eigenvectors are wrong: %s of %.3g: try another number of "
                          "ranks or another BLAS",
                          what, x);
}

static int check_residual(const struct spectrum *found, int k, struct tess_error *error)
{
    const struct tess_matrix *v = &found->vector;
    const struct tess_grid *grid = v->grid;
    int n = (int)v->n_rows, first = n - k + 1;
    double plus = 1, none = 0, off, limit = 100 * DBL_EPSILON * sqrt((double)n) * found->norm;
    struct tess_matrix rest;

    if (tess_matrix_init(&rest, grid, n, n, "the check of eigenvectors", error) == TESS_OK) {
        pdsymm_("L", "L", &n, &k, &plus, found->copy.value, &one, &one, found->copy.descriptor,
                v->value, &one, &first, v->descriptor, &none, rest.value, &one, &first,
                rest.descriptor);
        for (int64_t j = 0; j < rest.local_columns; j++) {
            int64_t column = tess_matrix_column(&rest, j);

            for (int64_t i = 0; i < rest.local_rows && column >= n - k; i++)
                rest.value[i + j * rest.local_rows] -=
                    found->value[column] * v->value[i + j * v->local_rows];
        }
        off = sqrt(sum_elements(&rest, square, NULL));
        if (!(off <= limit))
            fail("a residual", off / found->norm, error);
    }
    tess_matrix_release(&rest);
    return tess_agree(grid->comm, error);
}

static int check_orthogonality(const struct spectrum *found, int k, struct tess_error *error)
{
    const struct tess_matrix *v = &found->vector;
    int n = (int)v->n_rows, first = n - k + 1;
    double plus = 1, none = 0, off;
    struct tess_matrix product;

    if (tess_matrix_init(&product, v->grid, k, k, "the check of eigenvectors", error) == TESS_OK) {
        pdgemm_("T", "N", &k, &k, &n, &plus, v->value, &one, &first, v->descriptor, v->value, &one,
                &first, v->descriptor, &none, product.value, &one, &one, product.descriptor);
        off = sqrt(sum_elements(&product, square_beside_one, NULL));
        if (!(off <= 100 * DBL_EPSILON * (double)n))
            fail("a deviation from orthogonality", off, error);
    }
    tess_matrix_release(&product);
    return tess_agree(v->grid->comm, error);
}

/* Room as the library asks for it, and at least what its parts need by their documentation: it asks
 * for too little where blocks are large beside the matrix, and then goes on with wrong vectors
 * (pdormtr, which brings them back from the tridiagonal matrix). */
static int choose_room(const struct tess_matrix *matrix, double asked, int asked_ints, int *room,
                       int *ints, struct tess_error *error)
{
    int64_t n = matrix->n_rows, block = matrix->descriptor[4];
    int64_t rows = matrix->local_rows, columns = matrix->local_columns;
    int64_t back = (rows + columns + 3 * block) * block; /* covers reducing to it, too */
    int64_t least = 1 + 8 * n + 2 * rows * columns + back, least_ints;

    least = asked > (double)least ? (int64_t)asked : least;
    least_ints = 7 * n + 8 * matrix->grid->columns + 2;
    least_ints = asked_ints > least_ints ? asked_ints : least_ints;
    if (least > INT_MAX || least_ints > INT_MAX)
        return tess_error_set(error, TESS_EOS,
                              "the eigenvectors of %" PRId64 " x %" PRId64 " numbers on %d ranks "
                              "need more room than ScaLAPACK counts: use more ranks",
                              n, n, matrix->grid->n_ranks);
    *room = (int)least;
    *ints = (int)least_ints;
    return TESS_OK;
}

/* All eigenvalues and eigenvectors; `matrix` is destroyed. */
static int solve(struct tess_matrix *matrix, struct spectrum *out, struct tess_error *error)
{
    int n = (int)matrix->n_rows, room = -1, ints = -1, info = 0, asked_ints = 0, *iwork = NULL;
    double asked = 0, *work = NULL;

    pdsyevd_("V", "L", &n, matrix->value, &one, &one, matrix->descriptor, out->value,
             out->vector.value, &one, &one, out->vector.descriptor, &asked, &room, &asked_ints,
             &ints, &info, 1, 1);
    if (choose_room(matrix, asked, asked_ints, &room, &ints, error) == TESS_OK) {
        work = tess_alloc_large((size_t)room, sizeof *work, "room for eigenvectors", error);
        iwork = TESS_NEW(int, ints);
    }
    if (tess_agree(matrix->grid->comm, error) == TESS_OK)
        pdsyevd_("V", "L", &n, matrix->value, &one, &one, matrix->descriptor, out->value,
                 out->vector.value, &one, &one, out->vector.descriptor, work, &room, iwork, &ints,
                 &info, 1, 1);
    if (error->code == TESS_OK && info != 0)
        tess_error_set(error, TESS_EOS, "ScaLAPACK found no eigenvectors (pdsyevd, info %d)", info);
    tess_free(work);
    tess_free(iwork);
    return tess_agree(matrix->grid->comm, error);
}

/* The vectors of the k largest to all ranks, the largest first. */
static void collect(const struct spectrum *found, int64_t k, double *value, double *vector)
{
    const struct tess_grid *grid = found->vector.grid;
    int64_t n = found->vector.n_rows, each = (k + grid->n_ranks - 1) / grid->n_ranks;
    double *mine = TESS_NEW(double, each *n), *all = TESS_NEW(double, each *n * grid->n_ranks);

    tess_matrix_give(&found->vector, n - k, k, each, mine);
    MPI_Allgather(mine, tess_int(each * n), MPI_DOUBLE, all, tess_int(each * n), MPI_DOUBLE,
                  grid->comm);
    for (int64_t i = 0; i < k; i++) {
        value[i] = found->value[n - 1 - i];
        memcpy(vector + i * n, all + (k - 1 - i) * n, (size_t)n * sizeof *vector);
    }
    tess_free(mine);
    tess_free(all);
}

/* Of components that are as large but for rounding the first decides. */
static void fix_sign(int64_t n, double *vector)
{
    double most = 0;
    int64_t i = 0;

    for (int64_t j = 0; j < n; j++)
        most = fmax(most, fabs(vector[j]));
    while (i < n - 1 && fabs(vector[i]) < (1 - 1e-6) * most)
        i++;
    if (vector[i] < 0)
        for (int64_t j = 0; j < n; j++)
            vector[j] = -vector[j];
}

int tess_matrix_eigen(struct tess_matrix *matrix, int64_t k, double *value, double *vector,
                      struct tess_error *error)
{
    const struct tess_grid *grid = matrix->grid;
    int64_t n = matrix->n_rows, local = matrix->local_rows * matrix->local_columns;
    struct spectrum found = {.value = TESS_NEW(double, n)};

    TESS_BUG_IF(n != matrix->n_columns || k < 1 || k > n);
    found.norm = sqrt(sum_elements(matrix, square_of_half, NULL));
    if (!isfinite(found.norm))
        tess_error_set(error, TESS_EDATA,
                       "a matrix whose eigenvectors are asked for is not finite");
    if (tess_agree(grid->comm, error) == TESS_OK &&
        tess_matrix_init(&found.copy, grid, n, n, "a copy of the matrix", error) == TESS_OK &&
        tess_matrix_init(&found.vector, grid, n, n, "eigenvectors", error) == TESS_OK) {
        memcpy(found.copy.value, matrix->value, (size_t)local * sizeof(double));
        if (solve(matrix, &found, error) == TESS_OK &&
            check_residual(&found, (int)k, error) == TESS_OK &&
            check_orthogonality(&found, (int)k, error) == TESS_OK) {
            collect(&found, k, value, vector);
            for (int64_t i = 0; i < k; i++)
                fix_sign(n, vector + i * n);
        }
    }
    tess_matrix_release(&found.copy);
    tess_matrix_release(&found.vector);
    tess_free(found.value);
    return error->code;
}
