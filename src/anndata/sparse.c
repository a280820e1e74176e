/* sparse.c -- CSR as it lies in the file, CSC by windows of rows. */
#include "tessera/sparse.h"

#include "tessera/alloc.h"
#include "tessera/block.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_BYTES ((int64_t)1 << 30)
#define PIECE        ((int64_t)1 << 20) /* entries of a CSC matrix read at a time */
#define ENTRY_BYTES  ((int64_t)(sizeof(int32_t) + sizeof(float)))

struct entry {
    int32_t index;
    float data;
    int64_t order; /* makes the sort stable: sums do not depend on the library's qsort */
};

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;

    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int refuse(const struct tess_h5_set *set, const char *what, int64_t where,
                  struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA, "%s: %s: %s at entry %" PRId64 ": the file is damaged",
                          set->h5->path, set->name, what, where);
}

/* "csr_matrix" or "csr" → 'r', "csc…" → 'c', else 0. */
static char matrix_kind(const struct tess_h5 *h5, const char *name)
{
    static const char *const attribute[] = {"encoding-type", "h5sparse_format"};
    char kind = 0;

    for (int i = 0; i < 2 && !kind && tess_h5_kind(h5, name) == 2; i++) {
        struct tess_error unused = TESS_ERROR_INIT;
        char *text = NULL;

        tess_h5_read_string(h5, name, attribute[i], &text, &unused);
        if (text && strncmp(text, "csr", 3) == 0)
            kind = 'r';
        else if (text && strncmp(text, "csc", 3) == 0)
            kind = 'c';
        tess_free(text);
    }
    return kind;
}

static int open_part(struct tess_h5_set *set, const struct tess_h5 *h5, const char *group,
                     const char *part, struct tess_error *error)
{
    char *name = tess_format("%s/%s", group, part);

    if (tess_h5_set_open(set, h5, name, 0, error) == TESS_OK && set->n_dims != 1)
        tess_error_set(error, TESS_EDATA, "%s: %s: has %d dimensions where 1 belongs", h5->path,
                       name, set->n_dims);
    tess_free(name);
    return error->code;
}

static int read_shape(struct tess_sparse *sparse, const struct tess_h5 *h5, const char *name,
                      struct tess_error *error)
{
    int old = !tess_h5_has_attribute(h5, name, "shape");
    int64_t shape[2] = {0};

    if (tess_h5_read_attribute(h5,
                               (struct tess_h5_attribute){name, old ? "h5sparse_shape" : "shape"},
                               H5T_NATIVE_INT64, 2, shape, error) != TESS_OK)
        return error->code;
    if (shape[0] < 0 || shape[1] < 0 || shape[1] >= INT32_MAX)
        return tess_error_set(error, TESS_EDATA,
                              "%s: %s: has the impossible shape %" PRId64 " × %" PRId64, h5->path,
                              name, shape[0], shape[1]);
    sparse->n_rows = shape[0];
    sparse->n_columns = shape[1];
    return TESS_OK;
}

static int check_lengths(const struct tess_sparse *sparse, const char *name,
                         struct tess_error *error)
{
    int64_t major = sparse->by_columns ? sparse->n_columns : sparse->n_rows;
    const char *path = sparse->data.h5->path;

    if (sparse->pointer.shape[0] - 1 != major)
        return tess_error_set(error, TESS_EDATA,
                              "%s: %s/indptr: has %" PRId64 " entries where %" PRId64 " belong",
                              path, name, sparse->pointer.shape[0], major + 1);
    if (sparse->index.shape[0] != sparse->data.shape[0])
        return tess_error_set(error, TESS_EDATA,
                              "%s: %s: has %" PRId64 " indices and %" PRId64 " values", path, name,
                              sparse->index.shape[0], sparse->data.shape[0]);
    return TESS_OK;
}

int tess_sparse_open(struct tess_sparse *sparse, const struct tess_h5 *h5, const char *name,
                     struct tess_error *error)
{
    char kind = matrix_kind(h5, name);

    *sparse = (struct tess_sparse){.by_columns = kind == 'c', .window_bytes = WINDOW_BYTES};
    if (!kind)
        return tess_error_set(error, TESS_EDATA, "%s: %s: is no csr_matrix or csc_matrix", h5->path,
                              name);
    if (read_shape(sparse, h5, name, error) != TESS_OK ||
        open_part(&sparse->pointer, h5, name, "indptr", error) != TESS_OK ||
        open_part(&sparse->index, h5, name, "indices", error) != TESS_OK ||
        open_part(&sparse->data, h5, name, "data", error) != TESS_OK)
        return error->code;
    sparse->n_values = sparse->data.shape[0];
    return check_lengths(sparse, name, error);
}

void tess_sparse_release(struct tess_sparse *sparse)
{
    tess_h5_set_release(&sparse->data);
    tess_h5_set_release(&sparse->index);
    tess_h5_set_release(&sparse->pointer);
    tess_free(sparse->row_start);
    tess_free(sparse->column_start);
    tess_free(sparse->window_index);
    tess_free(sparse->window_data);
    *sparse = (struct tess_sparse){0};
}

static int read_line(const struct tess_h5_set *set, hid_t type, int64_t first, int64_t n, void *out,
                     struct tess_error *error)
{
    return tess_h5_set_read(set, type, (int64_t[2]){first, 0}, (int64_t[2]){n, 1}, out, error);
}

/* Pointers [first, first + n], which must ascend from 0 and end within the data. */
static int read_pointers(const struct tess_sparse *sparse, int64_t first, int64_t n, int64_t *out,
                         struct tess_error *error)
{
    if (read_line(&sparse->pointer, H5T_NATIVE_INT64, first, n + 1, out, error) != TESS_OK)
        return error->code;
    if (first == 0 && out[0] != 0)
        return refuse(&sparse->pointer, "does not start with 0", 0, error);
    for (int64_t i = 0; i <= n; i++)
        if (out[i] < (i ? out[i - 1] : 0) || out[i] > sparse->n_values)
            return refuse(&sparse->pointer, "does not ascend within the data", first + i, error);
    return TESS_OK;
}

/* Wider indices are clamped by HDF5 to the ends of int32, which are out of range too. */
static int read_indices(const struct tess_sparse *sparse, int64_t first, int64_t n, int32_t *out,
                        struct tess_error *error)
{
    int64_t limit = sparse->by_columns ? sparse->n_rows : sparse->n_columns;

    if (read_line(&sparse->index, H5T_NATIVE_INT32, first, n, out, error) != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < n; i++)
        if (out[i] < 0 || out[i] >= limit)
            return refuse(&sparse->index, "points outside of the matrix", first + i, error);
    return TESS_OK;
}

static void make_room(struct tess_block *block, int64_t n, int64_t n_entries)
{
    size_t room = block->room_data;

    block->indptr = tess_grow(block->indptr, &block->room_rows, (size_t)n + 1, sizeof(int64_t));
    block->index = tess_grow(block->index, &room, (size_t)n_entries + 1, sizeof(int32_t));
    room = block->room_data;
    block->data = tess_grow(block->data, &room, (size_t)n_entries + 1, sizeof(float));
    block->room_data = room;
}

/* Sort one row's entries and sum those of the same place; returns how many are left. */
static int64_t tidy_row(int32_t *index, float *data, int64_t n)
{
    struct entry *entry = TESS_NEW(struct entry, n);
    int64_t left = 0;

    for (int64_t i = 0; i < n; i++)
        entry[i] = (struct entry){index[i], data[i], i};
    qsort(entry, (size_t)n, sizeof entry[0], compare_entries);
    for (int64_t i = 0; i < n;) {
        double sum = 0;
        int32_t place = entry[i].index;

        for (; i < n && entry[i].index == place; i++)
            sum += (double)entry[i].data;
        index[left] = place;
        data[left++] = (float)sum;
    }
    tess_free(entry);
    return left;
}

/* Rows in order, each sorted and without repeats; later rows move up where entries were summed. */
static void tidy_rows(struct tess_block *block)
{
    int64_t end = 0;

    for (int64_t i = 0; i < block->n; i++) {
        int64_t from = i == 0 ? 0 : block->indptr[i], n = block->indptr[i + 1] - from, k = 1;
        int32_t *index = block->index + from;

        while (k < n && index[k - 1] < index[k])
            k++;
        if (k < n)
            n = tidy_row(index, block->data + from, n);
        block->indptr[i] = end; /* `from` of the next row is still what the file said */
        if (end != from) {
            memmove(block->index + end, index, (size_t)n * sizeof(int32_t));
            memmove(block->data + end, block->data + from, (size_t)n * sizeof(float));
        }
        end += n;
    }
    block->indptr[block->n] = end;
}

/* Room in two steps: only the pointers say how many entries the rows have. */
static int read_csr(struct tess_sparse *sparse, struct tess_block *block, struct tess_error *error)
{
    int64_t base, n;

    make_room(block, block->n, 0);
    if (read_pointers(sparse, block->first, block->n, block->indptr, error) != TESS_OK)
        return error->code;
    base = block->indptr[0];
    n = block->indptr[block->n] - base;
    make_room(block, block->n, n);
    for (int64_t i = 0; i <= block->n; i++)
        block->indptr[i] -= base;
    if (read_indices(sparse, base, n, block->index, error) == TESS_OK)
        read_line(&sparse->data, H5T_NATIVE_FLOAT, base, n, block->data, error);
    return error->code;
}

/* Once, before the first row of a CSC matrix is read: where its columns and its rows start. */
static int count_rows(struct tess_sparse *sparse, struct tess_error *error)
{
    int32_t *index;
    int64_t n;

    sparse->column_start = tess_alloc_large((size_t)sparse->n_columns + 1, sizeof(int64_t),
                                            "the columns of a sparse matrix", error);
    sparse->row_start = tess_alloc_large((size_t)sparse->n_rows + 1, sizeof(int64_t),
                                         "the rows of a sparse matrix", error);
    if (error->code != TESS_OK ||
        read_pointers(sparse, 0, sparse->n_columns, sparse->column_start, error) != TESS_OK)
        return error->code;
    n = sparse->column_start[sparse->n_columns];
    index = TESS_NEW(int32_t, PIECE);
    for (int64_t at = 0; at < n && error->code == TESS_OK; at += PIECE) {
        int64_t take = n - at < PIECE ? n - at : PIECE;

        if (read_indices(sparse, at, take, index, error) == TESS_OK)
            for (int64_t i = 0; i < take; i++)
                sparse->row_start[index[i] + 1]++;
    }
    for (int64_t i = 0; i < sparse->n_rows; i++)
        sparse->row_start[i + 1] += sparse->row_start[i];
    tess_free(index);
    return error->code;
}

/* One pass over the file: the entries of the window's rows, each row's in order of columns. */
static int gather_window(struct tess_sparse *sparse, struct tess_error *error)
{
    int64_t n = sparse->column_start[sparse->n_columns], first = sparse->window_first, column = 0;
    int64_t *next = TESS_NEW(int64_t, sparse->window_end - first);
    int32_t *index = TESS_NEW(int32_t, PIECE);
    float *data = TESS_NEW(float, PIECE);

    for (int64_t i = first; i < sparse->window_end; i++)
        next[i - first] = sparse->row_start[i] - sparse->row_start[first];
    for (int64_t at = 0; at < n && error->code == TESS_OK; at += PIECE) {
        int64_t take = n - at < PIECE ? n - at : PIECE;

        if (read_indices(sparse, at, take, index, error) != TESS_OK ||
            read_line(&sparse->data, H5T_NATIVE_FLOAT, at, take, data, error) != TESS_OK)
            break;
        for (int64_t i = 0; i < take; i++) {
            while (at + i >= sparse->column_start[column + 1])
                column++;
            if (index[i] >= first && index[i] < sparse->window_end) {
                int64_t to = next[index[i] - first]++;

                sparse->window_index[to] = (int32_t)column;
                sparse->window_data[to] = data[i];
            }
        }
    }
    tess_free(data);
    tess_free(index);
    tess_free(next);
    return error->code;
}

/* The window that starts with row `first`: as many rows as fit, at least one. */
static int move_window(struct tess_sparse *sparse, int64_t first, struct tess_error *error)
{
    const int64_t *start = sparse->row_start;
    int64_t end = first + 1;

    while (end < sparse->n_rows &&
           (start[end + 1] - start[first]) * ENTRY_BYTES <= sparse->window_bytes)
        end++;
    tess_free(sparse->window_index);
    tess_free(sparse->window_data);
    sparse->window_index = tess_alloc_large((size_t)(start[end] - start[first]), sizeof(int32_t),
                                            "rows of a sparse matrix", error);
    sparse->window_data = tess_alloc_large((size_t)(start[end] - start[first]), sizeof(float),
                                           "rows of a sparse matrix", error);
    sparse->window_first = first;
    /* without memory the window is empty: nothing is taken from it */
    sparse->window_end = error->code == TESS_OK ? end : first;
    return error->code == TESS_OK ? gather_window(sparse, error) : error->code;
}

static int read_csc(struct tess_sparse *sparse, struct tess_block *block, struct tess_error *error)
{
    int64_t row = block->first, end = block->first + block->n, done = 0;

    if (!sparse->row_start && count_rows(sparse, error) != TESS_OK)
        return error->code;
    make_room(block, block->n, sparse->row_start[end] - sparse->row_start[row]);
    for (int64_t i = 0; i <= block->n; i++)
        block->indptr[i] = sparse->row_start[row + i] - sparse->row_start[row];
    while (row < end) {
        int64_t from, n;

        if ((row < sparse->window_first || row >= sparse->window_end) &&
            move_window(sparse, row, error) != TESS_OK)
            return error->code;
        from = sparse->row_start[row] - sparse->row_start[sparse->window_first];
        row = end < sparse->window_end ? end : sparse->window_end;
        n = sparse->row_start[row] - sparse->row_start[sparse->window_first] - from;
        memcpy(block->index + done, sparse->window_index + from, (size_t)n * sizeof(int32_t));
        memcpy(block->data + done, sparse->window_data + from, (size_t)n * sizeof(float));
        done += n;
    }
    return TESS_OK;
}

int tess_sparse_read(struct tess_sparse *sparse, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_error *error)
{
    TESS_BUG_IF(first < 0 || n < 0 || first + n > sparse->n_rows);
    block->first = first;
    block->n = n;
    block->fill = 0;
    if ((sparse->by_columns ? read_csc : read_csr)(sparse, block, error) == TESS_OK)
        tidy_rows(block);
    return error->code;
}
