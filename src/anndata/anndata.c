/* anndata.c -- AnnData files as anndata 0.8 writes them. Every element carries its encoding-type
 * and encoding-version; everything here is a few datasets with the right attributes. */
#include "tessera/anndata.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/share.h"
#include "tessera/sums.h"

#include <string.h>
#include <unistd.h>

static int encode(struct tess_anndata *file, const char *name, const char *type,
                  const char *version, struct tess_error *error)
{
    tess_h5_write_string(&file->h5, name, "encoding-type", type, error);
    return tess_h5_write_string(&file->h5, name, "encoding-version", version, error);
}

static int make_group(struct tess_anndata *file, const char *name, const char *type,
                      const char *version, struct tess_error *error)
{
    tess_h5_group(&file->h5, name, error);
    return encode(file, name, type, version, error);
}

int tess_anndata_create(struct tess_anndata *file, const char *path, MPI_Comm comm, int64_t n_obs,
                        int64_t n_var, struct tess_error *error)
{
    static const char *const dicts[] = {"layers", "obsm", "varm", "obsp", "varp", "uns"};
    static const char *const frames[] = {"obs", "var"};

    *file = (struct tess_anndata){.h5 = TESS_H5_INIT, .n_obs = n_obs, .n_var = n_var};
    MPI_Comm_rank(comm, &file->rank);
    if (file->rank == 0)
        tess_commit_open(&file->commit, path, error);
    if (tess_agree(comm, error) == TESS_OK) {
        tess_share_commit(comm, &file->commit);
        tess_h5_create(&file->h5, file->commit.aside, comm, error);
    }
    if (error->code == TESS_OK)
        encode(file, "/", "anndata", "0.1.0", error);
    for (int i = 0; i < 6 && error->code == TESS_OK; i++)
        make_group(file, dicts[i], "dict", "0.1.0", error);
    for (int i = 0; i < 2 && error->code == TESS_OK; i++) {
        make_group(file, frames[i], "dataframe", "0.2.0", error);
        tess_h5_write_string(&file->h5, frames[i], "_index", "_index", error);
    }
    return error->code;
}

/* A 1-D dataset of strings; only rank 0 has them. */
static int write_names(struct tess_anndata *file, const char *path, int64_t n,
                       const char *const *name, struct tess_error *error)
{
    int64_t width = 1, mine = file->rank == 0 ? n : 0;
    char *block;
    hid_t type;

    for (int64_t i = 0; i < mine; i++)
        width = (int64_t)strlen(name[i]) > width ? (int64_t)strlen(name[i]) : width;
    MPI_Bcast(&width, 1, MPI_INT64_T, 0, file->h5.comm);
    block = tess_alloc_large((size_t)mine, (size_t)width, path, error);
    for (int64_t i = 0; i < mine && block; i++)
        memcpy(block + i * width, name[i], strlen(name[i]));
    type = tess_h5_string_type(tess_int(width));
    if (tess_agree(file->h5.comm, error) == TESS_OK)
        tess_h5_define(&file->h5, path, type, 1, &n, NULL, error);
    if (error->code == TESS_OK)
        tess_h5_write_rows(&file->h5, path, type, 0, mine, block, error);
    H5Tclose(type);
    tess_free(block);
    if (error->code == TESS_OK)
        encode(file, path, "string-array", "0.2.0", error);
    return error->code;
}

/* A 1-D dataset of numbers; only rank 0 has them. */
static int write_numbers(struct tess_anndata *file, const char *path, int64_t n, hid_t type,
                         const void *data, struct tess_error *error)
{
    if (tess_h5_write(&file->h5, path, type, 1, &n, data, error) == TESS_OK)
        encode(file, path, "array", "0.2.0", error);
    return error->code;
}

/* h5py's booleans. */
static hid_t bool_type(void)
{
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);

    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    return type;
}

static int64_t axis_length(const struct tess_anndata *file, const char *axis)
{
    TESS_BUG_IF(strcmp(axis, "obs") != 0 && strcmp(axis, "var") != 0);
    return axis[0] == 'o' ? file->n_obs : file->n_var;
}

/* The path of a new column; own. */
static char *add_column(struct tess_anndata *file, const char *axis, const char *column)
{
    TESS_BUG_IF(strchr(column, '/') || column[0] == '\0');
    tess_strings_add(&file->column[axis[0] == 'v'], column);
    return tess_format("%s/%s", axis, column);
}

int tess_anndata_write_index(struct tess_anndata *file, const char *axis, const char *const *name,
                             struct tess_error *error)
{
    int64_t n = axis_length(file, axis);

    return write_names(file, axis[0] == 'o' ? "obs/_index" : "var/_index", n, name, error);
}

/* Codes in the smallest type that holds them, as pandas does it. */
static int write_codes(struct tess_anndata *file, const char *path, int64_t n, int64_t n_categories,
                       const int32_t *code, struct tess_error *error)
{
    int bytes = n_categories <= INT8_MAX ? 1 : n_categories <= INT16_MAX ? 2 : 4;
    hid_t type = bytes == 1 ? H5T_NATIVE_INT8 : bytes == 2 ? H5T_NATIVE_INT16 : H5T_NATIVE_INT32;
    int64_t mine = file->rank == 0 ? n : 0;
    void *narrow = TESS_NEW(char, mine *bytes);

    for (int64_t i = 0; i < mine; i++) {
        TESS_BUG_IF(code[i] < -1 || code[i] >= n_categories);
        if (bytes == 1)
            ((int8_t *)narrow)[i] = (int8_t)code[i];
        else if (bytes == 2)
            ((int16_t *)narrow)[i] = (int16_t)code[i];
        else
            ((int32_t *)narrow)[i] = code[i];
    }
    write_numbers(file, path, n, type, narrow, error);
    tess_free(narrow);
    return error->code;
}

int tess_anndata_write_categorical(struct tess_anndata *file, const char *axis, const char *column,
                                   int64_t n_categories, const char *const *category,
                                   const int32_t *code, struct tess_error *error)
{
    char *path = add_column(file, axis, column), *codes = tess_format("%s/codes", path),
         *categories = tess_format("%s/categories", path);
    hid_t type = bool_type();

    if (make_group(file, path, "categorical", "0.2.0", error) == TESS_OK &&
        tess_h5_write_attribute(&file->h5, path, "ordered", type, 1, &(int8_t){0}, error) ==
            TESS_OK &&
        write_codes(file, codes, axis_length(file, axis), n_categories, code, error) == TESS_OK)
        write_names(file, categories, n_categories, category, error);
    H5Tclose(type);
    tess_free(path);
    tess_free(codes);
    tess_free(categories);
    return error->code;
}

int tess_anndata_write_column(struct tess_anndata *file, const char *axis, const char *column,
                              hid_t type, const void *data, struct tess_error *error)
{
    char *path = add_column(file, axis, column);
    hid_t stored = H5Tequal(type, H5T_NATIVE_HBOOL) > 0 ? bool_type() : H5Tcopy(type);

    write_numbers(file, path, axis_length(file, axis), stored, data, error);
    H5Tclose(stored);
    tess_free(path);
    return error->code;
}

int tess_anndata_define_matrix(struct tess_anndata *file, const char *name,
                               struct tess_error *error)
{
    int64_t shape[2] = {file->n_obs, file->n_var};

    if (tess_h5_define(&file->h5, name, H5T_NATIVE_FLOAT, 2, shape, NULL, error) == TESS_OK)
        encode(file, name, "array", "0.2.0", error);
    return error->code;
}

int tess_anndata_put_rows(struct tess_anndata *file, const char *name, int64_t first, int64_t n,
                          const float *data, struct tess_error *error)
{
    return tess_h5_put_rows(&file->h5, name, H5T_NATIVE_FLOAT, first, n, data, error);
}

int tess_anndata_write_rows(struct tess_anndata *file, const char *name, int64_t first, int64_t n,
                            const float *data, struct tess_error *error)
{
    return tess_h5_write_rows(&file->h5, name, H5T_NATIVE_FLOAT, first, n, data, error);
}

int tess_anndata_define_csr(struct tess_anndata *file, int64_t n_data, struct tess_error *error)
{
    int64_t shape[2] = {file->n_obs, file->n_var}, n_indptr = file->n_obs + 1;
    int is_first = file->rank == 0;

    if (make_group(file, "X", "csr_matrix", "0.1.0", error) == TESS_OK &&
        tess_h5_write_attribute(&file->h5, "X", "shape", H5T_NATIVE_INT64, 2, shape, error) ==
            TESS_OK &&
        tess_h5_define(&file->h5, "X/data", H5T_NATIVE_FLOAT, 1, &n_data, NULL, error) == TESS_OK &&
        tess_h5_define(&file->h5, "X/indices", H5T_NATIVE_INT32, 1, &n_data, NULL, error) ==
            TESS_OK &&
        tess_h5_define(&file->h5, "X/indptr", H5T_NATIVE_INT64, 1, &n_indptr, NULL, error) ==
            TESS_OK)
        tess_h5_write_rows(&file->h5, "X/indptr", H5T_NATIVE_INT64, 0, is_first, &(int64_t){0},
                           error);
    return error->code;
}

int tess_anndata_write_csr(struct tess_anndata *file, int64_t first, int64_t n, int64_t first_data,
                           const int64_t *indptr, const int32_t *index, const float *data,
                           struct tess_error *error)
{
    int64_t n_data = n > 0 ? indptr[n] : 0, *end = TESS_NEW(int64_t, n);

    for (int64_t i = 0; i < n; i++)
        end[i] = first_data + indptr[i + 1];
    if (tess_h5_write_rows(&file->h5, "X/indptr", H5T_NATIVE_INT64, first + 1, n, end, error) ==
            TESS_OK &&
        tess_h5_write_rows(&file->h5, "X/indices", H5T_NATIVE_INT32, first_data, n_data, index,
                           error) == TESS_OK)
        tess_h5_write_rows(&file->h5, "X/data", H5T_NATIVE_FLOAT, first_data, n_data, data, error);
    tess_free(end);
    return error->code;
}

/* uns/PATH in full, after making the groups on the way; own. */
static char *uns_path(struct tess_anndata *file, const char *path, struct tess_error *error)
{
    char *full = tess_format("uns/%s", path);

    for (char *slash = strchr(full + 4, '/'); slash && error->code == TESS_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (tess_h5_kind(&file->h5, full) == 0)
            make_group(file, full, "dict", "0.1.0", error);
        *slash = '/';
    }
    return full;
}

int tess_anndata_write_text(struct tess_anndata *file, const char *path, const char *text,
                            struct tess_error *error)
{
    char *full = uns_path(file, path, error);
    int64_t width = text ? (int64_t)strlen(text) : 0;
    hid_t type;

    MPI_Bcast(&width, 1, MPI_INT64_T, 0, file->h5.comm);
    type = tess_h5_string_type(tess_int(width));
    if (error->code == TESS_OK &&
        tess_h5_write(&file->h5, full, type, 0, NULL, text ? text : "", error) == TESS_OK)
        encode(file, full, "string", "0.2.0", error);
    H5Tclose(type);
    tess_free(full);
    return error->code;
}

int tess_anndata_write_number(struct tess_anndata *file, const char *path, double x,
                              struct tess_error *error)
{
    char *full = uns_path(file, path, error);

    if (error->code == TESS_OK &&
        tess_h5_write(&file->h5, full, H5T_NATIVE_DOUBLE, 0, NULL, &x, error) == TESS_OK)
        encode(file, full, "numeric-scalar", "0.2.0", error);
    tess_free(full);
    return error->code;
}

int tess_anndata_write_strings(struct tess_anndata *file, const char *path, int64_t n,
                               const char *const *text, struct tess_error *error)
{
    char *full = uns_path(file, path, error);

    if (error->code == TESS_OK)
        write_names(file, full, n, text, error);
    tess_free(full);
    return error->code;
}

/* The sidecar first, then the name. Should that fail, no sidecar stays without a file. */
static void commit(struct tess_anndata *file, MPI_Comm comm, struct tess_error *error)
{
    char *path = tess_strdup(file->commit.path), *sums = tess_format("%s.sum", path);
    int ours = file->sums && tess_agree(comm, error) == TESS_OK &&
               tess_sums_write(&file->commit, comm, error) == TESS_OK;

    if (error->code == TESS_OK && file->rank == 0)
        tess_commit_finish(&file->commit, error);
    if (ours && file->rank == 0 && error->code != TESS_OK && access(path, F_OK) < 0)
        unlink(sums);
    tess_free(sums);
    tess_free(path);
}

int tess_anndata_finish(struct tess_anndata *file, struct tess_error *error)
{
    static const char *const frames[] = {"obs", "var"};
    MPI_Comm comm = file->h5.comm;

    for (int i = 0; i < 2 && error->code == TESS_OK; i++)
        tess_h5_write_string_list(&file->h5, frames[i], "column-order", (int64_t)file->column[i].n,
                                  (const char *const *)file->column[i].item, error);
    tess_h5_close(&file->h5, error);
    commit(file, comm, error);
    tess_agree(comm, error);
    tess_anndata_release(file);
    return error->code;
}

void tess_anndata_release(struct tess_anndata *file)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    if (file->h5.path) /* all zeroes: never opened */
        tess_h5_close(&file->h5, &ignored);
    tess_commit_release(&file->commit);
    for (int i = 0; i < 2; i++)
        tess_strings_release(&file->column[i]);
}
