/* cells.h -- cells of a table of text that ought to be numbers. Local. */
#ifndef TESSERA_CELLS_H
#define TESSERA_CELLS_H

#include <stdint.h>

struct tess_field;
struct tess_problems;
struct tess_source_options;

/* The cells that ought to be numbers, by column. What is text is gathered here until all of a
 * column has been seen: a column of text is one problem, not one for each cell. */
struct tess_cells {
    const struct tess_source_options *options; /* borrowed */
    const char *file; /* its name; borrowed */
    const char *remedy; /* of a column of text; borrowed */
    int64_t n;
    char *numeric; /* (n) the column holds a number; own */
    struct tess_cell_texts **text; /* (n) what is none; NULL: nothing; own */
};
void tess_cells_init(struct tess_cells *cells, int64_t n, const char *file,
                     const struct tess_source_options *options, const char *remedy);
/* The cell of column 0 <= k < n as a value, NaN if it is missing. Everything that is no number
 * gives NaN; so does infinity, which is added to `problems` at once under the column's name. With
 * `problems` NULL the cell has been seen before, and nothing is gathered. */
float tess_cells_read(struct tess_cells *cells, int64_t k, const struct tess_field *field,
                      int64_t line, const char *name, struct tess_problems *problems);
/* Column k is complete: what was gathered becomes problems. `number` is its place in the file,
 * from 1. */
void tess_cells_report(struct tess_cells *cells, int64_t k, int64_t number, const char *name,
                       struct tess_problems *problems);
void tess_cells_release(struct tess_cells *cells);

#endif
