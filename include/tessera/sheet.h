/* sheet.h -- a table of text that is written: it appears whole or not at all, or goes to standard
 * output. Local; of one rank.
 *
 * Fields are separated by tabs, in a file whose name ends in .csv by commas. One with a separator,
 * a quote or a line's end in it stands in quotes (RFC 4180). What cannot be written is noticed when
 * it is asked about, and when the sheet is finished. */
#ifndef TESSERA_SHEET_H
#define TESSERA_SHEET_H

#include "tessera/commit.h"

#include <stdint.h>
#include <stdio.h>

struct tess_error;

#define TESS_SHEET_PIPE "-" /* standard output */

struct tess_sheet {
    const char *path; /* NULL: standard output, or memory; borrowed */
    int memory; /* is it made in memory? */
    FILE *out;
    char between;
    int begun; /* has the line a field? */
    struct tess_commit commit;
};

/* May a sheet have this name? TESS_EUSAGE if there is none, or if it ends in another way than .tsv,
 * .txt or .csv and is not TESS_SHEET_PIPE; `what` begins the sentence. */
int tess_sheet_check(const char *path, const char *what, struct tess_error *error);
/* Of an output: is there one already that is not to be replaced? TESS_ECREATE. */
int tess_sheet_check_new(const char *path, int force, struct tess_error *error);
/* path NULL or TESS_SHEET_PIPE: standard output. TESS_ECREATE if it is there and not to be
 * replaced, or cannot be written. */
int tess_sheet_open(struct tess_sheet *sheet, const char *path, int force,
                    struct tess_error *error);
/* In memory: its text is at *text, own of the caller (free), once it is finished. */
int tess_sheet_open_memory(struct tess_sheet *sheet, char **text, size_t *n,
                           struct tess_error *error);
/* A field of the line: a text; a number that reads back as the same double (`single`: float), empty
 * if it is NaN. */
void tess_sheet_text(struct tess_sheet *sheet, const char *text);
void tess_sheet_count(struct tess_sheet *sheet, int64_t number);
void tess_sheet_number(struct tess_sheet *sheet, double number, int single);
void tess_sheet_end(struct tess_sheet *sheet); /* of the line */
/* A line of n texts: the names of the columns. */
void tess_sheet_head(struct tess_sheet *sheet, int n, const char *const *name);
/* TESS_EIO if what was written so far could not be: to notice it early, as when nobody reads a
 * pipe any more. */
int tess_sheet_check_written(const struct tess_sheet *sheet, struct tess_error *error);
/* TESS_EIO if what was written did not arrive. */
int tess_sheet_finish(struct tess_sheet *sheet, struct tess_error *error);
void tess_sheet_release(struct tess_sheet *sheet); /* zeroes are fine, and it may run twice */

#endif
