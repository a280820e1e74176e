/* problems.h -- what is wrong with an input, collected. Local. */
#ifndef TESSERA_PROBLEMS_H
#define TESSERA_PROBLEMS_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_error;

/* What is wrong with the input, one line each: "file:row:column: what". */
struct tess_problems {
    int64_t n; /* all that were found */
    int64_t limit; /* kept and printed at most (0: all) */
    int go_on; /* a file that cannot be read is one more, and the others are looked at */
    struct tess_strings text; /* own */
};
void tess_problems_add(struct tess_problems *problems, const char *file, int64_t row,
                       const char *column, const char *format, ...)
    __attribute__((format(printf, 5, 6))); /* row 0 or column NULL: no such place */
/* An error becomes a problem, and is none any more; one that is there already is not added again.
 */
void tess_problems_take(struct tess_problems *problems, struct tess_error *error);
void tess_problems_release(struct tess_problems *problems);

#endif
