/* writer_h5.c -- what goes into an HDF5 file block by block: of 10⁸ rows no rank holds all names.
 */
#include "writer_h5.h"

#include "writer_deflated.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define BLOCKS      2 /* one is made, one is written */

/* Rank 0's part: made and put into the stream, which writes one block while the next is made. */
static void put_items(struct tess_writer *writer, int64_t place,
                      const struct tess_writer_items *items, size_t size, struct tess_error *error)
{
    int64_t room = size < BLOCK_BYTES ? (int64_t)(BLOCK_BYTES / size) : 1;
    char *blocks = TESS_NEW(char, (size_t)(BLOCKS * room) * size);
    int turn = 0;

    for (int64_t at = 0, n; at < items->n && error->code == TESS_OK; at += n) {
        char *block = blocks + (size_t)(turn++ % BLOCKS * room) * size;

        n = items->n - at < room ? items->n - at : room;
        tess_stream_wait(&writer->stream, block);
        memset(block, 0, (size_t)n * size);
        items->make(items->closure, at, n, block);
        tess_stream_put(&writer->stream, place + at * (int64_t)size, n * (int64_t)size, block,
                        error);
    }
    tess_stream_settle(&writer->stream, error);
    tess_free(blocks);
}

int tess_writer_h5_items(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                         const struct tess_writer_items *items, struct tess_error *error)
{
    int64_t place;

    if (tess_h5_define(h5, path, items->type, TESS_H5_LINE(items->n), error) != TESS_OK)
        return error->code;
    if (writer->rank == 0 && items->n > 0) {
        place = tess_h5_place(h5, path, items->type, error);
        if (place >= 0)
            put_items(writer, place, items, tess_h5_type_size(items->type), error);
    }
    return tess_h5_settle(h5, error);
}

struct tess_writer_texts tess_writer_texts_of(const struct tess_writer_column *column)
{
    if (column->texts)
        return *column->texts;
    return (struct tess_writer_texts){.n = column->n_categories, .text = column->category};
}

int tess_writer_texts_width(const struct tess_writer_texts *texts)
{
    size_t width = texts->text || texts->width < 1 ? 1 : (size_t)texts->width;

    for (int64_t i = 0; texts->text && i < texts->n; i++)
        width = strlen(texts->text[i]) > width ? strlen(texts->text[i]) : width;
    return tess_int((int64_t)width);
}

void tess_writer_texts_take(const struct tess_writer_texts *texts, int64_t first, int64_t n,
                            int width, char *out)
{
    if (!texts->text)
        texts->make(texts->closure, first, n, width, out);
    for (int64_t i = 0; texts->text && i < n; i++)
        memcpy(out + i * width, texts->text[first + i], strlen(texts->text[first + i]));
}

struct words {
    const struct tess_writer_texts *texts;
    int width;
};

static void make_words(const void *closure, int64_t first, int64_t n, void *out)
{
    const struct words *words = closure;

    tess_writer_texts_take(words->texts, first, n, words->width, out);
}

int tess_writer_h5_texts(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                         const struct tess_writer_texts *texts, struct tess_error *error)
{
    struct words words = {texts, writer->rank == 0 ? tess_writer_texts_width(texts) : 0};
    hid_t type;

    MPI_Bcast(&words.width, 1, MPI_INT, 0, writer->comm);
    type = tess_h5_string_type(words.width);
    tess_writer_h5_items(writer, h5, path,
                         &(struct tess_writer_items){texts->n, type, make_words, &words}, error);
    tess_h5_type_close(type);
    return error->code;
}

void tess_writer_column_take(const struct tess_writer_column *column, int64_t first, int64_t n,
                             size_t size, void *out)
{
    if (column->value)
        memcpy(out, (const char *)column->value + (size_t)first * size, (size_t)n * size);
    else
        column->make(column->closure, first, n, out);
}

int tess_writer_h5_define(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                          const struct tess_writer_matrix *matrix, struct tess_error *error)
{
    hid_t half = tess_h5_half_type(), type = matrix->element == TESS_WRITER_FLOAT16 ? half
                                             : matrix->element == TESS_WRITER_BYTES
                                                 ? H5T_NATIVE_UINT8
                                                 : H5T_NATIVE_FLOAT;
    int64_t n = writer->n_rows, row = matrix->n_columns, place;
    int is_column = matrix->layer && strncmp(matrix->layer, TESS_WRITER_OBS, 4) == 0;
    int is_deflated = writer->packing.level > 0 && !is_column;

    if (is_deflated && tess_h5_define(h5, path, type, TESS_H5_MATRIX(0, row), error) == TESS_OK)
        tess_deflated_note(writer, matrix, path, (int)tess_h5_type_size(type));
    else if (!is_deflated &&
             tess_h5_define(h5, path, type, is_column ? TESS_H5_LINE(n) : TESS_H5_MATRIX(n, row),
                            error) == TESS_OK) {
        place = tess_h5_place(h5, path, type, error);
        if (place >= 0)
            tess_writer_note_matrix(writer, matrix->layer, place,
                                    n * row * (int64_t)tess_h5_type_size(type));
    }
    tess_h5_type_close(half);
    return error->code;
}

/* By the stream, which needs no handle of HDF5. */
int tess_writer_h5_put_rows(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                            const void *value, struct tess_error *error)
{
    const struct tess_writer_place *matrix = tess_writer_find_matrix(writer, layer);
    int64_t row;

    TESS_BUG_IF(!matrix);
    if (matrix->chunk_rows > 0)
        return tess_deflated_put(writer, matrix, first, n, value, error);
    row = matrix->bytes / writer->n_rows;
    return tess_stream_put(&writer->stream, matrix->place + first * row, n * row, value, error);
}
