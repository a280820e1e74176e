/* table.h -- a delimited table of text: its header, its metadata columns, row by row. Local. */
#ifndef TESSERA_TABLE_H
#define TESSERA_TABLE_H

#include "tessera/lines.h"
#include "tessera/symbols.h"
#include "tessera/text.h"

#include <stdint.h>

struct tess_error;
struct tess_problems;
struct tess_source_options;

struct tess_table {
    struct tess_lines lines;
    char separator; /* tab, comma or semicolon */
    int64_t header; /* its line */
    struct tess_strings name; /* of the columns */
    struct tess_field *field; /* (name.n) of the current row; own */
    int64_t n_metadata; /* columns that the options ask for, each once */
    int64_t *metadata; /* (n_metadata) column numbers; own */
    struct tess_symbols *code; /* (n_metadata) their symbols; own */
    /* the column that --metadata is joined by, one of the metadata; -1: everything stands here */
    int64_t key;
    int indexed; /* the first column has no name in the file, and is called `index` */
    int begun; /* a row has been read */
    char *ragged; /* what is wrong with the first line, while there is no row; own */
    int64_t n_ragged; /* lines like it so far */
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

#endif
