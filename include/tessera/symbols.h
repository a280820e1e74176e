/* symbols.h -- the texts of a metadata column as it is read, numbered. Local. */
#ifndef TESSERA_SYMBOLS_H
#define TESSERA_SYMBOLS_H

#include "tessera/intern.h"

#include <stddef.h>
#include <stdint.h>

struct tess_column;
struct tess_field;

/* Symbols that come in runs or in the same order again and again, as files list them: most are
 * found by guessing what followed last time. */
struct tess_symbols {
    struct tess_intern intern;
    int32_t last;
    int32_t *next; /* (intern.n) what followed; own */
    size_t room;
};
/* Its number, in order of first appearance; -1 if it is missing (tess_number_is_missing). */
int32_t tess_symbols_add(struct tess_symbols *symbols, const struct tess_field *field);
/* `column` is zeroed and gets copies of the levels and of the n codes. */
void tess_symbols_column(const struct tess_symbols *symbols, int64_t n, const int32_t *code,
                         struct tess_column *column);
void tess_symbols_release(struct tess_symbols *symbols);

#endif
