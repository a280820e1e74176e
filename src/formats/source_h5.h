/* source_h5.h -- what the HDF5 kinds of source (AnnData, GCTX) share: metadata columns out of
 * texts, readout names, infinite values. Local. */
#ifndef SOURCE_H5_H
#define SOURCE_H5_H

#include "tessera/h5_column.h"
#include "tessera/intern.h"
#include "tessera/source.h"
#include "tessera/table.h"

/* Gathers a column; the sink takes one text a row, in any order. Missing are NULL and what
 * tess_number_is_missing calls so: "", "NA", "nan", … */
struct tess_source_h5_column {
    struct tess_symbols symbols;
    int32_t *code; /* own */
    const char *missing; /* one more text that means it; or NULL */
};
void tess_source_h5_column_init(struct tess_source_h5_column *made, int64_t n_rows);
tess_text_sink tess_source_h5_column_sink;
/* Moves what was gathered into `column` (NULL: throws it away) and releases the rest. */
void tess_source_h5_column_finish(struct tess_source_h5_column *made, int64_t n_rows,
                                  struct tess_column *column);

/* Gathers readout names into source->readout. Names that repeat or are empty are problems; they
 * get another, distinct name, so that checking can go on. */
struct tess_source_h5_readouts {
    struct tess_source *source; /* borrowed */
    struct tess_problems *problems; /* borrowed */
    struct tess_intern intern;
};
tess_text_sink tess_source_h5_readout_sink;

/* Infinite values of a block become problems (with the row's name from `id`) and then NaN. */
void tess_source_h5_check(const struct tess_source *source, const struct tess_h5_column *id,
                          struct tess_block *block, struct tess_problems *problems);

/* Rows to read at a time: whole chunks of `chunk` rows, about 64 MiB of `row_bytes` each. */
int64_t tess_source_h5_rows_at_once(int64_t row_bytes, int64_t chunk, int64_t n_rows);

/* Room for a dense block of n rows. */
void tess_source_h5_make_dense(const struct tess_source *source, int64_t first, int64_t n,
                               struct tess_block *block);

#endif
