/* number.c -- decimal text: as strtod reads it, or refused. */
#include "fuzz.h"

#include "tessera/number.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

/* What tess_number_parse takes: [sign] digits [. digits] [e [sign] digits], a digit at least. */
static int is_decimal(const char *text)
{
    size_t whole, part = 0;

    text += *text == '+' || *text == '-';
    text += whole = strspn(text, "0123456789");
    if (*text == '.')
        text += 1 + (part = strspn(text + 1, "0123456789"));
    if (whole + part == 0)
        return 0;
    if (*text != 'e' && *text != 'E')
        return *text == '\0';
    text++;
    text += *text == '+' || *text == '-';
    return isdigit((unsigned char)*text) && text[strspn(text, "0123456789")] == '\0';
}

void fuzz_one(const uint8_t *data, size_t n)
{
    char *text = fuzz_text(data, n);
    double x = 1, right;
    float y = 1;
    int parsed = tess_number_parse(text, n, &x);
    enum tess_number kind = tess_number_read(text, n, &y);

    if (strlen(text) == n) {
        right = strtod(text, NULL);
        FUZZ_CHECK(!parsed || memcmp(&x, &right, sizeof x) == 0);
        FUZZ_CHECK(!parsed || is_decimal(text));
        FUZZ_CHECK(parsed || !is_decimal(text));
    } else
        FUZZ_CHECK(!parsed);
    FUZZ_CHECK((kind == TESS_NUMBER_FINITE) == (isfinite(y) != 0));
    FUZZ_CHECK((kind == TESS_NUMBER_INFINITE) == (isinf(y) != 0));
    tess_number_is_missing(text, n);
    free(text);
}
