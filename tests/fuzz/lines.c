/* lines.c -- text files, plain and gzip, line by line, cut into fields in each way. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/lines.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

static void cut(const char *text, size_t n, char separator, int plain)
{
    char *line = fuzz_text((const uint8_t *)text, n), *excerpt;
    struct tess_field field[8];
    int64_t fields = tess_fields_split(line, n, separator, plain, 8, field);

    FUZZ_CHECK(fields >= -1 && fields <= (int64_t)n + 1 && !(plain && fields < 1));
    for (int64_t i = 0; i < fields && i < 8; i++) {
        FUZZ_CHECK(field[i].text >= line && field[i].text + field[i].n <= line + n);
        excerpt = tess_field_excerpt(&field[i]);
        for (const char *c = excerpt; *c; c++)
            FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 127);
        tess_free(excerpt);
    }
    free(line);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_lines lines;
    int64_t first = 0, again = 0;
    size_t length;
    char *text;
    int got = -1;

    if (tess_lines_open(&lines, fuzz_file("lines.txt", data, n), NULL, &error) == TESS_OK) {
        while ((got = tess_lines_next(&lines, &text, &length, &error)) > 0) {
            FUZZ_CHECK(strlen(text) == length && !strchr(text, '\n'));
            for (int k = 0; k < 6; k++)
                cut(text, length, "\t,;"[k % 3], k / 3);
            first++;
        }
        if (got == 0 && tess_lines_rewind(&lines, &error) == TESS_OK) {
            while (tess_lines_next(&lines, &text, &length, &error) > 0)
                again++;
            FUZZ_CHECK(first == again);
        }
    }
    tess_lines_release(&lines);
    FUZZ_CHECK(got >= 0 || error.code != TESS_OK);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EDATA, "lines.txt");
}
