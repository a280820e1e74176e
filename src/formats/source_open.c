/* source_open.c -- which kind a file is, by its first bytes. */
#include "tessera/source_open.h"

#include "formats.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/lines.h"
#include "tessera/spool.h"

#include <string.h>
#include <strings.h>

/* In the order in which they are asked: any text may be wide, and with --columns a matrix. */
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
                     : memchr(head, '\n', n) || n < TESS_SOURCE_HEAD ? "is text, but no table"
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
    char *head = TESS_NEW(char, TESS_SOURCE_HEAD + 1);
    int packed = 0;
    size_t n = tess_source_peek(source->path, source->place, head, &packed, error);
    const char *foreign = error->code ? NULL : tess_source_foreign(head, n, packed);

    if (foreign)
        tess_error_set(error, TESS_EDATA, "%s: %s", source->path, foreign);
    /* for recognizing only: the lines themselves are read anew (lines.h) */
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
    tess_source_name_error(source, error);
    if (error->code != TESS_OK)
        tess_source_release(source);
    else if (source->rows_at_once < 1)
        source->rows_at_once = 1;
    return error->code;
}
