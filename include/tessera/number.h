/* number.h -- decimal text to numbers, fast and exact. Local. */
#ifndef TESSERA_NUMBER_H
#define TESSERA_NUMBER_H

#include <stddef.h>

/* What a cell of a data file holds. */
enum tess_number {
    TESS_NUMBER_FINITE,
    TESS_NUMBER_MISSING, /* empty, NA, N/A, #N/A, [+-]NaN, <NA>, null, none, in any case */
    TESS_NUMBER_INFINITE, /* inf in any form, or too large for single precision */
    TESS_NUMBER_NONE, /* no number */
};

/* [sign] digits [. digits] [e [sign] digits], all of the n bytes: 1 and the very double that strtod
 * gives (overflow: infinity), or 0 if the text is anything else. */
int tess_number_parse(const char *text, size_t n, double *x);

/* A cell, blanks around it left out. *x is the nearest double rounded to float; NaN if it is
 * missing or no number, infinity if it is infinite. */
enum tess_number tess_number_read(const char *text, size_t n, float *x);

/* Is this symbol none: empty, NA, N/A, NaN, nan, <NA>? (Not "None", which is a name people use.) */
int tess_number_is_missing(const char *text, size_t n);

#endif
