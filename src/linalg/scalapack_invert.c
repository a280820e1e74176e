/* scalapack_invert.c -- inverses by LU, by QR and by Cholesky, and what is left of A X - 1.
 *
 * The residual is that of Higham (Accuracy and Stability of Numerical Algorithms, chapter 14): of a
 * stable method ||A X - 1|| / (||A|| ||X||) is a small multiple of n eps, however near to singular
 * the matrix is, and of random errors of sqrt(n) eps. The growth of LU's factors is not bounded:
 * matrices of effects that are all 1 or -1 can be Wilkinson's, where it doubles with each row. QR
 * has no growth. */
#include "tessera/scalapack.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Fortran, with the hidden lengths of character arguments. */
void pdgetrf_(const int *m, const int *n, double *a, const int *ia, const int *ja,
              const int *desc_a, int *pivot, int *info);
void pdgetri_(const int *n, double *a, const int *ia, const int *ja, const int *desc_a,
              const int *pivot, double *work, const int *lwork, int *iwork, const int *liwork,
              int *info);
void pdgeqrf_(const int *m, const int *n, double *a, const int *ia, const int *ja,
              const int *desc_a, double *tau, double *work, const int *lwork, int *info);
void pdormqr_(const char *side, const char *trans, const int *m, const int *n, const int *k,
              const double *a, const int *ia, const int *ja, const int *desc_a, const double *tau,
              double *c, const int *ic, const int *jc, const int *desc_c, double *work,
              const int *lwork, int *info, size_t l1, size_t l2);
void pdtrtrs_(const char *uplo, const char *trans, const char *diag, const int *n, const int *nrhs,
              const double *a, const int *ia, const int *ja, const int *desc_a, double *b,
              const int *ib, const int *jb, const int *desc_b, int *info, size_t l1, size_t l2,
              size_t l3);
void pdpotrf_(const char *uplo, const int *n, double *a, const int *ia, const int *ja,
              const int *desc_a, int *info, size_t l1);
void pdpotri_(const char *uplo, const int *n, double *a, const int *ia, const int *ja,
              const int *desc_a, int *info, size_t l1);

#define NEARLY_SINGULAR 0.01 /* norms of a matrix and of its inverse, times eps */
#define MOST_LEFT       1e-6 /* ||A X - 1|| of an inverse that is used */

static const int one = 1; /* Fortran's first row and column */

/* info < 0 is a mistake in a call, > 0 a singular matrix. */
#define CHECK(name, info, error)                                                                   \
    do {                                                                                           \
        if ((info) < 0)                                                                            \
            tess_error_set(error, TESS_EOS, "ScaLAPACK refused a call (" name ", info %d)", info); \
    } while (0)

/* Room for a call: what it asks for, and at least what its documentation says. */
static double *make_room(double asked, int64_t least, int *size, struct tess_error *error)
{
    int64_t n = asked > (double)least ? (int64_t)asked : least;

    *size = (int)n;
    if (n <= INT_MAX)
        return tess_alloc_large((size_t)n, sizeof(double), "room for an inverse", error);
    tess_error_set(error, TESS_EOS,
                   "an inverse needs more room than ScaLAPACK counts: use more ranks");
    return NULL;
}

static double norm_of(const struct tess_matrix *matrix)
{
    double sum = 0;

    for (int64_t k = 0; k < matrix->local_rows * matrix->local_columns; k++)
        sum += matrix->value[k] * matrix->value[k];
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, matrix->grid->comm);
    return sqrt(sum);
}

static void copy(const struct tess_matrix *from, struct tess_matrix *to)
{
    memcpy(to->value, from->value,
           (size_t)(from->local_rows * from->local_columns) * sizeof(double));
}

static void set_unit(struct tess_matrix *matrix)
{
    for (int64_t j = 0; j < matrix->local_columns; j++)
        for (int64_t i = 0; i < matrix->local_rows; i++)
            matrix->value[i + j * matrix->local_rows] =
                tess_matrix_row(matrix, i) == tess_matrix_column(matrix, j);
}

/* info of what is singular is the same on every rank. */
static int invert_by_lu(struct tess_matrix *a, int *info, struct tess_error *error)
{
    int64_t block = a->descriptor[4];
    int n = (int)a->n_rows, room = -1, ints = -1, asked_ints = 0;
    int *pivot = TESS_NEW(int, a->local_rows + block), *iwork = NULL;
    double asked = 0, *work = NULL;

    pdgetrf_(&n, &n, a->value, &one, &one, a->descriptor, pivot, info);
    CHECK("pdgetrf", *info, error);
    if (*info == 0) {
        pdgetri_(&n, a->value, &one, &one, a->descriptor, pivot, &asked, &room, &asked_ints, &ints,
                 info);
        work = make_room(asked, (a->local_rows + block) * block, &room, error);
        ints = tess_int(a->local_rows + a->local_columns + 2 * block);
        ints = asked_ints > ints ? asked_ints : ints;
        iwork = TESS_NEW(int, ints);
    }
    if (tess_agree(a->grid->comm, error) == TESS_OK && *info == 0) {
        pdgetri_(&n, a->value, &one, &one, a->descriptor, pivot, work, &room, iwork, &ints, info);
        CHECK("pdgetri", *info, error);
    }
    tess_free(pivot);
    tess_free(iwork);
    tess_free(work);
    return tess_agree(a->grid->comm, error);
}

/* `a` is destroyed: X = R^-1 Q'. */
static int invert_by_qr(struct tess_matrix *a, struct tess_matrix *x, int *info,
                        struct tess_error *error)
{
    int64_t block = a->descriptor[4];
    int n = (int)a->n_rows, room = 0;
    double *tau = TESS_NEW(double, a->local_columns + block);
    double *work =
        make_room(0, block * (2 * a->local_rows + 2 * a->local_columns + 4 * block), &room, error);

    set_unit(x);
    if (tess_agree(a->grid->comm, error) == TESS_OK) {
        pdgeqrf_(&n, &n, a->value, &one, &one, a->descriptor, tau, work, &room, info);
        CHECK("pdgeqrf", *info, error);
        pdormqr_("L", "T", &n, &n, &n, a->value, &one, &one, a->descriptor, tau, x->value, &one,
                 &one, x->descriptor, work, &room, info, 1, 1);
        CHECK("pdormqr", *info, error);
        pdtrtrs_("U", "N", "N", &n, &n, a->value, &one, &one, a->descriptor, x->value, &one, &one,
                 x->descriptor, info, 1, 1, 1);
        CHECK("pdtrtrs", *info, error);
    }
    tess_free(tau);
    tess_free(work);
    return tess_agree(a->grid->comm, error);
}

/* A stable method leaves less. */
static double bound_of(double n)
{
    return 10 * sqrt(n) * DBL_EPSILON;
}

/* What it is held against; `room` is overwritten. */
static void judge(const struct tess_matrix *matrix, const struct tess_matrix *inverse,
                  struct tess_matrix *room, struct tess_inversion *about)
{
    double n = (double)matrix->n_rows, norm = norm_of(matrix) * norm_of(inverse), began, left;

    MPI_Barrier(matrix->grid->comm);
    began = MPI_Wtime();
    set_unit(room);
    tess_matrix_multiply(matrix, inverse, -1, room);
    MPI_Barrier(matrix->grid->comm);
    about->product_rate = 2 * n * n * n / (MPI_Wtime() - began);
    MPI_Bcast(&about->product_rate, 1, MPI_DOUBLE, 0, matrix->grid->comm);
    left = norm_of(room);
    about->residual = left / norm;
    about->usable = about->residual <= bound_of(n) && left <= MOST_LEFT &&
                    norm <= NEARLY_SINGULAR / DBL_EPSILON;
}

/* Time of everything on all ranks. */
static void end_clock(const struct tess_matrix *matrix, double began, double work,
                      struct tess_inversion *about)
{
    MPI_Barrier(matrix->grid->comm);
    about->seconds = MPI_Wtime() - began;
    about->rate = work / about->seconds;
    MPI_Bcast(&about->seconds, 1, MPI_DOUBLE, 0, matrix->grid->comm);
    MPI_Bcast(&about->rate, 1, MPI_DOUBLE, 0, matrix->grid->comm);
}

static int check_finite(const struct tess_matrix *matrix, struct tess_error *error)
{
    TESS_BUG_IF(matrix->n_rows != matrix->n_columns);
    if (!isfinite(norm_of(matrix))) /* the same on every rank */
        tess_error_set(error, TESS_EDATA, "a matrix whose inverse is asked for is not finite");
    return error->code;
}

/* By QR if LU left a large residual: what is nearly singular stays so. */
static int is_done(const struct tess_matrix *matrix, const struct tess_inversion *about)
{
    return about->by_qr > 1 ||
           (about->by_qr == 1 && about->residual <= bound_of((double)matrix->n_rows));
}

int tess_matrix_invert(const struct tess_matrix *matrix, struct tess_matrix *inverse,
                       struct tess_inversion *about, struct tess_error *error)
{
    int64_t n = matrix->n_rows;
    double work = 2 * (double)n * (double)n * (double)n;
    struct tess_matrix room;

    *about = (struct tess_inversion){.residual = INFINITY};
    if (check_finite(matrix, error) != TESS_OK ||
        tess_matrix_init(&room, matrix->grid, n, n, "the check of an inverse", error) != TESS_OK)
        return error->code;
    for (; !is_done(matrix, about) && error->code == TESS_OK; about->by_qr++) {
        double began = MPI_Wtime();
        int info = 0;

        copy(matrix, about->by_qr ? &room : inverse);
        if ((about->by_qr ? invert_by_qr(&room, inverse, &info, error)
                          : invert_by_lu(inverse, &info, error)) == TESS_OK &&
            info == 0) {
            end_clock(matrix, began, work, about);
            judge(matrix, inverse, &room, about);
        }
        if (info > 0)
            break;
    }
    about->by_qr -= about->by_qr > 0;
    tess_matrix_release(&room);
    return error->code;
}

/* The upper half is what the lower one is. `room` is overwritten. */
static void mirror(struct tess_matrix *matrix, struct tess_matrix *room)
{
    tess_matrix_transpose(matrix, room);
    for (int64_t j = 0; j < matrix->local_columns; j++)
        for (int64_t i = 0; i < matrix->local_rows; i++)
            if (tess_matrix_row(matrix, i) < tess_matrix_column(matrix, j))
                matrix->value[i + j * matrix->local_rows] = room->value[i + j * matrix->local_rows];
}

int tess_matrix_invert_positive(struct tess_matrix *matrix, struct tess_matrix *inverse,
                                struct tess_inversion *about, struct tess_error *error)
{
    int n = (int)matrix->n_rows, info = 0;
    double began, work = (double)n * (double)n * (double)n;
    struct tess_matrix room;

    *about = (struct tess_inversion){.residual = INFINITY};
    if (tess_matrix_init(&room, matrix->grid, n, n, "the check of an inverse", error) != TESS_OK)
        return error->code;
    mirror(matrix, &room);
    if (check_finite(matrix, error) == TESS_OK) {
        began = MPI_Wtime();
        copy(matrix, inverse);
        pdpotrf_("L", &n, inverse->value, &one, &one, inverse->descriptor, &info, 1);
        CHECK("pdpotrf", info, error);
        if (info == 0) {
            pdpotri_("L", &n, inverse->value, &one, &one, inverse->descriptor, &info, 1);
            CHECK("pdpotri", info, error);
        }
        if (tess_agree(matrix->grid->comm, error) == TESS_OK && info == 0) {
            end_clock(matrix, began, work, about);
            mirror(inverse, &room);
            judge(matrix, inverse, &room, about);
        }
    }
    tess_matrix_release(&room);
    return error->code;
}
