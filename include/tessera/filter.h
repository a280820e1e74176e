/* filter.h -- which rows of a source count: conditions on its metadata columns. Local. */
#ifndef TESSERA_FILTER_H
#define TESSERA_FILTER_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_error;
struct tess_source;

/* "COLUMN=VALUE,VALUE": does the column hold one of the values? A value may be a shell pattern, or
 * @FILE, a file with a value a line; none at all means "missing". */
struct tess_condition {
    int keep;                  /* rows that meet it are kept, else they are left out */
    char *column;              /* own                                                */
    struct tess_strings value; /* own                                                */
    char *met;                 /* (value.n or 1) by a row of any source so far; own  */
};
struct tess_filter {
    size_t n, room;
    struct tess_condition *item; /* own */
};

/* Reads one condition. TESS_EUSAGE if it is none, TESS_EDATA if its file cannot be read. */
int tess_filter_add(struct tess_filter *filter, int keep, const char *text,
                    struct tess_error *error);
/* out[row] becomes 1 for the rows that do not meet every condition to keep, or meet one to drop;
 * other places of `out` (n_rows of the source) stay. TESS_EDATA if a column is not there. */
int tess_filter_apply(struct tess_filter *filter, struct tess_source *source, int8_t *out,
                      struct tess_error *error);
/* The values that no row of any source had, as "--keep 'guide=A'"; adds to `unmet`. */
void tess_filter_unmet(const struct tess_filter *filter, struct tess_strings *unmet);
void tess_filter_release(struct tess_filter *filter);

#endif
