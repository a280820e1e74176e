/* sparse.h -- a compressed matrix in an HDF5 group (AnnData's csr_matrix and csc_matrix: `data`,
 * `indices`, `indptr` and a shape), read by rows.
 *
 * By rows (CSR) it is read straight from the file. By columns (CSC) each window of rows is gathered
 * in one pass over the file, in bounded memory: 8 bytes a row to count, and `window_bytes`
 * for the entries of the window. A matrix that fits in one window is read once; others as many
 * times as there are windows. Everything is checked: pointers ascend and end within the data,
 * indices lie in the matrix. Local. */
#ifndef TESSERA_SPARSE_H
#define TESSERA_SPARSE_H

#include "tessera/h5_set.h"

struct tess_block;

struct tess_sparse {
    struct tess_h5_set data, index, pointer; /* own */
    int64_t n_rows, n_columns, n_values;
    int by_columns; /* CSC */
    int64_t window_bytes; /* may be changed before the first read */
    int64_t *row_start; /* CSC: (n_rows + 1) entries before each row; own */
    int64_t *column_start; /* CSC: (n_columns + 1); own */
    int64_t window_first, window_end; /* CSC: the rows in the window */
    int32_t *window_index; /* own */
    float *window_data; /* own */
};

/* The group `name`, a compressed matrix by its attributes (today's or those of anndata < 0.7).
 * Local, as are the others. */
int tess_sparse_open(struct tess_sparse *sparse, const struct tess_h5 *h5, const char *name,
                     struct tess_error *error);
/* Rows [first, first + n) into indptr, index and data of the block: sorted, and entries of the same
 * place summed, as scipy does. */
int tess_sparse_read(struct tess_sparse *sparse, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_error *error);
void tess_sparse_release(struct tess_sparse *sparse);

#endif
