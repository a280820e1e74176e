/* column.c -- metadata columns, and the word that one is missing. */
#include "tessera/column.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#define SHOWN 20 /* names in a message */

void tess_column_release(struct tess_column *column)
{
    for (int64_t i = 0; i < column->n_levels; i++)
        tess_free(column->level[i]);
    tess_free(column->level);
    tess_free(column->code);
    *column = (struct tess_column){0};
}

int tess_column_miss(const char *path, const char *name, const struct tess_strings *there,
                     struct tess_error *error)
{
    char *list = tess_strings_join(there, ", ", SHOWN);

    tess_error_set(error, TESS_EDATA, "%s: no metadata column `%s`; there are: %s", path, name,
                   list);
    tess_free(list);
    return error->code;
}
