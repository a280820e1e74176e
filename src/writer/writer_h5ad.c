/* writer_h5ad.c -- AnnData files (`.h5ad`) as anndata 0.8 writes them: a few datasets and groups,
 * each with its encoding-type and encoding-version. The matrix is X, notes are under uns.
 *
 * Source: https://anndata.readthedocs.io, "On disk format". Strings are of fixed length, which
 * parallel HDF5 can write and anndata 0.8 opens. Matrices are contiguous, so that a rank's rows are
 * one stretch of the file. */
#include "kinds.h"

#include "writer_h5.h"
#include "writer_h5ad_verify.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/h5ad.h"

#include <string.h>

struct h5ad {
    struct tess_h5 h5;
    struct tess_strings column[2]; /* of obs and var, in order; own */
};

static const char *const frames[] = {[TESS_WRITER_ROWS] = "obs", [TESS_WRITER_READOUTS] = "var"};

static struct tess_h5 *h5_of(const struct tess_writer *writer)
{
    return &((struct h5ad *)writer->state)->h5;
}

static int encode(struct tess_h5 *h5, const char *name, const char *type, const char *version,
                  struct tess_error *error)
{
    tess_h5_write_string(h5, name, "encoding-type", type, error);
    return tess_h5_write_string(h5, name, "encoding-version", version, error);
}

static int make_group(struct tess_h5 *h5, const char *name, const char *type, const char *version,
                      struct tess_error *error)
{
    tess_h5_group(h5, name, error);
    return encode(h5, name, type, version, error);
}

static int open_h5ad(struct tess_writer *writer, struct tess_error *error)
{
    static const char *const dicts[] = {"layers", "obsm", "varm", "obsp", "varp", "uns"};
    struct h5ad *file = writer->state = TESS_NEW(struct h5ad, 1);
    struct tess_h5 *h5 = &file->h5;

    if (tess_h5_create(h5, writer->commit.aside, writer->comm, error) == TESS_OK)
        encode(h5, "/", "anndata", "0.1.0", error);
    for (int i = 0; i < 6 && error->code == TESS_OK; i++)
        make_group(h5, dicts[i], "dict", "0.1.0", error);
    for (int i = 0; i < 2 && error->code == TESS_OK; i++) {
        make_group(h5, frames[i], "dataframe", "0.2.0", error);
        tess_h5_write_string(h5, frames[i], "_index", "_index", error);
    }
    return error->code;
}

static int write_texts(struct tess_h5 *h5, const char *path, int64_t n, const char *const *text,
                       struct tess_error *error)
{
    if (tess_h5_write_texts(h5, path, n, text, error) == TESS_OK)
        encode(h5, path, "string-array", "0.2.0", error);
    return error->code;
}

static int64_t length_of(const struct tess_writer *writer, enum tess_writer_axis axis)
{
    return axis == TESS_WRITER_ROWS ? writer->n_rows : writer->n_readouts;
}

static int write_lines(struct tess_writer *writer, const char *path,
                       const struct tess_writer_texts *texts, struct tess_error *error)
{
    struct tess_h5 *h5 = h5_of(writer);

    if (tess_writer_h5_texts(writer, h5, path, texts, error) == TESS_OK)
        encode(h5, path, "string-array", "0.2.0", error);
    return error->code;
}

static int write_names(struct tess_writer *writer, enum tess_writer_axis axis,
                       const struct tess_writer_texts *name, struct tess_error *error)
{
    return write_lines(writer, axis == TESS_WRITER_ROWS ? "obs/_index" : "var/_index", name, error);
}

/* A column's values in the type of the file: codes in the smallest that holds them, as pandas does
 * it. */
struct narrow {
    const struct tess_writer_column *column;
    int64_t n_categories;
};

static int code_bytes(int64_t n_categories)
{
    return n_categories <= INT8_MAX ? 1 : n_categories <= INT16_MAX ? 2 : 4;
}

static void make_codes(const void *closure, int64_t first, int64_t n, void *out)
{
    const struct narrow *narrow = closure;
    int bytes = code_bytes(narrow->n_categories);
    int32_t *code = TESS_NEW(int32_t, n);

    tess_writer_column_take(narrow->column, first, n, sizeof *code, code);
    for (int64_t i = 0; i < n; i++) {
        TESS_BUG_IF(code[i] < -1 || code[i] >= narrow->n_categories);
        if (bytes == 1)
            ((int8_t *)out)[i] = (int8_t)code[i];
        else if (bytes == 2)
            ((int16_t *)out)[i] = (int16_t)code[i];
        else
            ((int32_t *)out)[i] = code[i];
    }
    tess_free(code);
}

static void make_flags(const void *closure, int64_t first, int64_t n, void *out)
{
    tess_writer_column_take(closure, first, n, 1, out);
}

static void make_numbers(const void *closure, int64_t first, int64_t n, void *out)
{
    tess_writer_column_take(closure, first, n, 8, out); /* int64_t, double */
}

static int write_items(struct tess_writer *writer, const char *path,
                       const struct tess_writer_items *items, struct tess_error *error)
{
    if (tess_writer_h5_items(writer, h5_of(writer), path, items, error) == TESS_OK)
        encode(h5_of(writer), path, "array", "0.2.0", error);
    return error->code;
}

static int write_categorical(struct tess_writer *writer, const char *path, int64_t n,
                             const struct tess_writer_column *column, struct tess_error *error)
{
    struct tess_writer_texts category = tess_writer_texts_of(column);
    struct narrow narrow = {column, category.n};
    struct tess_h5 *h5 = h5_of(writer);
    char *codes = tess_format("%s/codes", path), *categories = tess_format("%s/categories", path);
    int bytes = code_bytes(category.n);
    hid_t type = tess_h5_bool_type();
    const struct tess_writer_items items = {.n = n,
                                            .type = bytes == 1   ? H5T_NATIVE_INT8
                                                    : bytes == 2 ? H5T_NATIVE_INT16
                                                                 : H5T_NATIVE_INT32,
                                            .make = make_codes,
                                            .closure = &narrow};

    if (make_group(h5, path, "categorical", "0.2.0", error) == TESS_OK &&
        tess_h5_write_attribute(h5, (struct tess_h5_attribute){path, "ordered"}, type, 1,
                                &(int8_t){0}, error) == TESS_OK &&
        write_items(writer, codes, &items, error) == TESS_OK)
        write_lines(writer, categories, &category, error);
    tess_h5_type_close(type);
    tess_free(codes);
    tess_free(categories);
    return error->code;
}

static int write_column(struct tess_writer *writer, enum tess_writer_axis axis,
                        const struct tess_writer_column *column, struct tess_error *error)
{
    struct h5ad *file = writer->state;
    int64_t n = length_of(writer, axis);
    char *path = tess_format("%s/%s", frames[axis], column->name);
    hid_t flag = tess_h5_bool_type();
    struct tess_writer_items items = {n, flag, make_flags, column};

    tess_strings_add(&file->column[axis], column->name);
    if (column->type == TESS_WRITER_INTEGERS || column->type == TESS_WRITER_REALS) {
        items.type = column->type == TESS_WRITER_REALS ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
        items.make = make_numbers;
    }
    if (column->type == TESS_WRITER_CODES)
        write_categorical(writer, path, n, column, error);
    else if (column->type == TESS_WRITER_WORDS)
        write_lines(writer, path, column->texts, error);
    else
        write_items(writer, path, &items, error);
    tess_h5_type_close(flag);
    tess_free(path);
    return error->code;
}

/* uns/PATH in full, after making the groups on the way; own. */
static char *note_path(struct tess_h5 *h5, const char *path, struct tess_error *error)
{
    char *full = tess_format("uns/%s", path);

    for (char *slash = strchr(full + 4, '/'); slash && error->code == TESS_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (tess_h5_kind(h5, full) == 0)
            make_group(h5, full, "dict", "0.1.0", error);
        *slash = '/';
    }
    return full;
}

static int write_note(struct tess_writer *writer, const char *path,
                      const struct tess_writer_note *note, struct tess_error *error)
{
    struct tess_h5 *h5 = h5_of(writer);
    char *full = note_path(h5, path, error);

    if (error->code == TESS_OK && note->type == TESS_WRITER_TEXTS)
        write_texts(h5, full, note->n, note->text, error);
    else if (error->code == TESS_OK && note->type == TESS_WRITER_TEXT) {
        if (tess_h5_write_text(h5, full, note->text[0], error) == TESS_OK)
            encode(h5, full, "string", "0.2.0", error);
    } else if (error->code == TESS_OK && tess_h5_write(h5, full, H5T_NATIVE_DOUBLE, TESS_H5_SCALAR,
                                                       &note->number, error) == TESS_OK)
        encode(h5, full, "numeric-scalar", "0.2.0", error);
    tess_free(full);
    return error->code;
}

static int begins(const char *layer, const char *with)
{
    return layer && strncmp(layer, with, strlen(with)) == 0;
}

/* "X", "layers/NAME", "obs/NAME" or "obsm/NAME"; own. */
static char *matrix_path(const char *layer)
{
    if (begins(layer, TESS_WRITER_OBS) || begins(layer, TESS_WRITER_OBSM))
        return tess_strdup(layer);
    return layer ? tess_format("layers/%s", layer) : tess_strdup("X");
}

static int define_matrix(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                         struct tess_error *error)
{
    struct h5ad *file = writer->state;
    char *path = matrix_path(matrix->layer);

    if (tess_writer_h5_define(writer, &file->h5, path, matrix, error) == TESS_OK)
        encode(&file->h5, path, "array", "0.2.0", error);
    if (begins(matrix->layer, TESS_WRITER_OBS))
        tess_strings_add(&file->column[TESS_WRITER_ROWS], path + strlen(TESS_WRITER_OBS));
    tess_free(path);
    return error->code;
}

static int settle(struct tess_writer *writer, struct tess_error *error)
{
    return tess_h5_settle(h5_of(writer), error);
}

static int define_sparse(struct tess_writer *writer, int64_t n_values, struct tess_error *error)
{
    struct tess_h5 *h5 = h5_of(writer);
    int64_t shape[2] = {writer->n_rows, writer->n_readouts}, n_indptr = writer->n_rows + 1;
    int is_first = writer->rank == 0;

    if (make_group(h5, "X", "csr_matrix", "0.1.0", error) == TESS_OK &&
        tess_h5_write_attribute(h5, (struct tess_h5_attribute){"X", "shape"}, H5T_NATIVE_INT64, 2,
                                shape, error) == TESS_OK &&
        tess_h5_define(h5, "X/data", H5T_NATIVE_FLOAT, TESS_H5_LINE(n_values), error) == TESS_OK &&
        tess_h5_define(h5, "X/indices", H5T_NATIVE_INT32, TESS_H5_LINE(n_values), error) ==
            TESS_OK &&
        tess_h5_define(h5, "X/indptr", H5T_NATIVE_INT64, TESS_H5_LINE(n_indptr), error) == TESS_OK)
        tess_h5_write_rows(h5, "X/indptr", H5T_NATIVE_INT64, (struct tess_h5_range){0, is_first},
                           &(int64_t){0}, error);
    return error->code;
}

static int write_sparse(struct tess_writer *writer, const struct tess_writer_sparse *rows,
                        struct tess_error *error)
{
    struct tess_h5 *h5 = h5_of(writer);
    int64_t n = rows->n, first = rows->first_value;
    int64_t n_values = n > 0 ? rows->indptr[n] : 0, *end = TESS_NEW(int64_t, n);

    for (int64_t i = 0; i < n; i++)
        end[i] = first + rows->indptr[i + 1];
    if (tess_h5_write_rows(h5, "X/indptr", H5T_NATIVE_INT64,
                           (struct tess_h5_range){rows->first + 1, n}, end, error) == TESS_OK &&
        tess_h5_write_rows(h5, "X/indices", H5T_NATIVE_INT32,
                           (struct tess_h5_range){first, n_values}, rows->index, error) == TESS_OK)
        tess_h5_write_rows(h5, "X/data", H5T_NATIVE_FLOAT, (struct tess_h5_range){first, n_values},
                           rows->value, error);
    tess_free(end);
    return error->code;
}

static int finish(struct tess_writer *writer, struct tess_error *error)
{
    struct h5ad *file = writer->state;

    for (int i = 0; i < 2 && error->code == TESS_OK; i++)
        tess_h5_write_string_list(&file->h5, frames[i], "column-order", (int64_t)file->column[i].n,
                                  (const char *const *)file->column[i].item, error);
    return tess_h5_close(&file->h5, error);
}

static void release(struct tess_writer *writer)
{
    struct h5ad *file = writer->state;
    struct tess_error ignored = TESS_ERROR_INIT;

    if (file->h5.path)
        tess_h5_close(&file->h5, &ignored);
    for (int i = 0; i < 2; i++)
        tess_strings_release(&file->column[i]);
    tess_free(file);
}

/* AnnData before 0.8 is known by its obs, MuData by its modalities. */
static int recognize(const struct tess_h5 *h5, struct tess_error *error)
{
    char *type = NULL;
    int is_anndata;

    if (tess_h5_read_string(h5, "/", "encoding-type", &type, error) != TESS_OK)
        return 0;
    is_anndata = (type && strncmp(type, "anndata", strlen("anndata")) == 0) ||
                 (tess_h5_kind(h5, "obs") && tess_h5_kind(h5, "var")) || tess_h5_kind(h5, "mod");
    tess_free(type);
    return is_anndata;
}

const struct tess_writer_type tess_writer_h5ad = {
    .name = "AnnData",
    .ending = ".h5ad",
    .parts = TESS_WRITER_LAYERS | TESS_WRITER_SPARSE | TESS_WRITER_HALF | TESS_WRITER_PACKED,
    .open = open_h5ad,
    .write_names = write_names,
    .write_column = write_column,
    .write_note = write_note,
    .define_matrix = define_matrix,
    .put_rows = tess_writer_h5_put_rows,
    .settle = settle,
    .define_sparse = define_sparse,
    .write_sparse = write_sparse,
    .finish = finish,
    .release = release,
    .recognize = recognize,
    .describe = tess_h5ad_info,
    .verify = tess_writer_h5ad_verify,
};
