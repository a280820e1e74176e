/* place.c -- a file's own name and folder, and halves of it, as metadata of its rows. */
#include "place.h"

#include "tessera/alloc.h"
#include "tessera/column.h"
#include "tessera/random.h"
#include "tessera/text.h"

#include <stdlib.h>
#include <string.h>

#define HALF "@half"

int tess_place_is(const char *name)
{
    return strcmp(name, "@file") == 0 || strcmp(name, "@folder") == 0 || strcmp(name, HALF) == 0;
}

static void read_half(int64_t n_rows, struct tess_column *column)
{
    struct tess_random stream = tess_random_stream(0, TESS_RANDOM_HALF, 0);

    column->n_levels = 2;
    column->level = TESS_NEW(char *, 2);
    column->level[0] = tess_strdup("1");
    column->level[1] = tess_strdup("2");
    column->code = TESS_NEW(int32_t, n_rows);
    for (int64_t row = 0; row < n_rows; row++)
        column->code[row] = (int32_t)tess_random_below(stream, (uint64_t)row, 2);
}

static char *place_of(const char *path, const char *name)
{
    char *whole = realpath(path, NULL), *text, *slash, *dot;

    text = tess_strdup(strcmp(name, "@file") == 0 || !whole ? path : whole);
    free(whole);
    slash = strrchr(text, '/');
    if (strcmp(name, "@folder") == 0 && slash) {
        *slash = '\0';
        slash = strrchr(text, '/');
    }
    if (slash)
        memmove(text, slash + 1, strlen(slash + 1) + 1);
    if (strcmp(name, "@folder") == 0)
        return text;
    dot = strrchr(text, '.');
    if (dot && strcmp(dot, ".gz") == 0) {
        *dot = '\0';
        dot = strrchr(text, '.');
    }
    if (dot && dot > text)
        *dot = '\0';
    return text;
}

void tess_place_read(const char *path, const char *name, int64_t n_rows, struct tess_column *column)
{
    char *utf8;

    if (strcmp(name, HALF) == 0) {
        read_half(n_rows, column);
        return;
    }
    column->n_levels = 1;
    column->level = TESS_NEW(char *, 1);
    column->level[0] = place_of(path, name);
    utf8 = tess_text_utf8(column->level[0]);
    if (utf8) {
        tess_free(column->level[0]);
        column->level[0] = utf8;
    }
    column->code = TESS_NEW(int32_t, n_rows);
}
