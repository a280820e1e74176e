/* symbols.c -- texts to numbers, guessing what comes next. */
#include "tessera/symbols.h"

#include "tessera/alloc.h"
#include "tessera/column.h"
#include "tessera/error.h"
#include "tessera/lines.h"
#include "tessera/number.h"

#include <string.h>

static int is_symbol(const struct tess_symbols *symbols, int32_t number,
                     const struct tess_field *field)
{
    const char *text = symbols->intern.text[number];

    return strncmp(text, field->text, field->n) == 0 && text[field->n] == '\0';
}

/* Two guesses before the hash table is asked: what followed the last symbol the last time, and the
 * last one again. next[] of a new symbol is 0, a guess like any other. */
int32_t tess_symbols_add(struct tess_symbols *symbols, const struct tess_field *field)
{
    int32_t guess, number;

    if (symbols->intern.n > 0) {
        guess = symbols->next[symbols->last];
        if (is_symbol(symbols, guess, field))
            return symbols->last = guess;
        if (is_symbol(symbols, symbols->last, field))
            return symbols->last;
    }
    if (tess_number_is_missing(field->text, field->n))
        return -1;
    number = (int32_t)tess_int(tess_intern_add(&symbols->intern, field->text, field->n));
    symbols->next =
        tess_grow(symbols->next, &symbols->room, (size_t)symbols->intern.n, sizeof(int32_t));
    symbols->next[symbols->last] = number;
    return symbols->last = number;
}

void tess_symbols_column(const struct tess_symbols *symbols, int64_t n, const int32_t *code,
                         struct tess_column *column)
{
    column->n_levels = symbols->intern.n;
    column->level = TESS_NEW(char *, column->n_levels);
    for (int64_t i = 0; i < column->n_levels; i++)
        column->level[i] = tess_strdup(symbols->intern.text[i]);
    column->code = TESS_NEW(int32_t, n);
    if (n > 0)
        memcpy(column->code, code, (size_t)n * sizeof *code);
}

void tess_symbols_release(struct tess_symbols *symbols)
{
    tess_intern_release(&symbols->intern);
    tess_free(symbols->next);
    *symbols = (struct tess_symbols){0};
}
