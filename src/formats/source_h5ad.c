/* source_h5ad.c -- AnnData files as a source: X, a layer or raw/X, dense or compressed, and obs; a
 * modality of MuData likewise. */
#include "formats.h"
#include "source_h5.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/frame.h"
#include "tessera/h5_guard.h"
#include "tessera/h5ad.h"
#include "tessera/sparse.h"

#include <inttypes.h>
#include <string.h>

#define NAMED 40 /* in a list */

struct h5ad {
    struct tess_h5 h5;
    struct tess_h5ad_place place;
    struct tess_frame obs, var;
    struct tess_frame shared; /* MuData: obs of all modalities; or nothing */
    struct tess_h5_column id; /* names of the rows */
    struct tess_h5_set dense; /* the matrix, either … */
    struct tess_sparse sparse; /* … or */
    int is_sparse;
};

/* Every HDF5 file that is no GCTX is held to be AnnData: `open` says what is missing. */
static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    return tess_h5_recognize(head, n_head) &&
           !tess_source_gctx.recognize(path, head, n_head, options);
}

/* HDF5, but neither kind: say what is there. */
static int check_kind(const struct tess_h5 *h5, struct tess_error *error)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct tess_strings names = {0};
    char *held;

    if (tess_h5_kind(h5, "obs") || tess_h5_kind(h5, "var") || tess_h5_kind(h5, "X") ||
        tess_h5_kind(h5, "mod"))
        return TESS_OK;
    tess_h5_list(h5, "/", &names, &unused);
    held = tess_strings_join(&names, ", ", NAMED);
    tess_error_set(error, TESS_EDATA,
                   "%s: is an HDF5 file, but neither AnnData (X, obs, var) nor GCTX "
                   "(0/DATA/0/matrix): it holds %s",
                   h5->path, names.n ? held : "nothing");
    tess_free(held);
    tess_strings_release(&names);
    return error->code;
}

static int check_shape(const struct tess_source *source, const char *name, int64_t n_rows,
                       int64_t n_columns, struct tess_error *error)
{
    if (n_rows == source->n_rows && n_columns == source->n_readouts)
        return TESS_OK;
    return tess_error_set(
        error, TESS_EDATA,
        "%s: %s: is %" PRId64 " × %" PRId64 " where obs has %" PRId64 " rows and var %" PRId64,
        source->path, name, n_rows, n_columns, source->n_rows, source->n_readouts);
}

/* anndata < 0.7 stored a matrix of one row or one column as a line. */
static int open_dense(struct tess_source *source, const char *name, struct tess_error *error)
{
    struct h5ad *file = source->state;
    struct tess_h5_set *set = &file->dense;
    enum tess_h5_class class;
    int line, one_row;

    if (tess_h5_set_open(set, &file->h5, name, 0, error) != TESS_OK)
        return error->code;
    line = set->n_dims == 1;
    one_row = line && source->n_rows == 1;
    class = tess_h5_set_class(set);
    if (set->n_dims == 0 ||
        (class != TESS_H5_REAL && class != TESS_H5_INTEGER && class != TESS_H5_ENUM))
        return tess_error_set(error, TESS_EDATA, "%s: %s: is no matrix of numbers (%s)",
                              source->path, name, tess_h5_set_type_name(set));
    if (check_shape(source, name, one_row ? 1 : set->shape[0],
                    one_row ? set->shape[0] : set->shape[1], error) != TESS_OK)
        return error->code;
    source->kind = tess_format("AnnData, dense %s", tess_h5_set_type_name(set));
    source->rows_at_once = tess_source_h5_rows_at_once(source->n_readouts * (int64_t)sizeof(float),
                                                       set->chunk[0], source->n_rows);
    return TESS_OK;
}

static int open_sparse(struct tess_source *source, const char *name, struct tess_error *error)
{
    struct h5ad *file = source->state;
    struct tess_sparse *sparse = &file->sparse;
    int64_t row_bytes;

    file->is_sparse = 1;
    if (tess_sparse_open(sparse, &file->h5, name, error) != TESS_OK ||
        check_shape(source, name, sparse->n_rows, sparse->n_columns, error) != TESS_OK)
        return error->code;
    source->kind = tess_format("AnnData, %s %s", sparse->by_columns ? "CSC" : "CSR",
                               tess_h5_set_type_name(&sparse->data));
    row_bytes = sparse->n_values / (sparse->n_rows > 0 ? sparse->n_rows : 1) * 8 + 8;
    source->rows_at_once = tess_source_h5_rows_at_once(row_bytes, 0, source->n_rows);
    return TESS_OK;
}

/* Says where the matrix lies if that may surprise, and whether another would be the better one. */
static int describe(struct tess_source *source, struct tess_error *error)
{
    struct h5ad *file = source->state;
    const struct tess_h5_set *values = file->is_sparse ? &file->sparse.data : &file->dense;
    char *kind = source->kind, *counts = tess_h5ad_counts(&file->place, values, error);

    if (file->place.base[0] || strncmp(file->place.matrix, "raw", 3) == 0) {
        source->kind = tess_format("%s, %s%s", kind, file->place.base, file->place.matrix);
        tess_free(kind);
    }
    if (counts)
        source->advice = tess_format("%s holds negative numbers; there are counts in %s",
                                     file->place.matrix, counts);
    tess_free(counts);
    return error->code;
}

static int open_matrix(struct tess_source *source, struct tess_error *error)
{
    struct h5ad *file = source->state;
    char *name = tess_h5ad_path(&file->place, file->place.matrix);

    if (tess_h5_kind(&file->h5, name) == 1)
        open_dense(source, name, error);
    else
        open_sparse(source, name, error);
    if (error->code == TESS_OK)
        describe(source, error);
    tess_free(name);
    return error->code;
}

/* Columns of the whole MuData that the modality lacks; its rows are found by their names. */
static int open_shared(struct tess_source *source, struct tess_error *error)
{
    struct h5ad *file = source->state;

    if (!file->place.base[0] || !tess_h5_kind(&file->h5, "obs") ||
        tess_frame_open(&file->shared, &file->h5, "obs", error) != TESS_OK)
        return error->code;
    for (size_t i = 1; i < file->shared.column.n; i++)
        if (tess_strings_find(&source->column, file->shared.column.item[i]) < 0)
            tess_strings_add(&source->column, file->shared.column.item[i]);
    return TESS_OK;
}

static int open_frame(struct h5ad *file, struct tess_frame *frame, const char *name,
                      struct tess_error *error)
{
    char *path = tess_h5ad_path(&file->place, name);

    tess_frame_open(frame, &file->h5, path, error);
    tess_free(path);
    return error->code;
}

static int open_frames(struct tess_source *source, struct tess_error *error)
{
    struct h5ad *file = source->state;

    if (open_frame(file, &file->obs, "obs", error) != TESS_OK ||
        open_frame(file, &file->var, file->place.var, error) != TESS_OK ||
        tess_frame_open_index(&file->obs, &file->id, error) != TESS_OK)
        return error->code;
    source->n_rows = file->obs.n;
    source->n_readouts = file->var.n;
    for (size_t i = 0; i < file->obs.column.n; i++)
        tess_strings_add(&source->column, file->obs.column.item[i]);
    return open_shared(source, error);
}

/* Once the matrix is known to be as wide as var says: their number may be a damaged file's claim.
 */
static int read_readouts(struct tess_source *source, struct tess_problems *problems,
                         struct tess_error *error)
{
    struct h5ad *file = source->state;
    struct tess_source_h5_readouts made = {source, problems, {0}};
    const char *chosen = source->options->readout;

    tess_frame_texts(&file->var, chosen ? chosen : "index", tess_source_h5_readout_sink, &made,
                     error);
    tess_intern_release(&made.intern);
    return error->code;
}

static int open_h5ad(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct h5ad *file = TESS_NEW(struct h5ad, 1);

    source->state = file;
    source->options = options;
    file->h5 = (struct tess_h5)TESS_H5_INIT;
    tess_h5_guard_start(source->path);
    if (tess_h5_open(&file->h5, source->place, MPI_COMM_NULL, 0, error) == TESS_OK &&
        check_kind(&file->h5, error) == TESS_OK &&
        tess_h5ad_find(&file->place, &file->h5, options->modality, options->layer, error) ==
            TESS_OK &&
        open_frames(source, error) == TESS_OK && open_matrix(source, error) == TESS_OK)
        read_readouts(source, problems, error);
    tess_h5_guard_finish();
    return error->code;
}

/* Rows of MuData's shared table by their names, and what they have in one of its columns. */
struct by_name {
    struct tess_intern name;
    int64_t *row; /* (name.n) -1: the name repeats */
    const int32_t *code; /* of the rows */
    int32_t *made; /* of the modality's rows */
};

static void take_name(void *context, int64_t i, const char *text)
{
    struct by_name *by = context;
    int64_t n = by->name.n, number = text ? tess_intern_add(&by->name, text, strlen(text)) : -1;

    if (number >= 0)
        by->row[number] = number == n ? i : -1;
}

static void find_name(void *context, int64_t i, const char *text)
{
    struct by_name *by = context;
    int64_t number = text ? tess_intern_find(&by->name, text, strlen(text)) : -1;

    if (number >= 0 && by->row[number] >= 0)
        by->made[i] = by->code[by->row[number]];
}

/* A row of the modality has what the row of that name has in the shared table. */
static int read_shared(struct h5ad *file, const char *name, struct tess_source_h5_column *made,
                       struct tess_error *error)
{
    const struct tess_frame *shared = &file->shared;
    struct by_name by = {.row = TESS_NEW(int64_t, shared->n), .made = made->code};
    struct tess_source_h5_column all;

    tess_source_h5_column_init(&all, shared->n);
    by.code = all.code;
    if (tess_frame_texts(shared, name, tess_source_h5_column_sink, &all, error) == TESS_OK &&
        tess_frame_texts(shared, shared->column.item[0], take_name, &by, error) == TESS_OK)
        tess_h5_column_texts(&file->id, 0, file->id.n, find_name, &by, error);
    made->symbols = all.symbols;
    all.symbols = (struct tess_symbols){0};
    tess_source_h5_column_finish(&all, shared->n, NULL);
    tess_intern_release(&by.name);
    tess_free(by.row);
    return error->code;
}

static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    struct h5ad *file = source->state;
    struct tess_source_h5_column made;

    tess_source_h5_column_init(&made, source->n_rows);
    tess_h5_guard_start(source->path);
    if (tess_strings_find(&file->obs.column, name) < 0 &&
        tess_strings_find(&file->shared.column, name) > 0)
        read_shared(file, name, &made, error);
    else
        tess_frame_texts(&file->obs, name, tess_source_h5_column_sink, &made, error);
    tess_h5_guard_finish();
    tess_source_h5_column_finish(&made, source->n_rows, error->code == TESS_OK ? column : NULL);
    return error->code;
}

static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct h5ad *file = source->state;

    tess_h5_guard_start(source->path);
    if (file->is_sparse)
        tess_sparse_read(&file->sparse, first, n, block, error);
    else {
        int one_row = file->dense.n_dims == 1 && source->n_rows == 1;

        tess_source_h5_make_dense(source, first, n, block);
        tess_h5_set_read(&file->dense, H5T_NATIVE_FLOAT, (int64_t[2]){first, 0},
                         (int64_t[2]){one_row ? n * source->n_readouts : n, source->n_readouts},
                         block->dense, error);
    }
    if (error->code == TESS_OK)
        tess_source_h5_check(source, &file->id, block, problems);
    tess_h5_guard_finish();
    return error->code;
}

static void release(struct tess_source *source)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct h5ad *file = source->state;

    if (!file)
        return;
    tess_h5_guard_start(source->path);
    tess_sparse_release(&file->sparse);
    tess_h5_set_release(&file->dense);
    tess_h5_column_release(&file->id);
    tess_frame_release(&file->obs);
    tess_frame_release(&file->var);
    tess_frame_release(&file->shared);
    tess_h5ad_release(&file->place);
    tess_h5_close(&file->h5, &unused);
    tess_h5_guard_finish();
    tess_free(file);
    source->state = NULL;
}

const struct tess_source_type tess_source_h5ad = {
    "AnnData", recognize, open_h5ad, read_column, read_rows, release,
};
