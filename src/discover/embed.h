/* embed.h -- what the parts of `embed` share. Local to the folder. */
#ifndef DISCOVER_EMBED_H
#define DISCOVER_EMBED_H

#include "vectors.h"

#include "tessera/embed.h"

struct tess_writer;

/* The rows of the file: those of the three tables, one after the other. */
struct tess_embed_rows {
    const struct tess_model *model; /* borrowed */
    int64_t n, first[TESS_N_TABLES + 1]; /* rows in all; where each table begins */
};
struct tess_embed_rows tess_embed_rows_of(const struct tess_model *model);

/* Names of rows and columns, and what is known of the rows: symbol, table, type, target, trained,
 * and training experiments where the store that the model was trained on can be read. width: of X.
 * Collective over the writer's
 * communicator. */
int tess_embed_write_labels(const struct tess_embed_rows *rows, int64_t width,
                            struct tess_writer *file, struct tess_error *error);

#endif
