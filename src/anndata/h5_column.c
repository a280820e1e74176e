/* h5_column.c -- plain, nullable and categorical columns, as the texts of their rows. */
#include "tessera/h5_column.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <string.h>

#define PIECE ((int64_t)1 << 16) /* rows whose mask or codes are in memory at a time */
/* Categories that no row has are usual (of a part of a larger file), and all are read; but so many
 * more than there are rows are a damaged file's claim. */
#define UNUSED_CATEGORIES ((int64_t)1 << 24)

/* A sink that hands on texts under the numbers of rows, without those that are masked. */
struct relay {
    tess_text_sink *sink;
    void *context;
    int64_t given, wanted; /* number of a text as it comes, and as it is handed on */
    const int8_t *mask; /* of the texts of this piece, or NULL */
};

/* Categories in memory. */
struct levels {
    struct tess_strings text; /* own */
    char *missing; /* own */
};

static int open_line(struct tess_h5_set *set, const struct tess_h5 *h5, const char *name,
                     struct tess_error *error)
{
    if (tess_h5_set_open(set, h5, name, 0, error) == TESS_OK && set->n_dims != 1)
        tess_error_set(error, TESS_EDATA, "%s: %s: has %d dimensions where 1 belongs", h5->path,
                       name, set->n_dims);
    return error->code;
}

static int is_open(const struct tess_h5_set *set)
{
    return set->name != NULL;
}

/* A dataset, or a group of values and mask: what a column holds but for codes. */
static int open_values(struct tess_h5_column *column, const struct tess_h5 *h5, const char *name,
                       struct tess_error *error)
{
    char *values = tess_format("%s/values", name), *mask = tess_format("%s/mask", name);

    if (tess_h5_kind(h5, name) != 2)
        open_line(&column->value, h5, name, error);
    else if (tess_h5_kind(h5, values) != 1)
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: is neither a plain, a categorical nor a nullable column", h5->path,
                       name);
    else if (open_line(&column->value, h5, values, error) == TESS_OK && tess_h5_kind(h5, mask) &&
             open_line(&column->mask, h5, mask, error) == TESS_OK &&
             column->mask.shape[0] != column->value.shape[0])
        tess_error_set(error, TESS_EDATA,
                       "%s: %s: has %" PRId64 " values but a mask of %" PRId64
                       ": the file is damaged",
                       h5->path, name, column->value.shape[0], column->mask.shape[0]);
    tess_free(mask);
    tess_free(values);
    return error->code;
}

static int check_codes(const struct tess_h5_column *column, struct tess_error *error)
{
    if (tess_h5_set_class(&column->code) == TESS_H5_INTEGER)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA, "%s: %s: codes are no integers", column->code.h5->path,
                          column->code.name);
}

static int check_categories(const struct tess_h5_column *column, struct tess_error *error)
{
    int64_t n = column->value.shape[0], rows = column->code.shape[0];

    if (n <= UNUSED_CATEGORIES || n - UNUSED_CATEGORIES <= rows)
        return TESS_OK;
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s: claims %" PRId64 " categories for %" PRId64
                          " rows: the file is damaged",
                          column->value.h5->path, column->value.name, n, rows);
}

int tess_h5_column_open(struct tess_h5_column *column, const struct tess_h5 *h5, const char *name,
                        struct tess_error *error)
{
    char *codes = tess_format("%s/codes", name), *categories = tess_format("%s/categories", name);

    *column = (struct tess_h5_column){0};
    if (tess_h5_kind(h5, name) == 2 && tess_h5_kind(h5, codes) == 1) {
        if (open_line(&column->code, h5, codes, error) == TESS_OK &&
            check_codes(column, error) == TESS_OK &&
            open_values(column, h5, categories, error) == TESS_OK)
            check_categories(column, error);
    } else
        open_values(column, h5, name, error);
    if (error->code == TESS_OK)
        column->n = is_open(&column->code) ? column->code.shape[0] : column->value.shape[0];
    tess_free(categories);
    tess_free(codes);
    return error->code;
}

int tess_h5_column_refer(struct tess_h5_column *column, const char *categories,
                         struct tess_error *error)
{
    TESS_BUG_IF(is_open(&column->code) || is_open(&column->mask));
    column->code = column->value;
    column->value = (struct tess_h5_set){0};
    if (check_codes(column, error) == TESS_OK &&
        open_values(column, column->code.h5, categories, error) == TESS_OK)
        check_categories(column, error);
    return error->code;
}

void tess_h5_column_release(struct tess_h5_column *column)
{
    tess_h5_set_release(&column->value);
    tess_h5_set_release(&column->mask);
    tess_h5_set_release(&column->code);
    *column = (struct tess_h5_column){0};
}

static void pass(void *context, int64_t i, const char *text)
{
    struct relay *relay = context;

    i -= relay->given;
    relay->sink(relay->context, relay->wanted + i, relay->mask && relay->mask[i] ? NULL : text);
}

static int read_values(const struct tess_h5_column *column, int64_t first, int64_t n,
                       tess_text_sink *sink, void *context, struct tess_error *error)
{
    int masked = is_open(&column->mask);
    int64_t step = masked && n > PIECE ? PIECE : n;
    int8_t *mask = masked ? TESS_NEW(int8_t, step) : NULL;

    for (int64_t at = 0; at < n && error->code == TESS_OK; at += step) {
        int64_t take = n - at < step ? n - at : step;
        struct relay relay = {sink, context, first + at, at, mask};

        if (!masked || tess_h5_set_read(&column->mask, H5T_NATIVE_INT8, (int64_t[2]){first + at, 0},
                                        (int64_t[2]){take, 1}, mask, error) == TESS_OK)
            tess_h5_set_texts(&column->value, first + at, take, pass, &relay, error);
    }
    tess_free(mask);
    return error->code;
}

static void take_level(void *context, int64_t i, const char *text)
{
    struct levels *levels = context;

    levels->missing[i] = !text;
    tess_strings_add(&levels->text, text ? text : "");
}

static int refuse_code(const struct tess_h5_column *column, int64_t row, int64_t code,
                       struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s: row %" PRId64 " has code %" PRId64 " of %" PRId64
                          " categories: the file is damaged",
                          column->code.h5->path, column->code.name, row + 1, code,
                          column->value.shape[0]);
}

static int read_codes(const struct tess_h5_column *column, int64_t first, int64_t n, int64_t *code,
                      struct tess_error *error)
{
    if (tess_h5_set_read(&column->code, H5T_NATIVE_INT64, (int64_t[2]){first, 0},
                         (int64_t[2]){n, 1}, code, error) != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < n; i++)
        if (code[i] < -1 || code[i] >= column->value.shape[0])
            return refuse_code(column, first + i, code[i], error);
    return TESS_OK;
}

/* All categories are held in memory, and read anew for each call: callers ask for all rows at once,
 * or for one (below). */
static int read_categorical(const struct tess_h5_column *column, int64_t first, int64_t n,
                            tess_text_sink *sink, void *context, struct tess_error *error)
{
    int64_t step = n < PIECE ? n : PIECE, *code = TESS_NEW(int64_t, step);
    struct levels levels = {{0}, TESS_NEW(char, column->value.shape[0])};

    read_values(column, 0, column->value.shape[0], take_level, &levels, error);
    for (int64_t at = 0; at < n && error->code == TESS_OK; at += step) {
        int64_t take = n - at < step ? n - at : step;

        if (read_codes(column, first + at, take, code, error) == TESS_OK)
            for (int64_t i = 0; i < take; i++)
                sink(context, at + i,
                     code[i] < 0 || levels.missing[code[i]] ? NULL : levels.text.item[code[i]]);
    }
    tess_strings_release(&levels.text);
    tess_free(levels.missing);
    tess_free(code);
    return error->code;
}

int tess_h5_column_texts(const struct tess_h5_column *column, int64_t first, int64_t n,
                         tess_text_sink *sink, void *context, struct tess_error *error)
{
    int64_t code = 0;

    if (!is_open(&column->code))
        return read_values(column, first, n, sink, context, error);
    if (n != 1)
        return read_categorical(column, first, n, sink, context, error);
    if (read_codes(column, first, 1, &code, error) != TESS_OK) /* one row: only its category */
        return error->code;
    if (code >= 0)
        return read_values(column, code, 1, sink, context, error);
    sink(context, 0, NULL);
    return TESS_OK;
}

static void copy_text(void *context, int64_t i, const char *text)
{
    (void)i;
    tess_free(*(char **)context);
    *(char **)context = tess_strdup(text ? text : "");
}

char *tess_h5_column_text(const struct tess_h5_column *column, int64_t row)
{
    struct tess_error unused = TESS_ERROR_INIT;
    char *text = tess_strdup("");

    tess_h5_column_texts(column, row, 1, copy_text, &text, &unused);
    return text;
}
