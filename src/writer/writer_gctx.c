/* writer_gctx.c -- GCTX files (`.gctx`) as CMap's tools read them, cmapPy and cmapR. The matrix of
 * a GCTX is genes × profiles in their words, but lies in HDF5 as (profiles, genes): our rows are
 * the profiles (COL), our readouts the genes (ROW), a row is one stretch of the file.
 *
 * Metadata are texts of fixed length, or numbers: GCTX has no categories and no booleans; -666 is
 * missing. Notes, for which it has no place, are attributes of the root, by their paths; CMap's
 * tools read one of these, `version`. */
#include "kinds.h"

#include "writer_h5.h"
#include "writer_verify.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/h5_set.h"

#include <string.h>

#define MATRIX    "0/DATA/0/matrix"
#define MISSING   "-666"
#define MOST_TEXT 60000 /* bytes: HDF5 keeps an attribute in 64 KiB */

static const char *const groups[] = {
    [TESS_WRITER_ROWS] = "0/META/COL", [TESS_WRITER_READOUTS] = "0/META/ROW"};

static int open_gctx(struct tess_writer *writer, struct tess_error *error)
{
    struct tess_h5 *h5 = writer->state = TESS_NEW(struct tess_h5, 1);

    if (tess_h5_create(h5, writer->commit.aside, writer->comm, error) == TESS_OK &&
        tess_h5_write_string(h5, "/", "version", "GCTX1.0", error) == TESS_OK &&
        tess_h5_group(h5, groups[TESS_WRITER_ROWS], error) == TESS_OK)
        tess_h5_group(h5, groups[TESS_WRITER_READOUTS], error);
    return error->code;
}

static int64_t length_of(const struct tess_writer *writer, enum tess_writer_axis axis)
{
    return axis == TESS_WRITER_ROWS ? writer->n_rows : writer->n_readouts;
}

static int write_names(struct tess_writer *writer, enum tess_writer_axis axis,
                       const struct tess_writer_texts *name, struct tess_error *error)
{
    char *path = tess_format("%s/id", groups[axis]);

    tess_writer_h5_texts(writer, writer->state, path, name, error);
    tess_free(path);
    return error->code;
}

/* Codes as the texts that they stand for. */
struct spelled {
    const struct tess_writer_column *column;
    struct tess_writer_texts category;
};

static void make_spelled(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    const struct spelled *spelled = closure;
    int32_t *code = TESS_NEW(int32_t, n);

    tess_writer_column_take(spelled->column, first, n, sizeof *code, code);
    for (int64_t i = 0; i < n; i++) {
        TESS_BUG_IF(code[i] < -1 || code[i] >= spelled->category.n);
        if (code[i] < 0)
            memcpy(out + i * width, MISSING, strlen(MISSING));
        else
            tess_writer_texts_take(&spelled->category, code[i], 1, width, out + i * width);
    }
    tess_free(code);
}

static int write_codes(struct tess_writer *writer, const char *path, int64_t n,
                       const struct tess_writer_column *column, struct tess_error *error)
{
    struct spelled spelled = {column, tess_writer_texts_of(column)};
    int width = writer->rank == 0 ? tess_writer_texts_width(&spelled.category) : 0;
    int least = (int)strlen(MISSING);
    struct tess_writer_texts texts = {n, NULL, width > least ? width : least, make_spelled,
                                      &spelled};

    return tess_writer_h5_texts(writer, writer->state, path, &texts, error);
}

static void make_flags(const void *closure, int64_t first, int64_t n, void *out)
{
    uint8_t *flag = TESS_NEW(uint8_t, n);

    tess_writer_column_take(closure, first, n, 1, flag);
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)out)[i] = flag[i];
    tess_free(flag);
}

static void make_numbers(const void *closure, int64_t first, int64_t n, void *out)
{
    tess_writer_column_take(closure, first, n, 8, out); /* int64_t, double */
}

static int write_column(struct tess_writer *writer, enum tess_writer_axis axis,
                        const struct tess_writer_column *column, struct tess_error *error)
{
    struct tess_writer_items items = {length_of(writer, axis), H5T_NATIVE_INT32, make_flags,
                                      column};
    char *path = tess_format("%s/%s", groups[axis], column->name);

    if (column->type == TESS_WRITER_INTEGERS || column->type == TESS_WRITER_REALS) {
        items.type = column->type == TESS_WRITER_REALS ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
        items.make = make_numbers;
    }
    if (column->type == TESS_WRITER_CODES)
        write_codes(writer, path, items.n, column, error);
    else if (column->type == TESS_WRITER_WORDS)
        tess_writer_h5_texts(writer, writer->state, path, column->texts, error);
    else
        tess_writer_h5_items(writer, writer->state, path, &items, error);
    tess_free(path);
    return error->code;
}

/* Every rank writes the same attribute, and rank 0 alone has the text. */
static int write_texts(struct tess_writer *writer, const char *path,
                       const struct tess_writer_note *note, struct tess_error *error)
{
    char **text = TESS_NEW(char *, note->n);

    for (int64_t i = 0; i < note->n; i++) {
        text[i] = writer->rank == 0 ? tess_format("%.*s", MOST_TEXT / tess_int(note->n),
                                                  note->text[i] ? note->text[i] : "")
                                    : NULL;
        tess_broadcast_text(writer->comm, &text[i]);
    }
    if (note->type == TESS_WRITER_TEXTS)
        tess_h5_write_string_list(writer->state, "/", path, note->n, (const char *const *)text,
                                  error);
    else
        tess_h5_write_string(writer->state, "/", path, text[0], error);
    for (int64_t i = 0; i < note->n; i++)
        tess_free(text[i]);
    tess_free(text);
    return error->code;
}

static int write_note(struct tess_writer *writer, const char *path,
                      const struct tess_writer_note *note, struct tess_error *error)
{
    if (note->type != TESS_WRITER_NUMBER)
        return write_texts(writer, path, note, error);
    return tess_h5_write_attribute(writer->state, (struct tess_h5_attribute){"/", path},
                                   H5T_NATIVE_DOUBLE, 1, &note->number, error);
}

static int define_matrix(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                         struct tess_error *error)
{
    return tess_writer_h5_define(writer, writer->state, MATRIX, matrix, error);
}

static int settle(struct tess_writer *writer, struct tess_error *error)
{
    return tess_h5_settle(writer->state, error);
}

static int finish(struct tess_writer *writer, struct tess_error *error)
{
    return tess_h5_close(writer->state, error);
}

static void release(struct tess_writer *writer)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_h5 *h5 = writer->state;

    if (h5->path)
        tess_h5_close(h5, &ignored);
    tess_free(h5);
}

static int recognize(const struct tess_h5 *h5, struct tess_error *error)
{
    (void)error;
    return tess_h5_kind(h5, "0") == 2;
}

/* "a/b" of a text into {"a": {"b": text}}. */
static void add_note(json_t *notes, const char *path, const char *text)
{
    const char *slash = strchr(path, '/');
    char *key = slash ? tess_format("%.*s", (int)(slash - path), path) : tess_strdup(path);
    json_t *below = json_object_get(notes, key);

    if (slash && !json_is_object(below)) {
        below = json_object();
        json_object_set_new(notes, key, below);
    }
    if (slash)
        add_note(below, slash + 1, text);
    else
        json_object_set_new(notes, key, json_string(text));
    tess_free(key);
}

static json_t *read_notes(const char *path)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_strings name = {0};
    json_t *notes = json_object();

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, &ignored) == TESS_OK)
        tess_h5_list_attributes(&h5, "/", &name, &ignored);
    for (size_t i = 0; i < name.n; i++) {
        struct tess_error mine = TESS_ERROR_INIT;
        char *text = NULL; /* numbers are none */

        if (tess_h5_read_string(&h5, "/", name.item[i], &text, &mine) == TESS_OK && text)
            add_note(notes, name.item[i], text);
        tess_free(text);
    }
    tess_h5_close(&h5, &ignored);
    tess_h5_guard_finish();
    tess_strings_release(&name);
    return notes;
}

static json_t *describe(const char *path, struct tess_error *error)
{
    json_t *about = tess_writer_read_about(path, error);

    if (about)
        json_object_set_new(about, "uns", read_notes(path));
    return about;
}

static int verify(const struct tess_writer_look *look, struct tess_problems *problems,
                  struct tess_error *error)
{
    struct tess_error unknown = TESS_ERROR_INIT;
    struct tess_writer_look mine = *look;
    json_t *notes = read_notes(look->path);
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(look->path);
    if (tess_h5_open(&h5, look->path, MPI_COMM_NULL, 0, &unknown) == TESS_OK) {
        mine.gaps = tess_h5_has_attribute(&h5, "/", "missing");
        mine.predicted = tess_h5_has_attribute(&h5, "/", "model_hash");
    }
    tess_h5_close(&h5, &unknown);
    tess_h5_guard_finish();
    if (tess_writer_check_version(look->path, notes, error) == TESS_OK)
        tess_writer_read_back(&mine, problems, error);
    json_decref(notes);
    return error->code;
}

const struct tess_writer_type tess_writer_gctx = {
    .name = "GCTX",
    .ending = ".gctx",
    .parts = TESS_WRITER_PACKED,
    .open = open_gctx,
    .write_names = write_names,
    .write_column = write_column,
    .write_note = write_note,
    .define_matrix = define_matrix,
    .put_rows = tess_writer_h5_put_rows,
    .settle = settle,
    .finish = finish,
    .release = release,
    .recognize = recognize,
    .describe = describe,
    .verify = verify,
};
