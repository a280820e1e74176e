/* inverse.h -- direct effects out of total ones.
 *
 * R_ij is what perturbing gene i does to readout j in the end, relative to what it does to itself;
 * B_ij what it does to j by itself. Where all is linear, R_ij = B_ij + sum over k of R_ik B_kj, so
 * that of genes that are both perturbed and read out B = 1 - R^-1 diag(1 / (R^-1)_jj). Other
 * readouts follow by solving for B; of a perturbed gene that is not read out nothing passes through
 * it, and its direct effects are what its effects on the genes above do not explain.
 *
 * Results of `direct` and `partial` on other numbers of ranks differ by rounding (scalapack.h). */
#ifndef TESSERA_INVERSE_H
#define TESSERA_INVERSE_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

/* All perturbed genes (m) × each rank's own readouts [first, first + n) of t. */
struct tess_totals {
    MPI_Comm comm; /* borrowed */
    const char *path; /* of what they come from, for sentences; borrowed */
    int64_t m, t, first, n;
    const int64_t *column; /* (m) the readout that gene i itself is, or -1; ascending; borrowed */
    /* (m, n) R; 0 where nothing is known or survived; a gene's own place is taken to be 1. Becomes
     * B, with 0 in those places. borrowed */
    double *value;
};

/* By LU or QR. A multiple of the unit matrix is added to R first, the ridge: of a series from 0 on
 * the one that predicts each gene's effects best, from paths over other genes alone, without its
 * own row (which the inverse tells in closed form). Says what was chosen, residuals and rates.
 * TESS_EDATA without two genes that are both perturbed and read out. Collective. */
int tess_inverse_direct(struct tess_totals *totals, struct tess_error *error);
/* By a sparse inverse (inspre of Brown et al. 2023): weight (m, n) of each R_ij, 0 of what is not
 * known; the own ones count 1. Of a path of penalties the least one is taken whose fits predict,
 * over 10 folds, a fifth of the effects that were hidden from them, within 2 % of the best. Folds
 * are dealt out to ranks, which hold all genes that are perturbed and read out. */
int tess_inverse_sparse(struct tess_totals *totals, const double *weight, struct tess_error *error);

/* Rows that are samples, nothing perturbed: each rank's own readouts of all. */
struct tess_samples {
    MPI_Comm comm; /* borrowed */
    const char *path; /* as above */
    int64_t n_rows, t, first, n;
    const double *value; /* (n_rows, n) borrowed */
    const uint8_t *measured; /* (n_rows, n) 0: missing; borrowed */
};
/* Partial correlations of all readouts with this rank's own, into out (t, n), 1 on the diagonal;
 * from shrunken correlations (Schäfer and Strimmer 2005), by Cholesky. A missing value counts as
 * its readout's mean; what does not vary is correlated with nothing. Says how much was shrunk.
 * TESS_EDATA if there is no inverse. Collective. */
int tess_inverse_partial(const struct tess_samples *samples, double *out, struct tess_error *error);

/* Do the matrices of `direct` fit what ScaLAPACK counts (2^31 numbers a rank)? Genes that are read
 * out, perturbed genes that are not, and readouts of no such gene; of `partial` all readouts count
 * as the first. Local. */
int tess_inverse_fits(int64_t n_read, int64_t n_unread, int64_t n_other, int n_ranks);
/* Bytes that `direct` takes on a rank beside what the caller has, with what is on its way between
 * ranks; numbers as above. Likewise `partial`, of so many rows and readouts. Local. */
double tess_inverse_bytes(int64_t n_read, int64_t n_unread, int64_t n_other, int n_ranks);
double tess_inverse_partial_bytes(int64_t n_rows, int64_t t, int n_ranks);
/* Operations of `direct`, of all ranks: each ridge's inverse and its check. Local. */
double tess_inverse_work(int64_t genes);
double tess_inverse_sparse_bytes(int64_t genes, int n_ranks);

#endif
