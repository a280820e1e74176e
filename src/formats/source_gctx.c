/* source_gctx.c -- GCTX files as a source. The matrix of a GCTX is genes × profiles in the words of
 * CMap, but lies in HDF5 as (profiles, genes): our rows are the profiles (COL), our readouts the
 * genes (ROW). Files that hold it the other way round are known by their shape. */
#include "formats.h"
#include "source_h5.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <inttypes.h>
#include <string.h>

#define MATRIX       "0/DATA/0/matrix"
#define PROFILES     "0/META/COL"
#define GENES        "0/META/ROW"
#define CMAP_MISSING "-666" /* in metadata, as text and as number */

struct gctx {
    struct tess_h5 h5;
    struct tess_h5_set matrix, id; /* id: of the profiles */
    int turned; /* (readouts, rows) in the file */
    float *piece; /* rows as they lie in a turned file; own */
    size_t room;
};

static int name_ends(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Has a root group "0", says that it is a GCTX, or is called so and is nothing else (a file too
 * damaged to be opened included). */
static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    char *version = NULL;
    int is_gctx = name_ends(path, ".gctx");

    (void)options;
    if (!tess_h5_recognize(head, n_head))
        return 0;
    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, &unused) == TESS_OK) {
        tess_h5_read_string(&h5, "/", "version", &version, &unused);
        is_gctx = tess_h5_kind(&h5, "0") == 2 || (version && strncmp(version, "GCTX", 4) == 0) ||
                  (is_gctx && !tess_h5_kind(&h5, "X") && !tess_h5_kind(&h5, "obs") &&
                   !tess_h5_kind(&h5, "var"));
    }
    tess_free(version);
    tess_h5_close(&h5, &unused);
    tess_h5_guard_finish();
    return is_gctx;
}

/* One column of a metadata group, of as many entries as its ids. */
static int open_meta(const struct gctx *file, const char *group, const char *column,
                     struct tess_h5_set *set, struct tess_error *error)
{
    char *name = tess_format("%s/%s", group, column);

    if (tess_h5_kind(&file->h5, name) != 1)
        tess_error_set(error, TESS_EDATA, "%s: %s: is missing: there are no ids of the %s",
                       file->h5.path, name, strcmp(group, GENES) == 0 ? "genes" : "profiles");
    else if (tess_h5_set_open(set, &file->h5, name, 0, error) == TESS_OK && set->n_dims != 1)
        tess_error_set(error, TESS_EDATA, "%s: %s: has %d dimensions where 1 belongs",
                       file->h5.path, name, set->n_dims);
    tess_free(name);
    return error->code;
}

static int check_length(const struct gctx *file, const struct tess_h5_set *set, int64_t n,
                        struct tess_error *error)
{
    if (set->shape[0] == n)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s: has %" PRId64 " entries where there are %" PRId64 " ids",
                          file->h5.path, set->name, set->shape[0], n);
}

static void take_column(struct tess_source *source, const struct tess_strings *names)
{
    tess_strings_add(&source->column, "id");
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->item[i], "id") != 0)
            tess_strings_add(&source->column, names->item[i]);
}

static int refuse_column(const struct tess_source *source, const struct tess_strings *known,
                         const char *name, struct tess_error *error)
{
    char *list = tess_strings_join(known, ", ", 60);

    tess_error_set(error, TESS_EDATA, "%s: has no metadata column '%s'; there are: %s",
                   source->path, name, list);
    tess_free(list);
    return error->code;
}

/* Ids, or the row metadata that is to name the readouts. */
static int read_readouts(struct tess_source *source, struct tess_problems *problems,
                         struct tess_error *error)
{
    struct gctx *file = source->state;
    struct tess_source_h5_readouts made = {source, problems, {0}};
    const char *chosen = source->options->readout ? source->options->readout : "id";
    struct tess_h5_set set = {.id = H5I_INVALID_HID};
    struct tess_strings known = {0};

    if (tess_h5_list(&file->h5, GENES, &known, error) == TESS_OK &&
        tess_strings_find(&known, chosen) < 0)
        refuse_column(source, &known, chosen, error);
    if (error->code == TESS_OK && open_meta(file, GENES, chosen, &set, error) == TESS_OK &&
        check_length(file, &set, source->n_readouts, error) == TESS_OK)
        tess_h5_set_texts(&set, 0, source->n_readouts, tess_source_h5_readout_sink, &made, error);
    tess_intern_release(&made.intern);
    tess_strings_release(&known);
    tess_h5_set_release(&set);
    return error->code;
}

static int open_meta_groups(struct tess_source *source, struct tess_error *error)
{
    struct gctx *file = source->state;
    struct tess_h5_set genes = {.id = H5I_INVALID_HID};
    struct tess_strings names = {0};

    if (open_meta(file, GENES, "id", &genes, error) == TESS_OK &&
        open_meta(file, PROFILES, "id", &file->id, error) == TESS_OK &&
        tess_h5_list(&file->h5, PROFILES, &names, error) == TESS_OK) {
        source->n_readouts = genes.shape[0];
        source->n_rows = file->id.shape[0];
        take_column(source, &names);
    }
    tess_strings_release(&names);
    tess_h5_set_release(&genes);
    return error->code;
}

/* The standard order where it fits (a square matrix fits both). A turned one is opened again, for
 * the chunks that are to stay in the cache lie along the other dimension (h5_set.h). */
static int open_matrix(struct tess_source *source, struct tess_error *error)
{
    struct gctx *file = source->state;
    struct tess_h5_set *set = &file->matrix;
    enum tess_h5_class class;

    if (tess_h5_set_open(set, &file->h5, MATRIX, 0, error) != TESS_OK)
        return error->code;
    class = tess_h5_set_class(set);
    if (set->n_dims != 2 || (class != TESS_H5_REAL && class != TESS_H5_INTEGER))
        return tess_error_set(error, TESS_EDATA, "%s: %s: is no matrix of numbers (%s)",
                              source->path, MATRIX, tess_h5_set_type_name(set));
    file->turned = set->shape[0] != source->n_rows || set->shape[1] != source->n_readouts;
    if (file->turned && (set->shape[1] != source->n_rows || set->shape[0] != source->n_readouts))
        return tess_error_set(error, TESS_EDATA,
                              "%s: %s: is %" PRId64 " × %" PRId64 ", but there are %" PRId64
                              " profile ids (%s/id) and %" PRId64 " gene ids (%s/id)",
                              source->path, MATRIX, set->shape[0], set->shape[1], source->n_rows,
                              PROFILES, source->n_readouts, GENES);
    source->kind = tess_format("GCTX, %s%s", tess_h5_set_type_name(set),
                               file->turned ? " (stored genes × profiles)" : "");
    source->rows_at_once = tess_source_h5_rows_at_once(source->n_readouts * (int64_t)sizeof(float),
                                                       set->chunk[file->turned], source->n_rows);
    if (file->turned) {
        tess_h5_set_release(set);
        tess_h5_set_open(set, &file->h5, MATRIX, 1, error);
    }
    return error->code;
}

static int open_parts(struct tess_source *source, struct tess_problems *problems,
                      struct tess_error *error)
{
    struct gctx *file = source->state;

    if (tess_h5_open(&file->h5, source->place, MPI_COMM_NULL, 0, error) != TESS_OK)
        return error->code;
    if (tess_h5_kind(&file->h5, MATRIX) != 1)
        return tess_error_set(error, TESS_EDATA,
                              "%s: is a GCTX file without a matrix: there is no %s", source->path,
                              MATRIX);
    /* names last: until the matrix has as many, their number may be a damaged file's claim */
    if (open_meta_groups(source, error) == TESS_OK && open_matrix(source, error) == TESS_OK)
        read_readouts(source, problems, error);
    return error->code;
}

static int open_gctx(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct gctx *file = TESS_NEW(struct gctx, 1);

    source->state = file;
    source->options = options;
    file->h5 = (struct tess_h5)TESS_H5_INIT;
    if (options->layer)
        return tess_error_set(error, TESS_EDATA, "%s: is a GCTX file and has no layer '%s'",
                              source->path, options->layer);
    tess_h5_guard_start(source->path);
    open_parts(source, problems, error);
    tess_h5_guard_finish();
    return error->code;
}

static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    struct gctx *file = source->state;
    struct tess_h5_set set = {.id = H5I_INVALID_HID};
    struct tess_source_h5_column made;

    if (tess_strings_find(&source->column, name) < 0)
        return refuse_column(source, &source->column, name, error);
    tess_source_h5_column_init(&made, source->n_rows);
    made.missing = CMAP_MISSING;
    tess_h5_guard_start(source->path);
    if (open_meta(file, PROFILES, name, &set, error) == TESS_OK &&
        check_length(file, &set, source->n_rows, error) == TESS_OK)
        tess_h5_set_texts(&set, 0, source->n_rows, tess_source_h5_column_sink, &made, error);
    tess_h5_set_release(&set);
    tess_h5_guard_finish();
    tess_source_h5_column_finish(&made, source->n_rows, error->code == TESS_OK ? column : NULL);
    return error->code;
}

static int read_turned(struct tess_source *source, struct tess_block *block,
                       struct tess_error *error)
{
    struct gctx *file = source->state;
    int64_t n = block->n, m = source->n_readouts;

    file->piece = tess_grow(file->piece, &file->room, (size_t)n * (size_t)m + 1, sizeof(float));
    if (tess_h5_set_read(&file->matrix, H5T_NATIVE_FLOAT, (int64_t[2]){0, block->first},
                         (int64_t[2]){m, n}, file->piece, error) != TESS_OK)
        return error->code;
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = 0; i < n; i++)
            block->dense[i * m + k] = file->piece[k * n + i];
    return TESS_OK;
}

static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct gctx *file = source->state;

    tess_source_h5_make_dense(source, first, n, block);
    tess_h5_guard_start(source->path);
    if (file->turned)
        read_turned(source, block, error);
    else
        tess_h5_set_read(&file->matrix, H5T_NATIVE_FLOAT, (int64_t[2]){first, 0},
                         (int64_t[2]){n, source->n_readouts}, block->dense, error);
    if (error->code == TESS_OK)
        tess_source_h5_check(source, &(struct tess_h5_column){.value = file->id}, block, problems);
    tess_h5_guard_finish();
    return error->code;
}

static void release(struct tess_source *source)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct gctx *file = source->state;

    if (!file)
        return;
    tess_h5_guard_start(source->path);
    tess_h5_set_release(&file->matrix);
    tess_h5_set_release(&file->id);
    tess_h5_close(&file->h5, &unused);
    tess_h5_guard_finish();
    tess_free(file->piece);
    tess_free(file);
    source->state = NULL;
}

const struct tess_source_type tess_source_gctx = {
    "GCTX", recognize, open_gctx, read_column, read_rows, release,
};
