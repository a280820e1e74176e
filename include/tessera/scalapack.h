/* scalapack.h -- dense matrices over all ranks: the one door to ScaLAPACK and BLACS.
 *
 * A matrix is cut into square blocks, which are dealt out to a grid of ranks in both directions
 * ("block-cyclic"). All functions are collective over the grid's communicator and return the same
 * code on every rank, unless they say otherwise. Results on other numbers of ranks differ by
 * rounding: these are not the bits of the reproducibility contract. */
#ifndef TESSERA_SCALAPACK_H
#define TESSERA_SCALAPACK_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_grid {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks;
    int handle; /* BLACS's name of the communicator; -1: closed */
    int context, line; /* of the grid, and of the same ranks in one line */
    int rows, columns; /* of the grid: as square as the number of ranks permits */
    int row, column; /* this rank's place */
    int64_t
        piece; /* bytes of a matrix that are on their way at a time: fewer than MPI's int counts */
};
/* One grid is open at a time: what BLACS keeps goes with it. MPI goes on. Cannot fail. */
void tess_grid_open(struct tess_grid *grid, MPI_Comm comm);
void tess_grid_close(struct tess_grid *grid); /* a closed one may be closed again */

struct tess_matrix {
    const struct tess_grid *grid; /* borrowed */
    int64_t n_rows, n_columns; /* of the whole */
    int64_t local_rows, local_columns; /* this rank's; columns lie one after the other */
    int descriptor[9]; /* as ScaLAPACK wants it */
    double *value; /* (local_columns, local_rows) zeroed; own */
};
/* `what` names it in a sentence. TESS_EOS if the memory is not there, or a rank's part has more
 * elements than ScaLAPACK counts: then more ranks are the remedy. To be released in either case. */
int tess_matrix_init(struct tess_matrix *matrix, const struct tess_grid *grid, int64_t n_rows,
                     int64_t n_columns, const char *what, struct tess_error *error);
void tess_matrix_release(struct tess_matrix *matrix); /* Local. */
/* Has each of so many ranks no more elements of such a matrix than ScaLAPACK counts? Local. */
int tess_matrix_fits(int64_t n_rows, int64_t n_columns, int n_ranks);
/* Bytes of such a matrix on the rank that has most of it. Local. */
double tess_matrix_bytes(int64_t n_rows, int64_t n_columns, int n_ranks);

struct tess_corner { /* where a block lies in the whole */
    int64_t row, column, n_rows, n_columns;
};

/* From columns in one piece a rank: rank r has columns [r each, (r + 1) each) of the matrix, in
 * column (each, n_rows), of which those past the matrix's end do not count. n_columns is at most
 * each * n_ranks. Cannot fail. */
void tess_matrix_take(struct tess_matrix *matrix, int64_t each, const double *column);
/* And back, of columns [first, first + n) of the matrix, with n at most each * n_ranks. */
void tess_matrix_give(const struct tess_matrix *matrix, int64_t first, int64_t n, int64_t each,
                      double *column);

/* A block (n_columns, n_rows) of one rank `owner`, to rows from `row` and columns from `column` on;
 * the other ranks' pointer does not count. Cannot fail. */
void tess_matrix_put(struct tess_matrix *matrix, int owner, const struct tess_corner *at,
                     const double *block);
/* And back. */
void tess_matrix_get(const struct tess_matrix *matrix, int owner, const struct tess_corner *at,
                     double *block);
/* Bytes that both take on the owner of such a block, beside it. Local. */
double tess_matrix_packed_bytes(int64_t n_rows, int64_t n_columns, int n_ranks);
/* The row of the whole that is this rank's row i, and likewise the column. Local. */
int64_t tess_matrix_row(const struct tess_matrix *matrix, int64_t i);
int64_t tess_matrix_column(const struct tess_matrix *matrix, int64_t j);
/* The diagonal (n) of a square matrix, on every rank. */
void tess_matrix_diagonal(const struct tess_matrix *matrix, double *out);
/* out = matrix'. Cannot fail. */
void tess_matrix_transpose(const struct tess_matrix *matrix, struct tess_matrix *out);
/* out = minus out + a b. Cannot fail. */
void tess_matrix_multiply(const struct tess_matrix *a, const struct tess_matrix *b, double minus,
                          struct tess_matrix *out);

/* gram += x x', in its lower half. Cannot fail. */
void tess_matrix_add_gram(struct tess_matrix *gram, const struct tess_matrix *x);

/* The k largest eigenvalues of a symmetric matrix, of which the lower half is read and nothing
 * stays, in descending order: value (k); vector (k, n), one a row, on every rank. A vector's sign
 * is such that its largest component (of equal ones the first) is positive. What was found is
 * always held against the matrix: ||A v - lambda v|| and orthogonality. TESS_EDATA if the matrix is
 * not finite, TESS_EOS if ScaLAPACK fails, or what it found is wrong. */
int tess_matrix_eigen(struct tess_matrix *matrix, int64_t k, double *value, double *vector,
                      struct tess_error *error);

/* What became of an inversion; the same on every rank. */
struct tess_inversion {
    int usable; /* 0: singular, or so near to it that ||A X - 1|| is above 1e-6 or few digits would
                 * be right; or the residual is above 10 sqrt(n) eps */
    int by_qr; /* by orthogonal factors, as those of LU left a large residual */
    double residual; /* ||A X - 1|| / (||A|| ||X||), Frobenius; INFINITY: exactly singular */
    double seconds, rate; /* of factors and inverse; 2 n^3 (Cholesky: n^3) over the time */
    double product_rate; /* of the product A X that the residual is taken of */
};
/* inverse = matrix^-1, (n, n) both, which has been initialised; `matrix` stays. By LU with partial
 * pivoting; where that leaves a large residual, by QR. The residual is always taken. TESS_EDATA if
 * the matrix is not finite, TESS_EOS without memory, or if ScaLAPACK fails otherwise. */
int tess_matrix_invert(const struct tess_matrix *matrix, struct tess_matrix *inverse,
                       struct tess_inversion *about, struct tess_error *error);
/* The same of a symmetric positive definite matrix, of which the lower half is read and the upper
 * one made; by Cholesky. Not usable, too: one that is not positive definite. */
int tess_matrix_invert_positive(struct tess_matrix *matrix, struct tess_matrix *inverse,
                                struct tess_inversion *about, struct tess_error *error);

#endif
