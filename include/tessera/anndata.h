/* anndata.h -- writing AnnData files (`.h5ad`, on-disk format of anndata 0.8: encoding-type and
 * encoding-version on every element), by one process or by all ranks of a communicator.
 *
 * Source: https://anndata.readthedocs.io, "On disk format". Strings are fixed-length UTF-8, which
 * parallel HDF5 can write and anndata 0.8 opens. Every call is collective over comm and returns the
 * same code everywhere; arguments agree, but for the rows of a matrix, which are each rank's own,
 * and names and columns, which only rank 0 needs (NULL elsewhere). Reading is the h5ad source's
 * (source.h). */
#ifndef TESSERA_ANNDATA_H
#define TESSERA_ANNDATA_H

#include "tessera/commit.h"
#include "tessera/h5.h"
#include "tessera/text.h"

#include <stdint.h>

struct tess_anndata {
    struct tess_h5 h5;
    struct tess_commit commit;
    int rank;
    int sums; /* `finish` writes a sidecar with checksums as well (sums.h); may be set before */
    int64_t n_obs, n_var;
    struct tess_strings column[2]; /* of obs and var, in order; own */
};

/* Created aside; `finish` renames it into place. */
int tess_anndata_create(struct tess_anndata *file, const char *path, MPI_Comm comm, int64_t n_obs,
                        int64_t n_var, struct tess_error *error);
/* axis "obs" or "var": n_obs or n_var names. Call it first for each axis. */
int tess_anndata_write_index(struct tess_anndata *file, const char *axis, const char *const *name,
                             struct tess_error *error);
/* A categorical column: code[i] into category[], -1 is missing. */
int tess_anndata_write_categorical(struct tess_anndata *file, const char *axis, const char *column,
                                   int64_t n_categories, const char *const *category,
                                   const int32_t *code, struct tess_error *error);
/* A plain column of HDF5 memory type `type` (float, double, int32, int64, or bool as
 * H5T_NATIVE_HBOOL). */
int tess_anndata_write_column(struct tess_anndata *file, const char *axis, const char *column,
                              hid_t type, const void *data, struct tess_error *error);
/* A dense float32 matrix, (n_obs, n_var): "X" or "layers/NAME". Contiguous, so that a rank's rows
 * are one stretch of the file. Then rows, each rank its own, disjoint. */
int tess_anndata_define_matrix(struct tess_anndata *file, const char *name,
                               struct tess_error *error);
/* Not collective: a stream of rows, with no rank waiting for another. */
int tess_anndata_put_rows(struct tess_anndata *file, const char *name, int64_t first, int64_t n,
                          const float *data, struct tess_error *error);
int tess_anndata_write_rows(struct tess_anndata *file, const char *name, int64_t first, int64_t n,
                            const float *data, struct tess_error *error);
/* A compressed sparse row matrix as X: n_data values in all. Then rows, each rank its own: indptr
 * (n + 1) starts at 0, and the first of these values is number `first_data` of all. */
int tess_anndata_define_csr(struct tess_anndata *file, int64_t n_data, struct tess_error *error);
int tess_anndata_write_csr(struct tess_anndata *file, int64_t first, int64_t n, int64_t first_data,
                           const int64_t *indptr, const int32_t *index, const float *data,
                           struct tess_error *error);
/* uns/PATH as text, or as a number. Missing groups on the way are made. */
int tess_anndata_write_text(struct tess_anndata *file, const char *path, const char *text,
                            struct tess_error *error);
int tess_anndata_write_number(struct tess_anndata *file, const char *path, double x,
                              struct tess_error *error);
/* uns/PATH as an array of strings. */
int tess_anndata_write_strings(struct tess_anndata *file, const char *path, int64_t n,
                               const char *const *text, struct tess_error *error);
int tess_anndata_finish(struct tess_anndata *file, struct tess_error *error);
/* Closes; removes what was not finished. May run twice. */
void tess_anndata_release(struct tess_anndata *file);

#endif
