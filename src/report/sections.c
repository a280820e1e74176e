/* sections.c -- what all sections of a report share. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

json_t *tess_sections_missing(const char *format, ...)
{
    char text[TESS_ERROR_TEXT];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return json_pack("{s:o}", "missing", tess_sections_text(text));
}

json_t *tess_sections_text(const char *text)
{
    char *repaired = tess_text_utf8(text);
    json_t *string = json_string(repaired ? repaired : text);

    tess_free(repaired);
    return string;
}

json_t *tess_sections_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

int64_t tess_sections_step(int64_t n, int64_t most)
{
    return n <= most ? 1 : (n + most - 1) / most;
}
