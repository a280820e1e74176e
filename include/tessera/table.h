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

/* The cells that ought to be numbers, by column. What is text is gathered here until all of a
 * column has been seen: a column of text is one problem, not one for each cell. */
struct tess_cells {
    const struct tess_source_options *options; /* borrowed                      */
    const char *file;                          /* its name; borrowed            */
    const char *remedy;                        /* of a column of text; borrowed */
    int64_t n;
    char *numeric;                 /* (n) the column holds a number; own           */
    struct tess_cell_texts **text; /* (n) what is none; NULL: nothing; own         */
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
    int64_t key;               /* the column that --metadata is joined by, one of the metadata; -1:
                                  everything stands here                               */
    int indexed;      /* the first column has no name in the file, and is called `index`  */
    int begun;        /* a row has been read                                              */
    char *ragged;     /* what is wrong with the first line, while there is no row; own    */
    int64_t n_ragged; /* lines like it so far                                          */
};

/* The names in the first bytes of a file: comments (`#`) and empty lines before the header are
 * skipped. A nameless first column is called `index`, unless another is. Returns the separator; 0:
 * none divides the header; -1: no text at all. */
int tess_table_recognize(const char *head, size_t n_head, struct tess_strings *name);

/* Reads the header and finds the metadata columns: those of the options for perturbation
 * (default `perturbation`), context (default `context`), everything else in
 * tess_source_options_wanted, and id_columns; with find_split also `split`, if it holds a split;
 * with options->metadata also the column of ids. `place`: where it lies, see tess_lines_open. */
int tess_table_open(struct tess_table *table, const char *path, const char *place,
                    const struct tess_source_options *options, struct tess_error *error);
/* 1: `field` holds the next row; 0: no more; -1: error. Empty lines are skipped; rows with another
 * number of fields than the header are problems (unless that is NULL) and are skipped. If no line
 * at all has as many fields as the header, the first of them is the error. */
int tess_table_next(struct tess_table *table, struct tess_problems *problems,
                    struct tess_error *error);
/* Back to the first row. */
int tess_table_rewind(struct tess_table *table, struct tess_error *error);
/* Number of the column so called, or -1. */
int64_t tess_table_find(const struct tess_table *table, const char *name);
/* TESS_EDATA: "PATH: no column NAME …; there are: …", with the option that names it. */
int tess_table_miss(const struct tess_table *table, const char *name, const char *option,
                    struct tess_error *error);
/* The columns of values of a wide table: those that options->values names, or all that are neither
 * metadata nor a nameless index. `column` is (name.n), filled in; returns how many, or -1 and the
 * error: a name or pattern of the options that fits no column. */
int64_t tess_table_values(const struct tess_table *table, const struct tess_source_options *options,
                          int64_t *column, struct tess_error *error);
/* "long table, separated by commas, gzip"; own of the caller. */
char *tess_table_kind(const struct tess_table *table, const char *name);
void tess_table_release(struct tess_table *table);

/* TESS_EDATA: "PATH: no metadata column NAME; there are: …" */
int tess_column_miss(const char *path, const char *name, const struct tess_strings *there,
                     struct tess_error *error);

#endif
