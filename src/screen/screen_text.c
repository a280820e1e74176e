/* screen_text.c -- fields and lines of the tables. */
#include "screen.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tess_screen_put(struct screen_text *text, const char *format, ...)
{
    va_list list, again;
    int n;

    va_start(list, format);
    va_copy(again, list);
    n = vsnprintf(NULL, 0, format, list);
    text->text = tess_grow(text->text, &text->room, text->n + (size_t)n + 1, 1);
    vsnprintf(text->text + text->n, (size_t)n + 1, format, again);
    text->n += (size_t)n;
    va_end(list);
    va_end(again);
}

void tess_screen_put_number(struct screen_text *text, double x)
{
    if (isnan(x))
        tess_screen_put(text, "%c", text->between);
    else
        tess_screen_put(text, "%c%.9g", text->between, x);
}

void tess_screen_put_name(struct screen_text *text, const char *name)
{
    int quoted = strchr(name, text->between) || strpbrk(name, "\"\n\r");

    tess_screen_put(text, "%c%s", text->between, quoted ? "\"" : "");
    for (const char *c = name; *c; c++)
        tess_screen_put(text, "%s%c", quoted && *c == '"' ? "\"" : "", *c);
    tess_screen_put(text, "%s", quoted ? "\"" : "");
}

void tess_screen_put_set(struct screen_text *text, const struct screening *work, int64_t set)
{
    const struct tess_sets *sets = &work->perturbation;
    struct screen_text name = {0};

    for (int64_t k = sets->first[set]; k < sets->first[set + 1]; k++)
        tess_screen_put(&name, "%s%s", k > sets->first[set] ? "+" : "",
                        work->model.perturbation.symbol[sets->member[k]]);
    tess_screen_put_name(text, name.text);
    tess_free(name.text);
}
