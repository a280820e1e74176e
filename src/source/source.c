/* source.c -- which kind a file is, by its first bytes; and the list of what is wrong with it. */
#include "tessera/source.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/lines.h"
#include "tessera/h5.h"
#include "tessera/spool.h"
#include "tessera/zarr.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#define HEAD_BYTES 65536

/* In the order in which they are asked: a wide table is what any table may be. */
static const struct tess_source_type *const types[] = {&tess_source_h5ad, &tess_source_gctx,
                                                       &tess_source_gct,  &tess_source_matrix,
                                                       &tess_source_long, &tess_source_wide};
#define N_TYPES (sizeof types / sizeof types[0])

/* Names that promise a kind. */
static const struct {
    const char *ending;
    const struct tess_source_type *type;
} promises[] = {{".h5ad", &tess_source_h5ad},
                {".h5mu", &tess_source_h5ad},
                {".gctx", &tess_source_gctx},
                {".gct", &tess_source_gct}};

void tess_problems_add(struct tess_problems *problems, const char *file, int64_t row,
                       const char *column, const char *format, ...)
{
    char what[1024], place[32] = "", *line;
    va_list arguments;

    problems->n++;
    if (problems->limit > 0 && problems->n > problems->limit)
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (row > 0)
        snprintf(place, sizeof place, ":%lld", (long long)row);
    line = tess_format("%s%s%s%s: %s", file, place, column ? ":" : "", column ? column : "", what);
    tess_strings_add(&problems->text, line);
    tess_free(line);
}

void tess_problems_take(struct tess_problems *problems, struct tess_error *error)
{
    if (tess_strings_find(&problems->text, error->text) < 0) {
        problems->n++;
        if (problems->limit == 0 || problems->n <= problems->limit)
            tess_strings_add(&problems->text, error->text);
    }
    *error = (struct tess_error)TESS_ERROR_INIT;
}

void tess_problems_release(struct tess_problems *problems)
{
    tess_strings_release(&problems->text);
    problems->n = 0;
}

void tess_column_release(struct tess_column *column)
{
    for (int64_t i = 0; i < column->n_levels; i++)
        tess_free(column->level[i]);
    tess_free(column->level);
    tess_free(column->code);
    *column = (struct tess_column){0};
}

static void want(struct tess_wanted *wanted, size_t *n, const char *name, const char *option)
{
    if (name)
        wanted[(*n)++] = (struct tess_wanted){name, option, -1};
}

size_t tess_source_options_wanted(const struct tess_source_options *options,
                                  struct tess_wanted **wanted)
{
    const struct {
        const struct tess_strings *list;
        const char *option;
    } of[] = {{&options->perturbation, "--perturbation"},
              {&options->combine, "--combine"},
              {&options->context, "--context"}};
    size_t room = 3 + (options->filter ? options->filter->n : 0), n = 0;

    for (int k = 0; k < 3; k++)
        room += of[k].list->n;
    *wanted = TESS_NEW(struct tess_wanted, room);
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < of[k].list->n; i++)
            want(*wanted, &n, of[k].list->item[i], of[k].option);
    want(*wanted, &n, options->control_column, "--control-column");
    want(*wanted, &n, options->split_column, "--split-column");
    want(*wanted, &n, options->replicate, "--replicate");
    for (size_t i = 0; options->filter && i < options->filter->n; i++) {
        want(*wanted, &n, options->filter->item[i].column,
             options->filter->item[i].keep ? "--keep" : "--drop");
        (*wanted)[n - 1].condition = (int64_t)i;
    }
    return n;
}

/* The first bytes, decompressed. */
static size_t peek(const char *path, const char *place, char *head, int *packed,
                   struct tess_error *error)
{
    struct stat status;
    gzFile file;
    int n, code;

    if (tess_fail_here(error, path) || tess_zarr_refuse(path, error) != TESS_OK)
        return 0;
    if (stat(place, &status) < 0 || !(file = gzopen(place, "rb"))) {
        tess_error_set(error, TESS_EDATA, "%s: cannot open: %s", path, strerror(errno));
        return 0;
    }
    n = S_ISDIR(status.st_mode) ? 0 : gzread(file, head, HEAD_BYTES);
    *packed = !gzdirect(file);
    gzerror(file, &code);
    gzclose(file);
    if (S_ISDIR(status.st_mode))
        tess_error_set(error, TESS_EDATA, "%s: is a directory", path);
    else if (n < 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path,
                       code == Z_ERRNO ? strerror(errno) : "its gzip compression is damaged");
    else if (n == 0)
        tess_error_set(error, TESS_EDATA, "%s: the file is empty", path);
    return n > 0 ? (size_t)n : 0;
}

int tess_source_check_text(const char *path, const char *place, struct tess_error *error)
{
    char *head = TESS_NEW(char, HEAD_BYTES + 1);
    int packed = 0;
    size_t n = peek(path, place, head, &packed, error);
    const char *foreign = error->code                  ? NULL
                          : tess_h5_recognize(head, n) ? "is HDF5, where a table of text belongs"
                                                       : tess_source_foreign(head, n, packed);

    if (foreign)
        tess_error_set(error, TESS_EDATA, "%s: %s", path, foreign);
    tess_free(head);
    return error->code;
}

static int ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);

    if (n > 3 && strcasecmp(path + n - 3, ".gz") == 0)
        n -= 3;
    return n > m && strncasecmp(path + n - m, ending, m) == 0;
}

static int check_promise(const char *path, const struct tess_source_type *type,
                         struct tess_error *error)
{
    for (size_t i = 0; i < sizeof promises / sizeof promises[0]; i++)
        if (ends_in(path, promises[i].ending) && type && type != promises[i].type)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: is named %s but holds a %s: rename it if that is what it "
                                  "should be",
                                  path, promises[i].ending, type->name);
    return TESS_OK;
}

static int refuse(const char *path, const char *head, size_t n, struct tess_error *error)
{
    int hdf5 = n >= 8 && memcmp(head, "\211HDF\r\n\032\n", 8) == 0;
    const char *is = hdf5                    ? "is HDF5, but neither AnnData nor GCTX"
                     : memchr(head, '\0', n) ? "is binary and no HDF5 file"
                     : memchr(head, '\n', n) || n < HEAD_BYTES ? "is text, but no table"
                                                               : "has no lines";

    return tess_error_set(error, TESS_EDATA,
                          "%s: %s; expected AnnData (.h5ad), GCTX, GCT 1.2 or 1.3, or a long or "
                          "wide table (.tsv, .csv, also .gz)",
                          path, is);
}

/* Options that this kind cannot follow are refused, not ignored. */
static int check_options(const struct tess_source *source,
                         const struct tess_source_options *options, struct tess_error *error)
{
    const struct tess_source_type *type = source->type;
    const char *article = type == &tess_source_h5ad ? "an" : "a";
    int hdf5 = type == &tess_source_h5ad || type == &tess_source_gctx;

    if (options->layer && !hdf5)
        return tess_error_set(error, TESS_EDATA,
                              "%s: is %s %s and has no layer '%s': only AnnData has layers "
                              "(--layer)",
                              source->path, article, type->name, options->layer);
    if (options->modality && type != &tess_source_h5ad)
        return tess_error_set(error, TESS_EDATA, "%s: --modality %s: is %s %s, not MuData (.h5mu)",
                              source->path, options->modality, article, type->name);
    if (options->columns != TESS_COLUMNS_READOUT && type != &tess_source_matrix)
        return tess_error_set(error, TESS_EDATA,
                              "%s: is %s %s: only of a table can the columns be perturbations or "
                              "contexts (--columns)",
                              source->path, article, type->name);
    if (options->values.n > 0 && type != &tess_source_matrix && type != &tess_source_wide)
        return tess_error_set(error, TESS_EDATA,
                              "%s: is %s %s: only of a wide table can columns be chosen (--values)",
                              source->path, article, type->name);
    return TESS_OK;
}

/* The kind of file that these first bytes begin. */
static int recognize(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_error *error)
{
    char *head = TESS_NEW(char, HEAD_BYTES + 1);
    int packed = 0;
    size_t n = peek(source->path, source->place, head, &packed, error);
    const char *foreign = error->code ? NULL : tess_source_foreign(head, n, packed);

    if (foreign)
        tess_error_set(error, TESS_EDATA, "%s: %s", source->path, foreign);
    if (tess_lines_end_with_cr(head, n))
        for (size_t i = 0; i < n; i++)
            head[i] = (char)(head[i] == '\r' ? '\n' : head[i]);
    if (error->code == TESS_OK && source->place != source->path && tess_h5_recognize(head, n))
        source->place = tess_spool_link(options->spools, source->path, error);
    for (size_t i = 0; i < N_TYPES && !source->type && error->code == TESS_OK; i++)
        if (types[i]->recognize(source->place, head, n, options))
            source->type = types[i];
    if (error->code == TESS_OK && !source->type)
        refuse(source->path, head, n, error);
    tess_free(head);
    return error->code;
}

/* HDF5's errors name the place that was opened. */
static int name_rightly(const struct tess_source *source, struct tess_error *error)
{
    size_t n = source->place ? strlen(source->place) : 0;

    if (error->code && n > 0 && source->place != source->path &&
        strncmp(error->text, source->place, n) == 0) {
        char *text = tess_format("%s%s", source->path, error->text + n);

        snprintf(error->text, sizeof error->text, "%s", text);
        tess_free(text);
    }
    return error->code;
}

int tess_source_open(struct tess_source *source, const char *path,
                     const struct tess_source_options *options, struct tess_problems *problems,
                     struct tess_error *error)
{
    int copied;

    *source = (struct tess_source){.path = tess_strdup(path), .options = options};
    source->place = tess_spool_place(options->spools, source->path, error);
    copied = source->place && source->place != source->path;
    if (source->place && recognize(source, options, error) == TESS_OK &&
        check_promise(path, source->type, error) == TESS_OK &&
        check_options(source, options, error) == TESS_OK)
        source->type->open(source, options, problems, error);
    if (error->code == TESS_OK && options->metadata)
        tess_annotation_read(&source->annotation, source, problems, error);
    if (copied)
        tess_spool_unlink(options->spools, path);
    name_rightly(source, error);
    if (error->code != TESS_OK)
        tess_source_release(source);
    else if (source->rows_at_once < 1)
        source->rows_at_once = 1;
    return error->code;
}

int tess_source_read_column(struct tess_source *source, const char *name,
                            struct tess_column *column, struct tess_error *error)
{
    const struct tess_annotation *annotation = &source->annotation;
    int64_t at = tess_strings_find(&annotation->name, name);

    *column = (struct tess_column){0};
    if (tess_fail_here(error, name))
        return error->code;
    if (at >= 0)
        tess_symbols_column(&annotation->symbol[at], source->n_rows, annotation->code[at], column);
    else if (tess_annotation_is_place(name))
        tess_annotation_read_place(source->path, name, source->n_rows, column);
    if (column->code)
        return TESS_OK;
    source->type->read_column(source, name, column, error);
    return name_rightly(source, error);
}

int tess_source_has_column(const struct tess_source *source, const char *name)
{
    return tess_strings_find(&source->annotation.name, name) >= 0 ||
           tess_strings_find(&source->column, name) >= 0;
}

int tess_source_read_rows(struct tess_source *source, int64_t first, int64_t n,
                          struct tess_block *block, struct tess_problems *problems,
                          struct tess_error *error)
{
    TESS_BUG_IF(first < 0 || n < 0 || first > source->n_rows - n);
    if (tess_fail_here(error, source->path))
        return error->code;
    source->type->read_rows(source, first, n, block, problems, error);
    return name_rightly(source, error);
}

void tess_source_release(struct tess_source *source)
{
    if (source->type && source->state)
        source->type->release(source);
    tess_strings_release(&source->readout);
    tess_strings_release(&source->column);
    tess_annotation_release(&source->annotation);
    tess_free(source->line);
    tess_free(source->by_line);
    tess_free(source->key);
    tess_free(source->kind);
    tess_free(source->advice);
    tess_free(source->path);
    *source = (struct tess_source){0};
}

void tess_source_add_line(struct tess_source *source, int64_t row, int64_t line)
{
    source->line =
        tess_grow(source->line, &source->room_line, (size_t)row + 1, sizeof source->line[0]);
    source->line[row] = line;
}

int64_t tess_source_place(const struct tess_source *source, int64_t row)
{
    int64_t at = source->rows_a_line > 1 ? row / source->rows_a_line : row;

    return source->line ? source->line[at] : row + 1;
}
