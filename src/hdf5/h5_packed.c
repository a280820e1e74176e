/* h5_packed.c -- HDF5's shuffle and deflate, done by us: parallel HDF5 writes filtered chunks in
 * collective calls only, and one process at a time would be as slow as that one deflates. */
#include "tessera/h5_packed.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"

#include <string.h>
#include <zlib.h>

#define WITHOUT_DEFLATE 2U /* bit i: without the filter number i; shuffle is 0, deflate 1 */

/* The first bytes of all values, then all second ones, and so on. */
static void shuffle(const struct tess_h5_values *values, unsigned char *out)
{
    const unsigned char *from = values->value;
    int64_t element = values->element, n = values->rows * values->row_bytes / element,
            all = values->chunk_rows * values->row_bytes / element;

    for (int64_t b = 0; b < element; b++) {
        unsigned char *to = out + b * all;

        for (int64_t i = 0; i < n; i++)
            to[i] = from[i * element + b];
        memset(to + n, 0, (size_t)(all - n));
    }
}

struct tess_h5_chunk tess_h5_deflate(const struct tess_h5_values *values, void *scratch, void *out)
{
    int64_t bytes = values->chunk_rows * values->row_bytes;
    uLongf n = (uLongf)bytes;

    shuffle(values, scratch);
    if (compress2(out, &n, scratch, (uLong)bytes, values->level) == Z_OK && (int64_t)n < bytes)
        return (struct tess_h5_chunk){0, (int64_t)n};
    memcpy(out, scratch, (size_t)bytes);
    return (struct tess_h5_chunk){WITHOUT_DEFLATE, bytes};
}

/* For H5Aiterate: one attribute of the old dataset to the new one. */
static herr_t copy_attribute(hid_t from, const char *name, const H5A_info_t *info, void *to)
{
    hid_t old = H5Aopen(from, name, H5P_DEFAULT), type = H5Aget_type(old),
          space = H5Aget_space(old);
    hid_t made = H5Acreate2(*(hid_t *)to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    char *value = TESS_NEW(char, H5Aget_storage_size(old) + 1);
    herr_t result = H5Aread(old, type, value) < 0 ? -1 : H5Awrite(made, type, value);

    (void)info;
    tess_free(value);
    H5Aclose(made);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(old);
    return result;
}

static hid_t create(const struct tess_h5 *h5, const char *name, hid_t type,
                    const struct tess_h5_packed_shape *shape)
{
    const hsize_t dims[2] = {(hsize_t)shape->rows, (hsize_t)shape->columns},
                  chunk[2] = {(hsize_t)shape->chunk_rows, (hsize_t)shape->columns};
    hid_t space = H5Screate_simple(2, dims, NULL), layout = H5Pcreate(H5P_DATASET_CREATE), set;

    H5Pset_obj_track_times(layout, 0); /* no clock in the file */
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER); /* every chunk is written by us */
    H5Pset_chunk(layout, 2, chunk);
    H5Pset_shuffle(layout);
    H5Pset_deflate(layout, (unsigned)shape->level);
    set = H5Dcreate2(h5->file, name, type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    H5Pclose(layout);
    H5Sclose(space);
    return set;
}

/* The old one lives until it is closed, though it has no name any more. */
int tess_h5_packed_open(struct tess_h5_packed *packed, const struct tess_h5 *h5, const char *name,
                        const struct tess_h5_packed_shape *shape, struct tess_error *error)
{
    hid_t old = H5Dopen2(h5->file, name, H5P_DEFAULT), type = old < 0 ? -1 : H5Dget_type(old);
    hsize_t at = 0;

    *packed = (struct tess_h5_packed){h5, name, H5I_INVALID_HID};
    if (type >= 0 && H5Ldelete(h5->file, name, H5P_DEFAULT) >= 0)
        packed->set = create(h5, name, type, shape);
    if (tess_fail_here(error, name) || packed->set < 0 ||
        H5Aiterate2(old, H5_INDEX_NAME, H5_ITER_INC, &at, copy_attribute, &packed->set) < 0)
        tess_h5_fail(h5, name, "cannot be created: is the disk full?", TESS_EIO, error);
    if (type >= 0)
        H5Tclose(type);
    if (old >= 0)
        H5Dclose(old);
    return error->code;
}

int tess_h5_packed_write(struct tess_h5_packed *packed, int64_t first,
                         const struct tess_h5_chunk *chunk, const void *bytes,
                         struct tess_error *error)
{
    const hsize_t at[2] = {(hsize_t)first, 0};

    if (H5Dwrite_chunk(packed->set, H5P_DEFAULT, chunk->mask, at, (size_t)chunk->n, bytes) < 0)
        tess_h5_fail(packed->h5, packed->name, "cannot be written: is the disk full?", TESS_EIO,
                     error);
    return error->code;
}

void tess_h5_packed_close(struct tess_h5_packed *packed)
{
    if (packed->set >= 0)
        H5Dclose(packed->set);
    packed->set = H5I_INVALID_HID;
}
