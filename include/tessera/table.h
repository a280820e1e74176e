/* table.h -- what the readers of text files share: delimited tables with a header, cells that must
 * be numbers, metadata symbols. Local. */
#ifndef TESSERA_TABLE_H
#define TESSERA_TABLE_H

#include "tessera/intern.h"
#include "tessera/lines.h"
#include "tessera/text.h"

#include <stdint.h>

struct tess_column;
struct tess_error;
struct tess_problems;
struct tess_source_options;

/* Symbols that come in runs or in the same order again and again, as files list them: most are
 * found by guessing what followed last time. */
struct tess_symbols {
    struct tess_intern intern;
    int32_t last;
    int32_t *next; /* (intern.n) what followed; own */
    size_t room;
};
/* Its number, in order of first appearance; -1 if it is missing (tess_number_is_missing). */
int32_t tess_symbols_add(struct tess_symbols *symbols, const struct tess_field *field);
/* `column` is zeroed and gets copies of the levels and of the n codes. */
void tess_symbols_column(const struct tess_symbols *symbols, int64_t n, const int32_t *code,
                         struct tess_column *column);
void tess_symbols_release(struct tess_symbols *symbols);

/* The cell as a value, NaN if it is missing. Infinity and everything that is no number is added to
 * `problems` (unless that is NULL) and gives NaN. */
float tess_field_value(const struct tess_field *field, struct tess_problems *problems,
                       const char *file, int64_t row, const char *column);
/* At most some 40 bytes of the text for a message, without control characters; own of the caller.
 */
char *tess_field_excerpt(const struct tess_field *field);

struct tess_table {
    struct tess_lines lines;
    char separator;            /* tab, comma or semicolon                              */
    int64_t header;            /* its line                                             */
    struct tess_strings name;  /* of the columns                                       */
    struct tess_field *field;  /* (name.n) of the current row; own                     */
    int64_t n_metadata;        /* columns that the options ask for, each once          */
    int64_t *metadata;         /* (n_metadata) column numbers; own                     */
    struct tess_symbols *code; /* (n_metadata) their symbols; own                      */
};

/* The names in the first bytes of a file: comments (`#`) and empty lines before the header are
 * skipped. Returns the separator; 0: none divides the header; -1: no text at all. */
int tess_table_recognize(const char *head, size_t n_head, struct tess_strings *name);

/* Reads the header and finds the metadata columns: those of the options for perturbation
 * (default `perturbation`), context (default `context`), everything else in
 * tess_source_options_wanted, and id_columns; with find_split also `split`, if it holds splits. */
int tess_table_open(struct tess_table *table, const char *path,
                    const struct tess_source_options *options, struct tess_error *error);
/* 1: `field` holds the next row; 0: no more; -1: error. Empty lines are skipped; rows with another
 * number of fields than the header are problems (unless that is NULL) and are skipped. */
int tess_table_next(struct tess_table *table, struct tess_problems *problems,
                    struct tess_error *error);
/* Back to the first row. */
int tess_table_rewind(struct tess_table *table, struct tess_error *error);
/* Number of the column so called, or -1. */
int64_t tess_table_find(const struct tess_table *table, const char *name);
/* TESS_EDATA: "PATH: no column NAME …; there are: …", with the option that names it. */
int tess_table_miss(const struct tess_table *table, const char *name, const char *option,
                    struct tess_error *error);
/* "long table, separated by commas, gzip"; own of the caller. */
char *tess_table_kind(const struct tess_table *table, const char *name);
void tess_table_release(struct tess_table *table);

/* TESS_EDATA: "PATH: no metadata column NAME; there are: …" */
int tess_column_miss(const char *path, const char *name, const struct tess_strings *there,
                     struct tess_error *error);

#endif
