/* source_h5.c -- the shared part of reading AnnData and GCTX. */
#include "source_h5.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BLOCK_BYTES    ((int64_t)64 << 20)
#define NAMED_PROBLEMS 1000 /* beyond that rows are not looked up by name any more */

void tess_source_h5_column_init(struct tess_source_h5_column *made, int64_t n_rows)
{
    *made = (struct tess_source_h5_column){.code = TESS_NEW(int32_t, n_rows)};
    memset(made->code, -1, (size_t)n_rows * sizeof made->code[0]);
}

void tess_source_h5_column_sink(void *context, int64_t i, const char *text)
{
    struct tess_source_h5_column *made = context;
    struct tess_field field = {(char *)(uintptr_t)text, text ? strlen(text) : 0};

    if (text && !(made->missing && strcmp(text, made->missing) == 0))
        made->code[i] = tess_symbols_add(&made->symbols, &field);
}

void tess_source_h5_column_finish(struct tess_source_h5_column *made, int64_t n_rows,
                                  struct tess_column *column)
{
    if (column)
        tess_symbols_column(&made->symbols, n_rows, made->code, column);
    tess_free(made->code);
    tess_symbols_release(&made->symbols);
    *made = (struct tess_source_h5_column){0};
}

/* A name that repeats gets a number behind it until it is distinct: later steps count on that. */
void tess_source_h5_readout_sink(void *context, int64_t i, const char *text)
{
    struct tess_source_h5_readouts *made = context;
    const char *name = text ? text : "";
    char *other = NULL;
    int64_t known = tess_intern_find(&made->intern, name, strlen(name));

    if (!name[0])
        tess_problems_add(made->problems, made->source->path, 0, NULL,
                          "readout number %" PRId64 " has no name", i + 1);
    else if (known >= 0)
        tess_problems_add(made->problems, made->source->path, 0, NULL,
                          "readout '%s' appears twice, as number %" PRId64 " and %" PRId64
                          ": rename or drop one of them",
                          name, known + 1, i + 1);
    for (int64_t k = i + 1; !name[0] || tess_intern_find(&made->intern, name, strlen(name)) >= 0;
         k++) {
        tess_free(other);
        name = other = tess_format("%s (%" PRId64 ")", text ? text : "", k);
    }
    tess_intern_add(&made->intern, name, strlen(name));
    tess_strings_add(&made->source->readout, name);
    tess_free(other);
}

static void report(const struct tess_source *source, const struct tess_h5_column *id, int64_t row,
                   int64_t readout, struct tess_problems *problems)
{
    char *name = problems->n < NAMED_PROBLEMS ? tess_h5_column_text(id, row) : tess_strdup("");

    tess_problems_add(problems, source->path, row + 1, source->readout.item[readout],
                      "is infinite, or too large for single precision%s%s%s",
                      name[0] ? " (row '" : "", name, name[0] ? "')" : "");
    tess_free(name);
}

void tess_source_h5_check(const struct tess_source *source, const struct tess_h5_column *id,
                          struct tess_block *block, struct tess_problems *problems)
{
    for (int64_t i = 0; i < block->n; i++) {
        int64_t from = block->dense ? i * source->n_readouts : block->indptr[i];
        int64_t to = block->dense ? from + source->n_readouts : block->indptr[i + 1];
        float *value = block->dense ? block->dense : block->data;

        for (int64_t k = from; k < to; k++) {
            int64_t row = block->first + i;

            if (!isinf(value[k]))
                continue;
            if (!source->options->infinite_missing && (!source->left_out || !source->left_out[row]))
                report(source, id, row, block->dense ? k - from : block->index[k], problems);
            value[k] = NAN;
        }
    }
}

/* Whole chunks: a part of one would be unpacked for this block and again for the next. */
int64_t tess_source_h5_rows_at_once(int64_t row_bytes, int64_t chunk, int64_t n_rows)
{
    int64_t n = BLOCK_BYTES / (row_bytes > 0 ? row_bytes : 1);

    if (chunk > 0 && chunk < n_rows)
        n = n > chunk ? n / chunk * chunk : n;
    if (n > n_rows)
        n = n_rows;
    return n > 0 ? n : 1;
}

void tess_source_h5_make_dense(const struct tess_source *source, int64_t first, int64_t n,
                               struct tess_block *block)
{
    block->first = first;
    block->n = n;
    block->dense = tess_grow(block->dense, &block->room_dense,
                             (size_t)n * (size_t)source->n_readouts + 1, sizeof(float));
}
