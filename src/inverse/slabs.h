/* slabs.h -- totals of all ranks as distributed matrices, readouts × genes: what is R_ij there has
 * row j and column i here. Collective but for what says otherwise. */
#ifndef SLABS_H
#define SLABS_H

#include "tessera/inverse.h"
#include "tessera/scalapack.h"

/* Genes that are read out, and those that are not; readouts that are such genes, and others. All
 * the same on every rank, in ascending order. */
struct tess_slabs {
    struct tess_totals *totals; /* borrowed */
    int rank, n_ranks;
    int64_t n_read, n_unread, n_other;
    int64_t *read, *unread; /* (n_read) (n_unread) genes; own */
    int64_t *same, *other; /* (n_read) (n_other) readouts; own */
    int64_t *first; /* (n_ranks + 1) of each rank's readouts; own */
};
void tess_slabs_init(struct tess_slabs *slabs, struct tess_totals *totals);
void tess_slabs_release(struct tess_slabs *slabs); /* local */

/* Which part: readouts × genes. */
struct tess_slab {
    int64_t n_rows, n_columns;
    const int64_t *readout, *gene; /* borrowed */
};
/* TESS_EOS without memory for a rank's part. */
int tess_slabs_load(const struct tess_slabs *slabs, const struct tess_slab *part,
                    struct tess_matrix *matrix, struct tess_error *error);
int tess_slabs_store(const struct tess_slabs *slabs, const struct tess_slab *part,
                     const struct tess_matrix *matrix, struct tess_error *error);
/* Bytes that loading and storing such a part of t readouts takes on any rank. Local. */
double tess_slabs_bytes(int64_t n_rows, int64_t n_columns, int64_t t, int n_ranks);

#endif
