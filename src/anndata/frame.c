/* frame.c -- obs and var in every encoding that AnnData has had. */
#include "tessera/frame.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_NAMED 60 /* in an error's list */

static char *path_of(const struct tess_frame *frame, const char *column)
{
    return tess_format("%s/%s", frame->name, column);
}

/* Before anndata 0.7 the categories of an integer field lay in uns. */
static char *old_categories(const struct tess_frame *frame, const char *column)
{
    char *name = tess_format("uns/%s_categories", column);

    if (frame->compound && tess_h5_kind(frame->h5, name) == 1)
        return name;
    tess_free(name);
    return NULL;
}

/* The field of a compound, or a dataset or group of its own; codes with what they mean. */
static int open_column(const struct tess_frame *frame, const char *name,
                       struct tess_h5_column *column, struct tess_error *error)
{
    char *path = frame->compound ? tess_strdup(frame->name) : path_of(frame, name);
    char *categories = NULL;
    int plain;

    if (tess_h5_column_open(column, frame->h5, path, error) == TESS_OK && frame->compound)
        tess_h5_set_choose(&column->value, name, error);
    plain = !column->code.name && !column->mask.name;
    /* anndata 0.7: an attribute of the codes says where their categories are */
    if (error->code == TESS_OK && plain && tess_h5_set_class(&column->value) == TESS_H5_INTEGER)
        categories = frame->compound ? old_categories(frame, name)
                                     : tess_h5_set_referred(&column->value, "categories");
    if (categories)
        tess_h5_column_refer(column, categories, error);
    tess_free(categories);
    tess_free(path);
    return error->code;
}

int tess_frame_open_index(const struct tess_frame *frame, struct tess_h5_column *column,
                          struct tess_error *error)
{
    return open_column(frame, frame->index, column, error);
}

/* The attribute `_index` names the index; without it (or in a compound) it is so called. */
static int find_index(struct tess_frame *frame, struct tess_error *error)
{
    static const char *const usual[] = {"_index", "index"};
    char *named = NULL;

    if (!frame->compound &&
        tess_h5_read_string(frame->h5, frame->name, "_index", &named, error) != TESS_OK)
        return error->code;
    frame->index = named;
    for (int i = 0; i < 2 && !frame->index; i++) {
        char *path = path_of(frame, usual[i]);

        if (frame->compound ? tess_strings_find(&frame->column, usual[i]) >= 0
                            : tess_h5_kind(frame->h5, path) != 0)
            frame->index = tess_strdup(usual[i]);
        tess_free(path);
    }
    if (!frame->index)
        tess_error_set(error, TESS_EDATA, "%s: %s: has no index (names of its rows)",
                       frame->h5->path, frame->name);
    return error->code;
}

/* A column whose name has a slash lies in a plain group: obs/a/b is the column "a/b". */
static int list_group(struct tess_frame *frame, const char *inside, int depth,
                      struct tess_error *error)
{
    char *group = inside ? path_of(frame, inside) : tess_strdup(frame->name);
    struct tess_strings link = {0};

    tess_h5_list(frame->h5, group, &link, error);
    for (size_t i = 0; i < link.n && error->code == TESS_OK; i++) {
        char *name =
            inside ? tess_format("%s/%s", inside, link.item[i]) : tess_strdup(link.item[i]);
        char *path = path_of(frame, name), *codes = tess_format("%s/codes", path);
        int kind = tess_h5_kind(frame->h5, path);

        if (strcmp(name, "__categories") == 0 || strcmp(name, frame->index) == 0)
            kind = 0;
        if (kind == 2 && depth < 4 && !tess_h5_has_attribute(frame->h5, path, "encoding-type") &&
            !tess_h5_kind(frame->h5, codes))
            list_group(frame, name, depth + 1, error);
        else if (kind)
            tess_strings_add(&frame->column, name);
        tess_free(codes);
        tess_free(path);
        tess_free(name);
    }
    tess_strings_release(&link);
    tess_free(group);
    return error->code;
}

static int list_fields(struct tess_frame *frame, struct tess_error *error)
{
    struct tess_h5_set set;

    if (tess_h5_set_open(&set, frame->h5, frame->name, 0, error) == TESS_OK) {
        tess_h5_set_fields(&set, &frame->column);
        if (frame->column.n == 0)
            tess_error_set(error, TESS_EDATA, "%s: %s: is no table", frame->h5->path, frame->name);
    }
    tess_h5_set_release(&set);
    return error->code;
}

/* The index is listed first, under the name by which it is asked for. */
static void list_index(struct tess_frame *frame)
{
    struct tess_strings all = {0};

    tess_strings_add(&all, strcmp(frame->index, "_index") == 0 ? "index" : frame->index);
    for (size_t i = 0; i < frame->column.n; i++)
        if (strcmp(frame->column.item[i], frame->index) != 0)
            tess_strings_add(&all, frame->column.item[i]);
    tess_strings_release(&frame->column);
    frame->column = all;
}

int tess_frame_open(struct tess_frame *frame, const struct tess_h5 *h5, const char *name,
                    struct tess_error *error)
{
    int kind = tess_h5_kind(h5, name);
    struct tess_h5_column index = {0};

    *frame = (struct tess_frame){.h5 = h5, .name = tess_strdup(name), .compound = kind == 1};
    if (kind == 0)
        return tess_error_set(error, TESS_EDATA, "%s: has no '%s': not a whole AnnData file",
                              h5->path, name);
    if (frame->compound)
        list_fields(frame, error);
    if (error->code == TESS_OK && find_index(frame, error) == TESS_OK && !frame->compound)
        list_group(frame, NULL, 0, error);
    if (error->code == TESS_OK && tess_frame_open_index(frame, &index, error) == TESS_OK) {
        frame->n = index.n;
        list_index(frame);
    }
    tess_h5_column_release(&index);
    return error->code;
}

void tess_frame_release(struct tess_frame *frame)
{
    tess_strings_release(&frame->column);
    tess_free(frame->name);
    tess_free(frame->index);
    *frame = (struct tess_frame){0};
}

static int check_length(const struct tess_frame *frame, const char *column, int64_t n,
                        struct tess_error *error)
{
    if (n == frame->n)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s/%s: has %" PRId64 " values where '%s' has %" PRId64 " rows",
                          frame->h5->path, frame->name, column, n, frame->name, frame->n);
}

static int refuse_column(const struct tess_frame *frame, const char *column,
                         struct tess_error *error)
{
    char *known = tess_strings_join(&frame->column, ", ", COLUMNS_NAMED);

    tess_error_set(error, TESS_EDATA, "%s: %s has no column '%s'; there are: %s", frame->h5->path,
                   frame->name, column, known);
    tess_free(known);
    return error->code;
}

int tess_frame_texts(const struct tess_frame *frame, const char *column, tess_text_sink *sink,
                     void *context, struct tess_error *error)
{
    int64_t listed = tess_strings_find(&frame->column, column);
    const char *name =
        listed == 0 ||
                (listed < 0 && (strcmp(column, "index") == 0 || strcmp(column, frame->index) == 0))
            ? frame->index
            : column;
    struct tess_h5_column open = {0};

    if (listed < 0 && name == column)
        return refuse_column(frame, column, error);
    if (open_column(frame, name, &open, error) == TESS_OK &&
        check_length(frame, name, open.n, error) == TESS_OK)
        tess_h5_column_texts(&open, 0, open.n, sink, context, error);
    tess_h5_column_release(&open);
    return error->code;
}
