/* h5_text.c -- texts of datasets, and attributes: read and written. */
#include "tessera/h5.h"

#include "h5_claim.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <string.h>

#define MOST_BYTES ((size_t)64 << 20) /* of one text */
/* So many texts are believed; more, each of which differs from the one before it, do not fit into
 * less than a byte for this many: deflate takes two bits for what differs. */
#define BELIEVED_TEXTS ((int64_t)1 << 22)
#define TEXTS_IN_BYTE  4

static int rank_of(const struct tess_h5 *h5)
{
    int rank = 0;

    if (h5->comm != MPI_COMM_NULL)
        MPI_Comm_rank(h5->comm, &rank);
    return rank;
}

/* Variable-length strings of an open dataset into an (n, width) block. Their lengths are the file's
 * word alone: one that is too long, or too much memory, is an error. */
static herr_t read_variable(hid_t set, int64_t n, int *width, char **block, const char *what,
                            struct tess_error *error)
{
    hid_t type = H5Dget_type(set), memory = H5Tcopy(H5T_C_S1), space = H5Dget_space(set);
    char **text = TESS_NEW(char *, n);
    size_t longest = 1;
    herr_t result;

    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    result = H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, text);
    for (int64_t i = 0; i < n && result >= 0; i++)
        if (text[i] && strlen(text[i]) > longest)
            longest = strlen(text[i]);
    if (longest <= MOST_BYTES)
        *block = tess_alloc_large((size_t)n, longest, what, error);
    *width = *block ? (int)longest : 0;
    for (int64_t i = 0; i < n && result >= 0 && *block; i++)
        if (text[i])
            memcpy(*block + i * *width, text[i], strlen(text[i]));
    if (result >= 0)
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, text);
    tess_free(text);
    H5Sclose(space);
    H5Tclose(memory);
    H5Tclose(type);
    return result;
}

static herr_t read_fixed(hid_t set, int64_t n, int *width, char **block, const char *what,
                         struct tess_error *error)
{
    hid_t type = H5Dget_type(set), memory;
    herr_t result = 0;

    *width = tess_int((int64_t)H5Tget_size(type));
    memory = tess_h5_string_type(*width);
    H5Tset_cset(memory, H5Tget_cset(type));
    *block = tess_alloc_large((size_t)n, (size_t)*width, what, error);
    if (*block)
        result = H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, *block);
    for (int64_t i = 0; i < n && result >= 0 && *block; i++) { /* space-padded Fortran strings */
        char *row = *block + i * *width;

        for (int k = *width - 1;
             k >= 0 && H5Tget_strpad(type) == H5T_STR_SPACEPAD && (row[k] == ' ' || !row[k]); k--)
            row[k] = '\0';
    }
    H5Tclose(memory);
    H5Tclose(type);
    return result;
}

/* Texts that differ, as symbols do. */
static int check_number(const struct tess_h5 *h5, const char *name, hid_t set, int64_t n,
                        struct tess_error *error)
{
    double stored = n > BELIEVED_TEXTS ? tess_h5_claim_stored(h5, set) : (double)n;

    if ((double)n > TEXTS_IN_BYTE * stored)
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: claims %lld different texts in %.4g bytes: the file is damaged",
                       h5->path, name, (long long)n, stored);
    return error->code;
}

/* Memory types keep the file's character set: HDF5 refuses to convert between ASCII and UTF-8. */
int tess_h5_read_strings(const struct tess_h5 *h5, const char *name, int64_t *n, int *width,
                         char **block, struct tess_error *error)
{
    int64_t length = tess_h5_length(h5, name, error);
    hid_t set, type;
    herr_t result = -1;
    char *what;

    *block = NULL;
    *n = 0;
    if (length < 0)
        return error->code;
    what = tess_format("%s: %s", h5->path, name);
    set = H5Dopen2(h5->file, name, H5P_DEFAULT);
    type = H5Dget_type(set);
    *n = length;
    if (H5Tget_class(type) != H5T_STRING || H5Tget_size(type) > MOST_BYTES)
        tess_error_set(error, TESS_EDATA, "%s: %s: holds no strings, or impossible ones", h5->path,
                       name);
    else if (check_number(h5, name, set, length, error) == TESS_OK)
        result = (H5Tis_variable_str(type) > 0 ? read_variable : read_fixed)(set, *n, width, block,
                                                                             what, error);
    if (result < 0)
        tess_h5_fail(h5, name, "cannot be read", TESS_EDATA, error);
    else if (!*block)
        tess_h5_fail(h5, name, "holds impossible texts", TESS_EDATA, error);
    H5Tclose(type);
    H5Dclose(set);
    tess_free(what);
    if (error->code != TESS_OK) {
        tess_free(*block);
        *block = NULL;
    }
    return error->code;
}

/* Only rank 0 knows the texts: the width, which is part of the type, has to be told first. */
int tess_h5_write_texts(struct tess_h5 *h5, const char *name, int64_t n, const char *const *text,
                        struct tess_error *error)
{
    int64_t width = 1, mine = rank_of(h5) == 0 ? n : 0;
    char *block;
    hid_t type;

    for (int64_t i = 0; i < mine; i++)
        width = (int64_t)strlen(text[i]) > width ? (int64_t)strlen(text[i]) : width;
    if (h5->comm != MPI_COMM_NULL)
        MPI_Bcast(&width, 1, MPI_INT64_T, 0, h5->comm);
    block = tess_alloc_large((size_t)mine, (size_t)width, name, error);
    for (int64_t i = 0; i < mine && block; i++)
        memcpy(block + i * width, text[i], strlen(text[i]));
    type = tess_h5_string_type(tess_int(width));
    if ((h5->comm == MPI_COMM_NULL ? error->code : tess_agree(h5->comm, error)) == TESS_OK &&
        tess_h5_define(h5, name, type, TESS_H5_LINE(n), error) == TESS_OK)
        tess_h5_write_rows(h5, name, type, (struct tess_h5_range){0, mine}, block, error);
    H5Tclose(type);
    tess_free(block);
    return error->code;
}

int tess_h5_write_text(struct tess_h5 *h5, const char *name, const char *text,
                       struct tess_error *error)
{
    int64_t width = text ? (int64_t)strlen(text) : 0;
    hid_t type;

    if (h5->comm != MPI_COMM_NULL)
        MPI_Bcast(&width, 1, MPI_INT64_T, 0, h5->comm);
    type = tess_h5_string_type(tess_int(width));
    tess_h5_write(h5, name, type, TESS_H5_SCALAR, text ? text : "", error);
    H5Tclose(type);
    return error->code;
}

int tess_h5_has_attribute(const struct tess_h5 *h5, const char *name, const char *attribute)
{
    int has = H5Aexists_by_name(h5->file, name, attribute, H5P_DEFAULT) > 0;

    H5Eclear2(H5E_DEFAULT);
    return has;
}

static hid_t open_attribute(const struct tess_h5 *h5, const char *name, const char *attribute)
{
    if (!tess_h5_has_attribute(h5, name, attribute))
        return H5I_INVALID_HID;
    return H5Aopen_by_name(h5->file, name, attribute, H5P_DEFAULT, H5P_DEFAULT);
}

int tess_h5_read_attribute(const struct tess_h5 *h5, struct tess_h5_attribute attribute, hid_t type,
                           int64_t n, void *out, struct tess_error *error)
{
    const char *name = attribute.object;
    hid_t at = open_attribute(h5, name, attribute.name), space;

    if (at < 0)
        return tess_error_set(error, TESS_EDATA, "%s: %s: has no attribute '%s'", h5->path, name,
                              attribute.name);
    space = H5Aget_space(at);
    if (H5Sget_simple_extent_npoints(space) != n)
        tess_error_set(error, TESS_EDATA, "%s: %s: attribute '%s' has another size than %lld",
                       h5->path, name, attribute.name, (long long)n);
    else if (H5Aread(at, type, out) < 0)
        tess_h5_fail(h5, name, "an attribute cannot be read", TESS_EDATA, error);
    H5Sclose(space);
    H5Aclose(at);
    return error->code;
}

/* A byte more than the file's text: one of fixed length need not end in a NUL. */
static char *attribute_text(hid_t at)
{
    hid_t type = H5Aget_type(at), memory = H5Tcopy(H5T_C_S1);
    char *text = NULL, *variable = NULL;

    H5Tset_cset(memory, H5Tget_cset(type));
    if (H5Tget_size(type) > MOST_BYTES)
        text = NULL;
    else if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
        H5Tset_size(memory, H5T_VARIABLE);
        if (H5Aread(at, memory, &variable) >= 0 && variable)
            text = tess_strdup(variable);
        H5free_memory(variable);
    } else if (H5Tget_class(type) == H5T_STRING) {
        text = TESS_NEW(char, H5Tget_size(type) + 1);
        H5Tset_size(memory, H5Tget_size(type) + 1);
        if (H5Aread(at, memory, text) < 0) {
            tess_free(text);
            text = NULL;
        }
    }
    H5Tclose(memory);
    H5Tclose(type);
    return text;
}

int tess_h5_read_string(const struct tess_h5 *h5, const char *name, const char *attribute,
                        char **string, struct tess_error *error)
{
    hid_t at = open_attribute(h5, name, attribute), space;

    *string = NULL;
    if (at < 0)
        return TESS_OK;
    space = H5Aget_space(at);
    if (H5Sget_simple_extent_npoints(space) == 1)
        *string = attribute_text(at);
    if (!*string)
        tess_h5_fail(h5, name, "a text attribute cannot be read", TESS_EDATA, error);
    H5Sclose(space);
    H5Aclose(at);
    return error->code;
}

/* One of that name is replaced. In parallel HDF5 every rank has to do all of this, and alike. */
static int put_attribute(struct tess_h5 *h5, struct tess_h5_attribute attribute, hid_t type,
                         hid_t space, const void *data, struct tess_error *error)
{
    hid_t object = H5Oopen(h5->file, attribute.object, H5P_DEFAULT), at = H5I_INVALID_HID;

    tess_fail_here(error, attribute.name);
    if (object >= 0 && H5Aexists(object, attribute.name) > 0)
        H5Adelete(object, attribute.name);
    if (object >= 0)
        at = H5Acreate2(object, attribute.name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (at < 0 || H5Awrite(at, type, data) < 0)
        tess_h5_fail(h5, attribute.object, "an attribute cannot be written", TESS_EIO, error);
    if (at >= 0)
        H5Aclose(at);
    if (object >= 0)
        H5Oclose(object);
    return tess_h5_settle(h5, error);
}

int tess_h5_write_attribute(struct tess_h5 *h5, struct tess_h5_attribute attribute, hid_t type,
                            int64_t n, const void *data, struct tess_error *error)
{
    hsize_t length = (hsize_t)n;
    hid_t space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &length, NULL);

    put_attribute(h5, attribute, type, space, data, error);
    H5Sclose(space);
    return error->code;
}

int tess_h5_write_string(struct tess_h5 *h5, const char *name, const char *attribute,
                         const char *string, struct tess_error *error)
{
    hid_t type = tess_h5_string_type(tess_int((int64_t)strlen(string))),
          space = H5Screate(H5S_SCALAR);

    put_attribute(h5, (struct tess_h5_attribute){name, attribute}, type, space, string, error);
    H5Sclose(space);
    H5Tclose(type);
    return error->code;
}

int tess_h5_write_string_list(struct tess_h5 *h5, const char *name, const char *attribute,
                              int64_t n, const char *const *string, struct tess_error *error)
{
    hsize_t length = (hsize_t)n;
    size_t width = 1;
    hid_t type, space = H5Screate_simple(1, &length, NULL);
    char *block;

    for (int64_t i = 0; i < n; i++)
        width = strlen(string[i]) > width ? strlen(string[i]) : width;
    block = TESS_NEW(char, (size_t)n *width);
    for (int64_t i = 0; i < n; i++)
        memcpy(block + (size_t)i * width, string[i], strlen(string[i]));
    type = tess_h5_string_type(tess_int((int64_t)width));
    put_attribute(h5, (struct tess_h5_attribute){name, attribute}, type, space, block, error);
    H5Tclose(type);
    H5Sclose(space);
    tess_free(block);
    return error->code;
}

int tess_h5_is(const char *path, const char *format, struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    char *found = NULL;
    int is;

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, &mine) == TESS_OK)
        tess_h5_read_string(&h5, "/", "format", &found, &mine);
    tess_h5_guard_finish();
    if (mine.code == TESS_EIO)
        *error = mine;
    is = found && strcmp(found, format) == 0;
    tess_free(found);
    tess_h5_close(&h5, &mine);
    return is;
}
