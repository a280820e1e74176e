/* source.c -- tables of values as text: GCT, long and wide tables, matrices, told by content. The
 * first byte chooses options. FUZZ_TABLE is the file's name. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/source_open.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

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

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_source_options options = {.find_split = !(chosen & 1),
                                          .infinite_missing = (chosen & 2) != 0,
                                          .columns = (int)(chosen >> 2 & 3) % 3};
    struct tess_problems problems = {.limit = 20};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_source source = {0};

    if (chosen & 16)
        tess_strings_add(&options.missing, "-666");
    if (chosen & 32)
        tess_strings_add(&options.values, "*x*");
    if (chosen & 64)
        tess_strings_add(&options.id_columns, "id*");
    if (chosen & 128)
        tess_strings_add(&options.context, "cell");
    if (tess_source_open(&source, fuzz_file(FUZZ_TABLE, data, n), &options, &problems, &error) ==
        TESS_OK) {
        FUZZ_CHECK((int64_t)source.readout.n == source.n_readouts);
        look_at_columns(&source, &error);
        look_at_values(&source, &problems, &error);
        tess_source_release(&source);
    }
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, FUZZ_TABLE);
    tess_problems_release(&problems);
    tess_strings_release(&options.missing);
    tess_strings_release(&options.values);
    tess_strings_release(&options.id_columns);
    tess_strings_release(&options.context);
}
