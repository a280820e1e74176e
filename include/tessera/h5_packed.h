/* h5_packed.h -- datasets in chunks of whole rows, which whoever has the values shuffles and
 * deflates, and one process writes. The filters are those of every HDF5 (shuffle, deflate), so any
 * reader undoes them. Local. */
#ifndef TESSERA_H5_PACKED_H
#define TESSERA_H5_PACKED_H

#include <hdf5.h>
#include <stdint.h>

struct tess_error;
struct tess_h5;

/* A chunk as it stands in the file. */
struct tess_h5_chunk {
    uint32_t mask; /* of filters that were left out: what does not shrink is shuffled alone */
    int64_t n; /* bytes */
};

/* Values of `rows` rows, to be chunks of `chunk_rows`: the last one is filled up with zeroes. */
struct tess_h5_values {
    int64_t rows, chunk_rows, row_bytes;
    int element, level; /* bytes of a value; of deflation, 1 to 9 */
    const void *value;
};
/* One chunk of them into `out`; both `scratch` and `out` have room for chunk_rows × row_bytes.
 * The same bytes for the same values, whoever does it. */
struct tess_h5_chunk tess_h5_deflate(const struct tess_h5_values *values, void *scratch, void *out);

/* A dataset that is written in this way; set below 0: closed. */
struct tess_h5_packed {
    const struct tess_h5 *h5; /* borrowed */
    const char *name; /* borrowed */
    hid_t set;
};
struct tess_h5_packed_shape {
    int64_t rows, columns, chunk_rows;
    int level;
};
/* In the place of a defined dataset, of which it keeps type and attributes, a packed one. The file
 * is open by one process. TESS_EIO. */
int tess_h5_packed_open(struct tess_h5_packed *packed, const struct tess_h5 *h5, const char *name,
                        const struct tess_h5_packed_shape *shape, struct tess_error *error);
/* The chunk that begins with row `first`. TESS_EIO. */
int tess_h5_packed_write(struct tess_h5_packed *packed, int64_t first,
                         const struct tess_h5_chunk *chunk, const void *bytes,
                         struct tess_error *error);
void tess_h5_packed_close(struct tess_h5_packed *packed); /* may run twice */

#endif
