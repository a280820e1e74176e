/* sections.c -- what all sections of a report share. */
#include "sections.h"

#include <math.h>
#include <stdarg.h>

json_t *tess_sections_missing(const char *format, ...)
{
    va_list arguments;
    json_t *text;

    va_start(arguments, format);
    text = json_vsprintf(format, arguments);
    va_end(arguments);
    return json_pack("{s:o}", "missing", text);
}

json_t *tess_sections_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

int64_t tess_sections_step(int64_t n, int64_t most)
{
    return n <= most ? 1 : (n + most - 1) / most;
}
