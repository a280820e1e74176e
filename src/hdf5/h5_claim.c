/* h5_claim.c -- shapes, filters and storage of datasets that anybody may have written. */
#include "h5_claim.h"

#include "tessera/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What fits uncompressed in this much memory is believed; beyond it the claim must be one that the
 * stored bytes could hold: deflate, the strongest filter in use, makes at most 1032 of one. */
#define BELIEVED_BYTES 6.7e7
#define DEFLATE_RATIO  1100.0
#define LEAST_ON_DISK  4096.0 /* bytes; below, a file system does not say how many there are */

static int check_filters(const struct tess_h5 *h5, const char *dataset, hid_t list,
                         struct tess_error *error)
{
    int n = H5Pget_nfilters(list);

    for (int i = 0; i < n; i++) {
        char name[64] = "";
        unsigned flags, config;
        size_t n_values = 0;
        H5Z_filter_t filter =
            H5Pget_filter2(list, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);

        if (filter >= 0 && H5Zfilter_avail(filter) > 0)
            continue;
        H5Eclear2(H5E_DEFAULT);
        return tess_error_set(
            error, TESS_EDATA,
            "%s: %s: is compressed with HDF5 filter %d ('%s'), which is not installed: write the "
            "file again with gzip, or put the filter's plugin where HDF5_PLUGIN_PATH says",
            h5->path, dataset, (int)filter, name);
    }
    return TESS_OK;
}

/* Of the bytes that HDF5 counts as stored, as many as there can be: a file has no more than its
 * length, and holes, which lie on no disk, may be at most as much as the rest could be deflated to.
 */
double tess_h5_claim_stored(const struct tess_h5 *h5, hid_t set)
{
    double stored = (double)H5Dget_storage_size(set), on_disk;
    struct stat about;

    if (stat(h5->path, &about) < 0)
        return stored;
    on_disk = 512.0 * (double)about.st_blocks;
    if (stored > (double)about.st_size)
        stored = (double)about.st_size;
    if (on_disk >= LEAST_ON_DISK && stored > on_disk * DEFLATE_RATIO)
        stored = on_disk;
    return stored;
}

/* Of all values, or of one chunk, which HDF5 takes memory for, if that is more. Sizes are
 * multiplied as doubles: what a damaged file claims may be beyond 64 bits. */
static double bytes_claimed(const struct tess_h5_claim *claim, hid_t set)
{
    hid_t type = H5Dget_type(set);
    double values = (double)H5Tget_size(type), chunk = values;

    H5Tclose(type);
    for (int i = 0; i < 2; i++) {
        values *= (double)claim->shape[i];
        chunk *= (double)claim->chunk[i];
    }
    return chunk > values && values > 0 ? chunk : values;
}

static int check_storage(const struct tess_h5_claim *claim, const struct tess_h5 *h5,
                         const char *name, hid_t set, hid_t list, struct tess_error *error)
{
    H5D_layout_t layout = H5Pget_layout(list);
    double claimed = bytes_claimed(claim, set), stored = claimed;

    if (claimed > BELIEVED_BYTES)
        stored = tess_h5_claim_stored(h5, set);
    if (layout == H5D_VIRTUAL || (layout == H5D_CONTIGUOUS && H5Pget_external_count(list) > 0))
        return tess_h5_fail(h5, name,
                            "its values lie in other files: copy it into one file (h5repack)",
                            TESS_EDATA, error);
    if (claimed > BELIEVED_BYTES && claimed > stored * (layout == H5D_CHUNKED ? DEFLATE_RATIO : 1))
        return tess_error_set(error, TESS_EDATA,
                              "%s: %s: claims %.4g bytes of values but %.4g are stored: the file "
                              "is damaged or unfinished",
                              h5->path, name, claimed, stored);
    return check_filters(h5, name, list, error);
}

static int is_null(hid_t set)
{
    hid_t space = H5Dget_space(set);
    int null = space >= 0 && H5Sget_simple_extent_type(space) == H5S_NULL;

    if (space >= 0)
        H5Sclose(space);
    return null;
}

static int read_shape(struct tess_h5_claim *claim, hid_t set, hid_t list)
{
    hid_t space = H5Dget_space(set);
    hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
    int usable = space >= 0;

    claim->n_dims = usable ? H5Sget_simple_extent_ndims(space) : -1;
    usable = claim->n_dims >= 0 && claim->n_dims <= 2;
    if (usable && claim->n_dims > 0)
        usable = H5Sget_simple_extent_dims(space, dims, NULL) == claim->n_dims;
    if (usable && H5Pget_layout(list) == H5D_CHUNKED)
        usable = H5Pget_chunk(list, claim->n_dims, chunk) == claim->n_dims;
    else
        memcpy(chunk, dims, sizeof chunk);
    for (int i = 0; i < 2; i++) {
        claim->shape[i] = usable && i < claim->n_dims ? (int64_t)dims[i] : 1;
        claim->chunk[i] = usable && i < claim->n_dims ? (int64_t)chunk[i] : 1;
        usable = usable && claim->shape[i] >= 0 && claim->shape[i] < INT64_C(1) << 48 &&
                 claim->chunk[i] >= 0;
    }
    if (space >= 0)
        H5Sclose(space);
    return usable;
}

int tess_h5_claim_read(struct tess_h5_claim *claim, const struct tess_h5 *h5, const char *name,
                       hid_t set, struct tess_error *error)
{
    hid_t list = H5Dget_create_plist(set);

    *claim = (struct tess_h5_claim){.n_dims = -1};
    if (list < 0)
        return tess_h5_fail(h5, name, "cannot be opened", TESS_EDATA, error);
    if (is_null(set))
        tess_h5_fail(h5, name, "is empty (null): it has no values", TESS_EDATA, error);
    else if (!read_shape(claim, set, list))
        tess_h5_fail(h5, name, "has an unusable shape", TESS_EDATA, error);
    else
        check_storage(claim, h5, name, set, list, error);
    H5Pclose(list);
    return error->code;
}

/* An open dataset, judged; invalid and an error otherwise. */
static hid_t open_judged(const struct tess_h5 *h5, const char *name, struct tess_h5_claim *claim,
                         struct tess_error *error)
{
    hid_t set = H5I_INVALID_HID;

    if (!tess_fail_here(error, name)) {
        set = H5Dopen2(h5->file, name, H5P_DEFAULT);
        if (set < 0)
            tess_h5_fail(h5, name, "is missing or no dataset", TESS_EDATA, error);
        else
            tess_h5_claim_read(claim, h5, name, set, error);
    }
    if (set >= 0 && error->code != TESS_OK) {
        H5Dclose(set);
        set = H5I_INVALID_HID;
    }
    return set;
}

static void print_shape(int n_dims, const int64_t shape[2], char text[64])
{
    if (n_dims == 0)
        snprintf(text, 64, "one value");
    else if (n_dims == 1)
        snprintf(text, 64, "%" PRId64 " entries", shape[0]);
    else
        snprintf(text, 64, "%" PRId64 " x %" PRId64 " entries", shape[0], shape[1]);
}

hid_t tess_h5_claim_open(const struct tess_h5 *h5, const char *name, struct tess_h5_extent extent,
                         struct tess_error *error)
{
    struct tess_h5_claim claim;
    char found[64], wanted[64];
    hid_t set = open_judged(h5, name, &claim, error);
    int right = set >= 0 && claim.n_dims == extent.n_dims;

    for (int i = 0; i < extent.n_dims; i++)
        right = right && claim.shape[i] == extent.shape[i];
    if (set >= 0 && !right) {
        print_shape(claim.n_dims, claim.shape, found);
        print_shape(extent.n_dims, extent.shape, wanted);
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: has %s where %s belong: the file is damaged or of another kind",
                       h5->path, name, found, wanted);
        H5Dclose(set);
        set = H5I_INVALID_HID;
    }
    return set;
}

int tess_h5_check(const struct tess_h5 *h5, const char *name, struct tess_h5_extent extent,
                  struct tess_error *error)
{
    hid_t set = tess_h5_claim_open(h5, name, extent, error);

    if (set >= 0)
        H5Dclose(set);
    return error->code;
}

int64_t tess_h5_length(const struct tess_h5 *h5, const char *name, struct tess_error *error)
{
    struct tess_h5_claim claim;
    hid_t set = open_judged(h5, name, &claim, error);

    if (set < 0)
        return -1;
    H5Dclose(set);
    if (claim.n_dims == 1)
        return claim.shape[0];
    tess_error_set(error, TESS_EDATA, "%s: %s: has %d dimensions instead of one: damaged", h5->path,
                   name, claim.n_dims);
    return -1;
}
