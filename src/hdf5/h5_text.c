/* h5_text.c -- what is read from HDF5 as text or as attributes. */
#include "tessera/h5.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <string.h>

#define MOST_BYTES ((size_t)64 << 20) /* of one text */

/* Variable-length strings of an open dataset into an (n, width) block. */
static herr_t read_variable(hid_t set, int64_t n, int *width, char **block)
{
    hid_t type = H5Dget_type(set), memory = H5Tcopy(H5T_C_S1), space = H5Dget_space(set);
    char **text = TESS_NEW(char *, n);
    herr_t result;

    H5Tset_size(memory, H5T_VARIABLE);
    H5Tset_cset(memory, H5Tget_cset(type));
    result = H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, text);
    *width = 1;
    for (int64_t i = 0; i < n && result >= 0; i++)
        if (text[i] && strlen(text[i]) > (size_t)*width)
            *width = tess_int((int64_t)strlen(text[i]));
    *block = TESS_NEW(char, n **width);
    for (int64_t i = 0; i < n && result >= 0; i++)
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

static herr_t read_fixed(hid_t set, int64_t n, int *width, char **block)
{
    hid_t type = H5Dget_type(set), memory;
    herr_t result;

    *width = tess_int((int64_t)H5Tget_size(type));
    memory = tess_h5_string_type(*width);
    H5Tset_cset(memory, H5Tget_cset(type));
    *block = TESS_NEW(char, n **width);
    result = H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, *block);
    for (int64_t i = 0; i < n && result >= 0; i++) { /* space-padded Fortran strings */
        char *row = *block + i * *width;

        for (int k = *width - 1;
             k >= 0 && H5Tget_strpad(type) == H5T_STR_SPACEPAD && (row[k] == ' ' || !row[k]); k--)
            row[k] = '\0';
    }
    H5Tclose(memory);
    H5Tclose(type);
    return result;
}

int tess_h5_read_strings(const struct tess_h5 *h5, const char *name, int64_t *n, int *width,
                         char **block, struct tess_error *error)
{
    int64_t length = tess_h5_length(h5, name, error);
    hid_t set, type;
    herr_t result = -1;

    *block = NULL;
    *n = 0;
    if (length < 0)
        return error->code;
    set = H5Dopen2(h5->file, name, H5P_DEFAULT);
    type = H5Dget_type(set);
    *n = length;
    if (H5Tget_class(type) != H5T_STRING || H5Tget_size(type) > MOST_BYTES)
        tess_error_set(error, TESS_EDATA, "%s: %s: holds no strings, or impossible ones", h5->path,
                       name);
    else if (H5Tis_variable_str(type) > 0)
        result = read_variable(set, *n, width, block);
    else
        result = read_fixed(set, *n, width, block);
    if (result < 0)
        tess_h5_fail(h5, name, "cannot be read", TESS_EDATA, error);
    H5Tclose(type);
    H5Dclose(set);
    if (error->code != TESS_OK) {
        tess_free(*block);
        *block = NULL;
    }
    return error->code;
}

static hid_t open_attribute(const struct tess_h5 *h5, const char *name, const char *attribute)
{
    if (H5Aexists_by_name(h5->file, name, attribute, H5P_DEFAULT) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return H5I_INVALID_HID;
    }
    return H5Aopen_by_name(h5->file, name, attribute, H5P_DEFAULT, H5P_DEFAULT);
}

int tess_h5_read_attribute(const struct tess_h5 *h5, const char *name, const char *attribute,
                           hid_t type, int64_t n, void *out, struct tess_error *error)
{
    hid_t at = open_attribute(h5, name, attribute), space;

    if (at < 0)
        return tess_error_set(error, TESS_EDATA, "%s: %s: has no attribute '%s'", h5->path, name,
                              attribute);
    space = H5Aget_space(at);
    if (H5Sget_simple_extent_npoints(space) != n)
        tess_error_set(error, TESS_EDATA, "%s: %s: attribute '%s' has another size than %lld",
                       h5->path, name, attribute, (long long)n);
    else if (H5Aread(at, type, out) < 0)
        tess_h5_fail(h5, name, "an attribute cannot be read", TESS_EDATA, error);
    H5Sclose(space);
    H5Aclose(at);
    return error->code;
}

static char *attribute_text(hid_t at)
{
    hid_t type = H5Aget_type(at), memory = H5Tcopy(H5T_C_S1);
    char *text = NULL, *variable = NULL;

    H5Tset_cset(memory, H5Tget_cset(type));
    if (H5Tget_size(type) > MOST_BYTES)
        text = NULL;
    else if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
        H5Tset_size(memory, H5T_VARIABLE);
        tess_h5_guard_start_texts();
        if (H5Aread(at, memory, &variable) >= 0 && variable)
            text = tess_strdup(variable);
        tess_h5_guard_finish_texts();
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
