/* problems.c -- the list of what is wrong with an input. */
#include "tessera/problems.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdarg.h>
#include <stdio.h>

void tess_problems_add(struct tess_problems *problems, const char *file, int64_t row,
                       const char *column, const char *format, ...)
{
    char what[1024], place[32] = "", *line;
    va_list arguments;

    problems->n++;
    if (problems->limit > 0 && problems->n > problems->limit)
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (row > 0)
        snprintf(place, sizeof place, ":%lld", (long long)row);
    line = tess_format("%s%s%s%s: %s", file, place, column ? ":" : "", column ? column : "", what);
    tess_strings_add(&problems->text, line);
    tess_free(line);
}

void tess_problems_take(struct tess_problems *problems, struct tess_error *error)
{
    if (tess_strings_find(&problems->text, error->text) < 0) {
        problems->n++;
        if (problems->limit == 0 || problems->n <= problems->limit)
            tess_strings_add(&problems->text, error->text);
    }
    *error = (struct tess_error)TESS_ERROR_INIT;
}

void tess_problems_release(struct tess_problems *problems)
{
    tess_strings_release(&problems->text);
    problems->n = 0;
}
