/* pca.h -- principal components of rows that all ranks make together, of any number: the matrix of
 * their covariances is spread over the ranks and taken apart by ScaLAPACK. Results on other numbers
 * of ranks differ by rounding. */
#ifndef TESSERA_PCA_H
#define TESSERA_PCA_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

/* n rows of `width` numbers. */
struct tess_pca_rows {
    int64_t n, width;
    void *closure;
    /* Rows [first, first + n) into out (n, width). Local. */
    int (*make)(void *closure, int64_t first, int64_t n, double *out, struct tess_error *error);
};

struct tess_pca {
    int64_t width, k;
    double *mean; /* (width) own */
    double *axis; /* (k, width) orthonormal, the one of the largest variance first; own */
    double *variance; /* (k) along each axis, with n - 1; own */
    double total; /* variance of all */
};

/* The k leading components, of which there must be min(n - 1, width) at least: TESS_EUSAGE
 * otherwise. Of equal signs that is taken whose largest component is positive. Every rank gets all
 * of it. What was found is checked (TESS_EOS). To be released in either case. Collective over comm.
 */
int tess_pca_init(struct tess_pca *pca, const struct tess_pca_rows *rows, int64_t k, MPI_Comm comm,
                  struct tess_error *error);
/* Of n rows, where they lie on the axes: out (n, k). x is centred in place. Local. */
void tess_pca_project(const struct tess_pca *pca, int64_t n, double *x, double *out);
void tess_pca_release(struct tess_pca *pca); /* Local. */

#endif
