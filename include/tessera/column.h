/* column.h -- a metadata column: a text for each row. Local. */
#ifndef TESSERA_COLUMN_H
#define TESSERA_COLUMN_H

#include <stdint.h>

struct tess_error;
struct tess_strings;

/* The metadata column that holds the names of a table's columns of values. */
#define TESS_COLUMN_NAMES "@column"

/* code[row] into level[], -1 is missing. Numbers appear as their shortest text
 * ("10", "0.5"), booleans as "True" and "False". */
struct tess_column {
    int64_t n_levels;
    char **level; /* (n_levels) own */
    int32_t *code; /* (n_rows) own */
};
void tess_column_release(struct tess_column *column);

/* TESS_EDATA: "PATH: no metadata column NAME; there are: …" */
int tess_column_miss(const char *path, const char *name, const struct tess_strings *there,
                     struct tess_error *error);

#endif
