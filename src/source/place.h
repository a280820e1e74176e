/* place.h -- metadata columns that follow from where a file lies and where its rows stand. Local.
 */
#ifndef PLACE_H
#define PLACE_H

#include <stdint.h>

struct tess_column;

/* Columns that every source has: `@file`, its name without folder and endings, and `@folder`, the
 * name of the folder that it lies in; and `@half`, 1 or 2: a random half of the rows, that depends
 * on a row's number alone, so that the two never share one. */
int tess_place_is(const char *name);
void tess_place_read(const char *path, const char *name, int64_t n_rows,
                     struct tess_column *column);

#endif
