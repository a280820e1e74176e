/* frame.c -- obs and var in every encoding that AnnData has had. */
#include "tessera/frame.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_NAMED 60 /* in an error's list */

/* A sink that hands on texts through codes (categorical) or except where masked (nullable). */
struct relay {
    const struct tess_frame *frame;
    const char *column;
    struct tess_strings level; /* categories; own         */
    char *missing;             /* (n_level or n rows) own */
    tess_text_sink *sink;
    void *context;
    struct tess_error *error;
};

static char *path_of(const struct tess_frame *frame, const char *column, const char *part)
{
    return part ? tess_format("%s/%s/%s", frame->name, column, part)
                : tess_format("%s/%s", frame->name, column);
}

static int open_column(const struct tess_frame *frame, struct tess_h5_set *set, const char *column,
                       const char *part, struct tess_error *error)
{
    char *path = frame->compound ? tess_strdup(frame->name) : path_of(frame, column, part);

    if (tess_h5_set_open(set, frame->h5, path, 0, error) == TESS_OK && frame->compound)
        tess_h5_set_choose(set, column, error);
    if (error->code == TESS_OK && set->n_dims != 1)
        tess_error_set(error, TESS_EDATA, "%s: %s: has %d dimensions where 1 belongs",
                       frame->h5->path, path, set->n_dims);
    tess_free(path);
    return error->code;
}

int tess_frame_open_index(const struct tess_frame *frame, struct tess_h5_set *set,
                          struct tess_error *error)
{
    return open_column(frame, set, frame->index, NULL, error);
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
        char *path = path_of(frame, usual[i], NULL);

        if (frame->compound ? tess_strings_find(&frame->column, usual[i]) >= 0
                            : tess_h5_kind(frame->h5, path) == 1)
            frame->index = tess_strdup(usual[i]);
        tess_free(path);
    }
    if (!frame->index)
        tess_error_set(error, TESS_EDATA, "%s: %s: has no index (names of its rows)",
                       frame->h5->path, frame->name);
    return error->code;
}

static int has_attribute(const struct tess_h5 *h5, const char *name, const char *attribute)
{
    int has = H5Aexists_by_name(h5->file, name, attribute, H5P_DEFAULT) > 0;

    H5Eclear2(H5E_DEFAULT);
    return has;
}

/* A column whose name has a slash lies in a plain group: obs/a/b is the column "a/b". */
static int list_group(struct tess_frame *frame, const char *inside, int depth,
                      struct tess_error *error)
{
    char *group = inside ? path_of(frame, inside, NULL) : tess_strdup(frame->name);
    struct tess_strings link = {0};

    tess_h5_list(frame->h5, group, &link, error);
    for (size_t i = 0; i < link.n && error->code == TESS_OK; i++) {
        char *name =
            inside ? tess_format("%s/%s", inside, link.item[i]) : tess_strdup(link.item[i]);
        char *path = path_of(frame, name, NULL), *codes = path_of(frame, name, "codes");
        int kind = tess_h5_kind(frame->h5, path);

        if (strcmp(name, "__categories") == 0 || strcmp(name, frame->index) == 0)
            kind = 0;
        if (kind == 2 && depth < 4 && !has_attribute(frame->h5, path, "encoding-type") &&
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
    int n;

    if (tess_h5_set_open(&set, frame->h5, frame->name, 0, error) == TESS_OK) {
        n = H5Tget_class(set.type) == H5T_COMPOUND ? H5Tget_nmembers(set.type) : 0;
        for (int i = 0; i < n; i++) {
            char *name = H5Tget_member_name(set.type, (unsigned)i);

            if (name)
                tess_strings_add(&frame->column, name);
            H5free_memory(name);
        }
        if (n < 1)
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
    struct tess_h5_set index = {.id = H5I_INVALID_HID};

    *frame = (struct tess_frame){.h5 = h5, .name = tess_strdup(name), .compound = kind == 1};
    if (kind == 0)
        return tess_error_set(error, TESS_EDATA, "%s: has no '%s': not a whole AnnData file",
                              h5->path, name);
    if (frame->compound)
        list_fields(frame, error);
    if (error->code == TESS_OK && find_index(frame, error) == TESS_OK && !frame->compound)
        list_group(frame, NULL, 0, error);
    if (error->code == TESS_OK && tess_frame_open_index(frame, &index, error) == TESS_OK) {
        frame->n = index.shape[0];
        list_index(frame);
    }
    tess_h5_set_release(&index);
    return error->code;
}

void tess_frame_release(struct tess_frame *frame)
{
    tess_strings_release(&frame->column);
    tess_free(frame->name);
    tess_free(frame->index);
    *frame = (struct tess_frame){0};
}

static int check_length(const struct tess_frame *frame, const struct tess_h5_set *set,
                        struct tess_error *error)
{
    if (set->shape[0] == frame->n)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s: has %" PRId64 " values where '%s' has %" PRId64 " rows",
                          frame->h5->path, set->name, set->shape[0], frame->name, frame->n);
}

static int read_all(const struct tess_frame *frame, const struct tess_h5_set *set,
                    tess_text_sink *sink, void *context, struct tess_error *error)
{
    if (check_length(frame, set, error) == TESS_OK)
        tess_h5_set_texts(set, 0, frame->n, sink, context, error);
    return error->code;
}

static void take_level(void *context, int64_t i, const char *text)
{
    struct relay *relay = context;

    tess_strings_add(&relay->level, text ? text : "");
    if (!text)
        relay->missing[i] = 1;
}

static void pass_code(void *context, int64_t i, const char *text)
{
    struct relay *relay = context;
    int64_t code = -2;

    if (!text || !tess_text_int64(text, &code) || code < -1 || code >= (int64_t)relay->level.n)
        tess_error_set(relay->error, TESS_EDATA,
                       "%s: %s/%s: row %" PRId64 " has code %s of %zu categories: the file is "
                       "damaged",
                       relay->frame->h5->path, relay->frame->name, relay->column, i + 1,
                       text ? text : "NaN", relay->level.n);
    if (relay->error->code == TESS_OK)
        relay->sink(relay->context, i,
                    code < 0 || relay->missing[code] ? NULL : relay->level.item[code]);
}

static void take_mask(void *context, int64_t i, const char *text)
{
    struct relay *relay = context;

    relay->missing[i] = text && (strcmp(text, "True") == 0 || strcmp(text, "1") == 0);
}

static void pass_unmasked(void *context, int64_t i, const char *text)
{
    struct relay *relay = context;

    relay->sink(relay->context, i, relay->missing[i] ? NULL : text);
}

/* Codes in one dataset, the texts they stand for in another. */
static int read_categorical(struct relay *relay, const struct tess_h5_set *codes,
                            const struct tess_h5_set *categories, struct tess_error *error)
{
    if (H5Tget_class(codes->type) != H5T_INTEGER)
        return tess_error_set(error, TESS_EDATA, "%s: %s: codes are no integers",
                              relay->frame->h5->path, codes->name);
    relay->missing = TESS_NEW(char, categories->shape[0]);
    if (tess_h5_set_texts(categories, 0, categories->shape[0], take_level, relay, error) == TESS_OK)
        read_all(relay->frame, codes, pass_code, relay, error);
    return error->code;
}

static int read_group(struct relay *relay, struct tess_error *error)
{
    const struct tess_frame *frame = relay->frame;
    struct tess_h5_set value = {.id = H5I_INVALID_HID}, other = {.id = H5I_INVALID_HID};
    char *codes = path_of(frame, relay->column, "codes");
    char *mask = path_of(frame, relay->column, "mask");

    if (tess_h5_kind(frame->h5, codes) == 1) {
        if (open_column(frame, &value, relay->column, "codes", error) == TESS_OK &&
            open_column(frame, &other, relay->column, "categories", error) == TESS_OK)
            read_categorical(relay, &value, &other, error);
    } else if (tess_h5_kind(frame->h5, mask) == 1) {
        relay->missing = TESS_NEW(char, frame->n);
        if (open_column(frame, &value, relay->column, "values", error) == TESS_OK &&
            open_column(frame, &other, relay->column, "mask", error) == TESS_OK &&
            read_all(frame, &other, take_mask, relay, error) == TESS_OK)
            read_all(frame, &value, pass_unmasked, relay, error);
    } else
        tess_error_set(error, TESS_EDATA,
                       "%s: %s/%s: is neither a plain, a categorical nor a nullable column",
                       frame->h5->path, frame->name, relay->column);
    tess_h5_set_release(&other);
    tess_h5_set_release(&value);
    tess_free(mask);
    tess_free(codes);
    return error->code;
}

/* Where anndata 0.7 says that the categories of a dataset of codes are; NULL: it is a plain one. */
static char *referred(const struct tess_h5_set *set)
{
    hid_t at = H5I_INVALID_HID, space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    char name[1024] = "";
    hobj_ref_t reference;

    if (H5Aexists(set->id, "categories") > 0)
        at = H5Aopen(set->id, "categories", H5P_DEFAULT);
    if (at >= 0) {
        space = H5Aget_space(at);
        type = H5Aget_type(at);
    }
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
        H5Tget_class(type) == H5T_REFERENCE && H5Aread(at, H5T_STD_REF_OBJ, &reference) >= 0 &&
        H5Rget_name(set->id, H5R_OBJECT, &reference, name, sizeof name) <= 0)
        name[0] = '\0';
    H5Eclear2(H5E_DEFAULT);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (at >= 0)
        H5Aclose(at);
    return at >= 0 ? tess_strdup(name[0] ? name : "/(a lost reference)") : NULL;
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

static int read_dataset(struct relay *relay, struct tess_error *error)
{
    const struct tess_frame *frame = relay->frame;
    struct tess_h5_set set = {.id = H5I_INVALID_HID}, categories = {.id = H5I_INVALID_HID};
    char *name = NULL;

    if (open_column(frame, &set, relay->column, NULL, error) == TESS_OK) {
        name = frame->compound ? old_categories(frame, relay->column) : referred(&set);
        if (!name || H5Tget_class(set.type) != H5T_INTEGER)
            read_all(frame, &set, relay->sink, relay->context, error);
        else if (tess_h5_set_open(&categories, frame->h5, name, 0, error) == TESS_OK)
            read_categorical(relay, &set, &categories, error);
    }
    tess_free(name);
    tess_h5_set_release(&categories);
    tess_h5_set_release(&set);
    return error->code;
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
    struct relay relay = {frame, name, {0}, NULL, sink, context, error};
    char *path;

    if (listed < 0 && name == column)
        return refuse_column(frame, column, error);
    path = path_of(frame, name, NULL);
    if (!frame->compound && tess_h5_kind(frame->h5, path) == 2)
        read_group(&relay, error);
    else
        read_dataset(&relay, error);
    tess_free(path);
    tess_free(relay.missing);
    tess_strings_release(&relay.level);
    return error->code;
}
