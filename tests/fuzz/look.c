/* look.c -- see look.h. */
#include "look.h"

#include "fuzz.h"

#include "tessera/error.h"
#include "tessera/source_open.h"

#define MOST 64 /* columns and rows that are looked at */

static void look_at_columns(struct tess_source *source, struct tess_error *error)
{
    for (size_t i = 0; i < source->column.n && i < MOST && error->code == TESS_OK; i++) {
        struct tess_column column = {0};

        if (tess_source_read_column(source, source->column.item[i], &column, error) == TESS_OK)
            for (int64_t row = 0; row < source->n_rows; row++)
                FUZZ_CHECK(column.code[row] < 0 || column.level[column.code[row]]);
        tess_column_release(&column);
    }
}

static void look_at_block(const struct tess_block *block, int64_t width)
{
    if (block->dense)
        return;
    for (int64_t i = 0; i < block->n; i++)
        for (int64_t k = block->indptr[i]; k < block->indptr[i + 1]; k++) {
            FUZZ_CHECK(block->index[k] >= 0 && block->index[k] < width);
            FUZZ_CHECK(k == block->indptr[i] || block->index[k - 1] < block->index[k]);
        }
}

static void look_at_values(struct tess_source *source, struct tess_problems *problems,
                           struct tess_error *error)
{
    struct tess_block block = {0};
    int64_t step = source->rows_at_once < 1 ? 1 : source->rows_at_once;

    for (int64_t first = 0; first < source->n_rows && error->code == TESS_OK; first += step) {
        step = step < source->n_rows - first ? step : source->n_rows - first;
        if (tess_source_read_rows(source, first, step, &block, problems, error) == TESS_OK) {
            FUZZ_CHECK(block.first == first && block.n == step);
            look_at_block(&block, source->n_readouts);
        }
    }
    tess_block_release(&block);
}

int fuzz_look_at_source(const char *path, const struct tess_source_options *options,
                        struct tess_problems *problems, struct tess_error *error)
{
    struct tess_source source = {0};

    if (tess_source_open(&source, path, options, problems, error) != TESS_OK)
        return error->code;
    FUZZ_CHECK((int64_t)source.readout.n == source.n_readouts);
    look_at_columns(&source, error);
    look_at_values(&source, problems, error);
    tess_source_release(&source);
    return error->code;
}
