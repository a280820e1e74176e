/* filter.h -- which rows of a source count: conditions on its metadata columns. Local. */
#ifndef TESSERA_FILTER_H
#define TESSERA_FILTER_H

#include "tessera/intern.h"
#include "tessera/text.h"

#include <stdint.h>

struct tess_error;
struct tess_source;
struct tess_table;

/* "COLUMN=VALUE,VALUE": does the column hold one of the values? A value may be a shell pattern, or
 * @FILE, a file with a value a line (no patterns); the whole text counts as a value, too, for names
 * hold commas; none at all means "missing", as -666 does in the column (CMap). */
struct tess_condition {
    int keep; /* rows that meet it are kept, else they are left out */
    char *column; /* own */
    struct tess_strings value; /* the whole text first; own */
    char *literal, *met; /* (value.n) no pattern; met by a row of any source so far; own */
    int met_missing; /* by a row without a value */
    struct tess_intern seen; /* texts that were judged; own */
    char *verdict; /* (seen.n) own */
    size_t room_verdict;
};
struct tess_filter {
    size_t n, room;
    struct tess_condition *item; /* own */
};

/* Reads one condition. TESS_EUSAGE if it is none, TESS_EDATA if its file cannot be read. */
int tess_filter_add(struct tess_filter *filter, int keep, const char *text,
                    struct tess_error *error);
/* Where lines are no rows: the conditions on columns of the table are judged by line. column[i]:
 * that of condition i, or -1 (it is judged by row); own of the caller. */
int64_t *tess_filter_columns(const struct tess_filter *filter, const struct tess_table *table);
/* Does the line in hand stay? */
int tess_filter_keeps_line(struct tess_filter *filter, const int64_t *column,
                           const struct tess_table *table);
/* out[row] becomes 1 for the rows that do not meet every condition to keep, or meet one to drop;
 * other places of `out` (n_rows of the source) stay. Conditions that source->by_line names are
 * left out. TESS_EDATA if a column is not there. */
int tess_filter_apply(struct tess_filter *filter, struct tess_source *source, int8_t *out,
                      struct tess_error *error);
/* The values that no row of any source had, as "--keep 'guide=A'"; adds to `unmet`. */
void tess_filter_unmet(const struct tess_filter *filter, struct tess_strings *unmet);
void tess_filter_release(struct tess_filter *filter);

#endif
