/* source.c -- what can be asked of an open source: columns, rows, lines. */
#include "tessera/source.h"

#include "place.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/symbols.h"

#include <stdio.h>
#include <string.h>

/* HDF5 errors begin with the path that was opened; any other text stays as it is. */
int tess_source_name_error(const struct tess_source *source, struct tess_error *error)
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
    else if (tess_place_is(name))
        tess_place_read(source->path, name, source->n_rows, column);
    if (column->code)
        return TESS_OK;
    source->type->read_column(source, name, column, error);
    return tess_source_name_error(source, error);
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
    return tess_source_name_error(source, error);
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
