/* source.h -- an input file of any kind, seen as rows (cells, profiles, experiments) × readouts.
 *
 * Each kind (h5ad, gctx, gct, long, wide) fills one table of functions. Problems are collected, not
 * thrown: `check` prints all of them, `import` refuses with the first. Everything here is local. */
#ifndef TESSERA_SOURCE_H
#define TESSERA_SOURCE_H

#include "tessera/annotation.h"
#include "tessera/block.h"
#include "tessera/filter.h"
#include "tessera/text.h"

#include <stdint.h>
#include <stdio.h>

struct tess_error;
struct tess_spools;

/* What is wrong with the input, one line each: "file:row:column: what". */
struct tess_problems {
    int64_t n;     /* all that were found                                      */
    int64_t limit; /* kept and printed at most (0: all)                        */
    int go_on;     /* a file that cannot be read is one more, and the others are looked at    */
    struct tess_strings text; /* own                                           */
};
void tess_problems_add(struct tess_problems *problems, const char *file, int64_t row,
                       const char *column, const char *format, ...)
    __attribute__((format(printf, 5, 6))); /* row 0 or column NULL: no such place */
/* An error becomes a problem, and is none any more; one that is there already is not added again.
 */
void tess_problems_take(struct tess_problems *problems, struct tess_error *error);
void tess_problems_release(struct tess_problems *problems);

/* What the columns of a table's values are. */
enum tess_columns { TESS_COLUMNS_READOUT, TESS_COLUMNS_PERTURBATION, TESS_COLUMNS_CONTEXT };
/* The metadata column that holds the names of such columns. */
#define TESS_COLUMN_NAMES "@column"

struct tess_source_options {
    struct tess_strings perturbation, context; /* columns; several are joined with `_`        */
    struct tess_strings combine; /* columns whose symbols together are the perturbation, instead */
    const char *control_column;  /* true where a row is the control; or NULL                 */
    const char *split_column, *replicate; /* or NULL                                          */
    int find_split;                       /* without split_column: a column `split` of splits alone
                                             counts as one                                            */
    struct tess_filter *filter; /* which rows count; borrowed, or NULL                      */
    int filters_lines;    /* for tables: columns that it names are judged by line, no metadata  */
    const char *layer;    /* AnnData: layers/NAME (or `raw`) instead of X; or NULL             */
    const char *modality; /* MuData: the AnnData to be read; or NULL                           */
    const char *readout, *value; /* long form: column names (default so called); GCT: `readout` is
                                    the row metadata that names the readouts (default the id) */
    struct tess_strings id_columns; /* tables: further columns that are no readouts; patterns  */
    const char *metadata, *metadata_id; /* a table with more columns of the rows, and its
                                           column of ids; or NULL (annotation.h)               */
    int columns;                 /* tables: enum tess_columns                                   */
    struct tess_strings values;  /* wide tables: the columns of values, names or patterns       */
    struct tess_strings missing; /* tables: further cells that are missing values              */
    int infinite_missing;        /* infinite values are missing, no problems                   */
    struct tess_spools *spools;  /* copies of pipes, borrowed; NULL: pipes are refused         */
};

/* A metadata column that options ask for, and the option that names it ("--context"). */
struct tess_wanted {
    const char *name, *option; /* borrowed */
    int64_t condition;         /* of the filter, or -1 */
};
/* All of them, in the order of the options (id_columns left out, for these may be patterns), some
 * perhaps more than once. Returns their number; `wanted` is own of the caller. */
size_t tess_source_options_wanted(const struct tess_source_options *options,
                                  struct tess_wanted **wanted);

/* A metadata column: code[row] into level[], -1 is missing. Numbers appear as their shortest text
 * ("10", "0.5"), booleans as "True" and "False". */
struct tess_column {
    int64_t n_levels;
    char **level;  /* (n_levels) own */
    int32_t *code; /* (n_rows) own   */
};
void tess_column_release(struct tess_column *column);

struct tess_source;
struct tess_source_type {
    const char *name; /* "AnnData", "GCTX", "GCT", "matrix", "long table", "wide table"      */
    /* Is this file of that kind, by its content? Never fails: unreadable is "no". `head` holds the
     * first bytes, after decompression; the options say how a long table's columns are called. */
    int (*recognize)(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options);
    int (*open)(struct tess_source *source, const struct tess_source_options *options,
                struct tess_problems *problems, struct tess_error *error);
    /* `column` is zeroed; TESS_EDATA with the list of columns there are, if it is missing */
    int (*read_column)(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error);
    /* infinite and non-numeric values are problems (NaN is "missing") */
    int (*read_rows)(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error);
    void (*release)(struct tess_source *source);
};

struct tess_source {
    const struct tess_source_type *type; /* borrowed                                          */
    char *path;                          /* own                                               */
    const char *place;                   /* where it is opened: path, or a pipe's copy; borrowed */
    char *kind;   /* for people: "AnnData, dense float32", "GCT 1.3"; own                       */
    char *advice; /* a sentence: which other values one may rather want; own; or NULL         */
    int64_t n_rows, n_readouts;
    struct tess_strings readout; /* (n_readouts) distinct                                     */
    struct tess_strings column;  /* names of the metadata columns there are                   */
    struct tess_annotation annotation; /* further ones                                        */
    char *key;       /* the column that --metadata is joined by; own; NULL: `id`, or the first */
    int ragged;      /* unlisted places mean "not measured": panels follow from the data   */
    int skips_empty; /* ragged: a row that measures nothing is none                        */
    int64_t rows_at_once; /* a good number of rows to read at a time                          */
    int64_t *line;        /* (n_rows / rows_a_line) the line of the file that a row begins on; own;
                             NULL: it has no lines                                            */
    size_t room_line;
    int64_t *by_line;   /* (conditions of the filter) column of each that was judged by line, -1: is
                           to   be judged by row; own; NULL: all are */
    int64_t n_unwanted; /* lines that were left out so */
    const int8_t *left_out; /* (n_rows) 1: nobody asks what the row's values are, and bad ones are
                               no problem; borrowed; NULL: all count                          */
    int64_t rows_a_line;    /* so many rows in a row begin on the same line; 0: one              */
    const struct tess_source_options *options; /* borrowed                                    */
    void *state; /* the kind's own                                                            */
};

extern const struct tess_source_type tess_source_h5ad, tess_source_gctx, tess_source_gct,
    tess_source_matrix, tess_source_long, tess_source_wide;

/* Why nobody can read a file that begins like this: a sentence's end ("is a web page, …"), or NULL.
 * `packed`: these bytes came out of gzip. */
const char *tess_source_foreign(const char *head, size_t n_head, int packed);

/* Opens a file as what its content says it is. TESS_EDATA with what was expected otherwise: a file
 * whose name promises another kind is told so ("named .gctx but holds GCT text"). */
int tess_source_open(struct tess_source *source, const char *path,
                     const struct tess_source_options *options, struct tess_problems *problems,
                     struct tess_error *error);
int tess_source_read_column(struct tess_source *source, const char *name,
                            struct tess_column *column, struct tess_error *error);
/* Is there such a metadata column, of its own or of the annotation? */
int tess_source_has_column(const struct tess_source *source, const char *name);
int tess_source_read_rows(struct tess_source *source, int64_t first, int64_t n,
                          struct tess_block *block, struct tess_problems *problems,
                          struct tess_error *error);
void tess_source_release(struct tess_source *source);

/* TESS_EDATA if the file is empty, a folder, or plainly no table of text. */
int tess_source_check_text(const char *path, const char *place, struct tess_error *error);

/* For kinds that read text: the line of the next row. */
void tess_source_add_line(struct tess_source *source, int64_t row, int64_t line);
/* The number by which people find a row: its line, or counted from 1. */
int64_t tess_source_place(const struct tess_source *source, int64_t row);

#endif
