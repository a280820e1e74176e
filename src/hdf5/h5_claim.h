/* h5_claim.h -- what a dataset says about its size, held against the bytes that are really there:
 * the one place in which such claims are judged. Local. */
#ifndef H5_CLAIM_H
#define H5_CLAIM_H

#include "tessera/h5.h"

struct tess_h5_claim { /* of an open dataset */
    int n_dims; /* at most 2; 0: one value */
    int64_t shape[2]; /* 1 where there is no such dimension */
    int64_t chunk[2]; /* the shape, if not chunked */
};

/* Reads the claim. TESS_EDATA naming `name` if it has more dimensions or impossible ones; if its
 * values lie in other files, which HDF5 fills with zeros where they are missing; if it is packed
 * with a filter that is not installed; if it claims more values than the stored bytes can hold. */
int tess_h5_claim_read(struct tess_h5_claim *claim, const struct tess_h5 *h5, const char *name,
                       hid_t set, struct tess_error *error);
/* Opens `name` if it is of this extent, else an error and an invalid handle. Own (H5Dclose). */
hid_t tess_h5_claim_open(const struct tess_h5 *h5, const char *name, struct tess_h5_extent extent,
                         struct tess_error *error);

/* How many bytes of an open dataset there can be in the file, whatever it says. Local. */
double tess_h5_claim_stored(const struct tess_h5 *h5, hid_t set);

#endif
