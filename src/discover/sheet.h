/* sheet.h -- a table of text that appears whole or not at all, or goes to standard output. Local to
 * the folder; of one rank. */
#ifndef SHEET_H
#define SHEET_H

#include "tessera/commit.h"

#include <stdio.h>

struct tess_error;

struct tess_sheet {
    const char *path; /* NULL: standard output; borrowed */
    FILE *out;
    struct tess_commit commit;
};
/* TESS_ECREATE if it is there and not to be replaced, or cannot be written. */
int tess_sheet_open(struct tess_sheet *sheet, const char *path, int force,
                    struct tess_error *error);
/* TESS_EIO if what was written did not arrive. */
int tess_sheet_finish(struct tess_sheet *sheet, struct tess_error *error);
void tess_sheet_release(struct tess_sheet *sheet); /* zeroes are fine, and it may run twice */

#endif
