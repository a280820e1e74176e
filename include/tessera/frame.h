/* frame.h -- a table of an AnnData file (`obs`, `var`), read column by column as text.
 *
 * Columns, and the index like them, have the encodings of today (h5_column.h) or those of old
 * files: a dataset of codes that refers to `__categories`; codes with `uns/NAME_categories`, before
 * anndata 0.7. Local. */
#ifndef TESSERA_FRAME_H
#define TESSERA_FRAME_H

#include "tessera/h5_column.h"

struct tess_frame {
    const struct tess_h5 *h5; /* borrowed */
    char *name; /* "obs"; own */
    char *index; /* name of the index's dataset or field; own */
    int compound; /* one dataset with a field per column (anndata < 0.7) */
    int64_t n; /* rows */
    struct tess_strings column; /* names, the index first (called "index" if it is "_index") */
};

int tess_frame_open(struct tess_frame *frame, const struct tess_h5 *h5, const char *name,
                    struct tess_error *error);
/* Every row of a column in order; NULL text: missing. "index" is the index, unless a column has
 * that name. TESS_EDATA with the columns there are, if there is none of that name. */
int tess_frame_texts(const struct tess_frame *frame, const char *column, tess_text_sink *sink,
                     void *context, struct tess_error *error);
/* The index, to be read in parts; released by the caller. */
int tess_frame_open_index(const struct tess_frame *frame, struct tess_h5_column *column,
                          struct tess_error *error);
void tess_frame_release(struct tess_frame *frame);

#endif
