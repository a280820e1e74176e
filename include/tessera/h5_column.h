/* h5_column.h -- one column of an AnnData table (or its index, or a list of names) in any encoding.
 *
 * Understood are a plain dataset (text of fixed or variable length, numbers, booleans), a nullable
 * one (a group of `values` and, where something is missing, `mask`), and a categorical one (a group
 * of `codes` and `categories`, which may be nullable in turn). Local. */
#ifndef TESSERA_H5_COLUMN_H
#define TESSERA_H5_COLUMN_H

#include "tessera/h5_set.h"

struct tess_h5_column {
    int64_t n; /* rows */
    struct tess_h5_set value; /* the texts: of the rows, or of the categories; own */
    struct tess_h5_set mask; /* which of them are missing; own; unopened: none */
    struct tess_h5_set code; /* (n) numbers of categories; own; unopened: not categorical */
};

/* TESS_EDATA if there is no such element, or it is none of the three. */
int tess_h5_column_open(struct tess_h5_column *column, const struct tess_h5 *h5, const char *name,
                        struct tess_error *error);
/* An open plain column of integers was one of codes: what they mean is the element `categories`. */
int tess_h5_column_refer(struct tess_h5_column *column, const char *categories,
                         struct tess_error *error);
/* Rows [first, first + n) in order as text number 0 …; NULL: missing. */
int tess_h5_column_texts(const struct tess_h5_column *column, int64_t first, int64_t n,
                         tess_text_sink *sink, void *context, struct tess_error *error);
/* The text of one row for a message, "" if it has none or cannot be read; own of the caller. */
char *tess_h5_column_text(const struct tess_h5_column *column, int64_t row);
/* A zeroed or released one may be released again. */
void tess_h5_column_release(struct tess_h5_column *column);

#endif
