/* source.h -- an input file of any kind, seen as rows (cells, profiles, experiments) × readouts.
 *
 * Each kind (h5ad, gctx, gct, matrix, long, wide) fills one table of functions. Problems are
 * collected, not thrown: `check` prints all of them, `import` refuses with the first. Everything
 * here is local. */
#ifndef TESSERA_SOURCE_H
#define TESSERA_SOURCE_H

#include "tessera/annotation.h"
#include "tessera/block.h"
#include "tessera/column.h"
#include "tessera/filter.h"
#include "tessera/problems.h"
#include "tessera/source_options.h"
#include "tessera/text.h"

#include <stdint.h>
#include <stdio.h>

struct tess_error;

struct tess_source;
struct tess_source_type {
    const char *name; /* "AnnData", "GCTX", "GCT", "matrix", "long table", "wide table" */
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
    const struct tess_source_type *type; /* borrowed */
    char *path; /* own */
    const char *place; /* where it is opened: path, or a pipe's copy; borrowed */
    char *kind; /* for people: "AnnData, dense float32", "GCT 1.3"; own */
    char *advice; /* a sentence: which other values one may rather want; own; or NULL */
    int64_t n_rows, n_readouts;
    struct tess_strings readout; /* (n_readouts) distinct */
    struct tess_strings column; /* names of the metadata columns there are */
    struct tess_annotation annotation; /* further ones */
    char *key; /* the column that --metadata is joined by; own; NULL: `id`, or the first */
    int ragged; /* unlisted places mean "not measured": panels follow from the data */
    int skips_empty; /* ragged: a row that measures nothing is none */
    int64_t rows_at_once; /* a good number of rows to read at a time */
    /* (n_rows / rows_a_line) the line of the file that a row begins on; own; NULL: it has no lines
     */
    int64_t *line;
    size_t room_line;
    /* (conditions of the filter) column of each that was judged by line; -1: it is to be judged by
     * row; own; NULL: all are */
    int64_t *by_line;
    int64_t n_unwanted; /* lines that were left out so */
    /* (n_rows) not 0: nobody asks what the row's values are, and bad ones are no problem; borrowed;
     * NULL: all count */
    const int8_t *left_out;
    int64_t rows_a_line; /* so many rows in a row begin on the same line; 0: one */
    const struct tess_source_options *options; /* borrowed */
    void *state; /* the kind's own */
};

#define TESS_SOURCE_HEAD 65536 /* bytes at the beginning of a file by which its kind is told */

/* The first bytes of the file at `place`, decompressed, into head (TESS_SOURCE_HEAD bytes);
 * *packed: they came out of gzip. Returns how many; 0 and TESS_EDATA, naming `path`, if it cannot
 * be read. */
size_t tess_source_peek(const char *path, const char *place, char *head, int *packed,
                        struct tess_error *error);
/* Why nobody can read a file that begins like this: a sentence's end ("is a web page, …"), or NULL.
 * `packed`: these bytes came out of gzip. */
const char *tess_source_foreign(const char *head, size_t n_head, int packed);

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

/* HDF5's errors name the place that was opened, which may be a pipe's copy: names the path instead.
 * Returns the error's code. */
int tess_source_name_error(const struct tess_source *source, struct tess_error *error);

/* For kinds that read text: the line of the next row. */
void tess_source_add_line(struct tess_source *source, int64_t row, int64_t line);
/* The number by which people find a row: its line, or counted from 1. */
int64_t tess_source_place(const struct tess_source *source, int64_t row);

#endif
