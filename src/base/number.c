/* number.c -- Clinger's fast path for decimal numbers, strtod for the rest.
 *
 * A mantissa up to 2^53 and a power of ten up to 10^22 are both exact doubles, so that one
 * multiplication or division rounds once, as strtod does (W. Clinger, "How to read floating point
 * numbers accurately", 1990). */
#include "tessera/number.h"

#include "tessera/alloc.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXACT_POWER  22
#define EXACT_DIGITS 19 /* 10^19 - 1 fits in 64 bits */

static const double power_of_ten[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* strtod wants a final NUL, which a field has not. */
static double slow(const char *text, size_t n)
{
    char small[64], *copy = n < sizeof small ? small : tess_alloc(n + 1, 1);
    double x;

    memcpy(copy, text, n);
    copy[n] = '\0';
    x = strtod(copy, NULL);
    if (copy != small)
        tess_free(copy);
    return x;
}

/* Digits from `at` on; leading zeros do not count as significant. */
static const char *read_digits(const char *at, const char *end, uint64_t *mantissa, int *digits)
{
    for (; at < end && is_digit(*at); at++) {
        if (*digits < EXACT_DIGITS)
            *mantissa = *mantissa * 10 + (uint64_t)(*at - '0');
        *digits += *mantissa != 0;
    }
    return at;
}

/* "e-12": the exponent, cut off where it no longer matters; NULL if no digit follows. */
static const char *read_exponent(const char *at, const char *end, int64_t *exponent)
{
    int negative = at + 1 < end && at[1] == '-';

    at += 1 + (at + 1 < end && (at[1] == '-' || at[1] == '+'));
    if (at >= end || !is_digit(*at))
        return NULL;
    for (*exponent = 0; at < end && is_digit(*at); at++)
        if (*exponent < 1000000)
            *exponent = *exponent * 10 + (*at - '0');
    if (negative)
        *exponent = -*exponent;
    return at;
}

/* The text is mantissa · 10^exponent, each digit behind the point lowering the exponent by one.
 * Beyond 19 significant digits the mantissa is incomplete, beyond 2^53 or 10^22 not exact: strtod
 * decides then. (strtod follows the locale; the program never leaves "C".) */
int tess_number_parse(const char *text, size_t n, double *x)
{
    const char *at = text, *end = text + n, *first;
    int negative = n > 0 && *at == '-', digits = 0;
    int64_t exponent = 0, count;
    uint64_t mantissa = 0;
    double value;

    at += n > 0 && (*at == '-' || *at == '+');
    first = at;
    at = read_digits(at, end, &mantissa, &digits);
    count = at - first;
    if (at < end && *at == '.') {
        first = ++at;
        at = read_digits(at, end, &mantissa, &digits);
        count += at - first;
        exponent = first - at;
    }
    if (count == 0)
        return 0;
    if (at < end && (*at == 'e' || *at == 'E')) {
        int64_t written = 0;

        at = read_exponent(at, end, &written);
        if (!at)
            return 0;
        exponent += written;
    }
    if (at != end)
        return 0;
    if (mantissa == 0) {
        value = 0;
    } else if (digits <= EXACT_DIGITS && mantissa <= (uint64_t)1 << 53 &&
               llabs(exponent) <= EXACT_POWER) {
        value = exponent < 0 ? (double)mantissa / power_of_ten[-exponent]
                             : (double)mantissa * power_of_ten[exponent];
    } else {
        *x = slow(text, n);
        return 1;
    }
    *x = negative ? -value : value;
    return 1;
}

static int is_one_of(const char *text, size_t n, const char *const *word, int any_case)
{
    for (; *word; word++)
        if (strlen(*word) == n &&
            (any_case ? strncasecmp(text, *word, n) : strncmp(text, *word, n)) == 0)
            return 1;
    return 0;
}

int tess_number_is_missing(const char *text, size_t n)
{
    static const char *const word[] = {"NA", "N/A", "NaN", "nan", "<NA>", NULL};

    return n == 0 || (n <= 4 && is_one_of(text, n, word, 0));
}

/* Numbers first, as most cells are. What else strtod reads (hexadecimal, "nan(1)") is no number
 * here. */
enum tess_number tess_number_read(const char *text, size_t n, float *x)
{
    static const char *const missing[] = {"na",   "nan",  "n/a",  "#n/a", "<na>",
                                          "-nan", "+nan", "null", "none", NULL};
    static const char *const infinite[] = {"inf", "infinity", NULL};
    size_t sign;
    double value;

    for (; n && (*text == ' ' || *text == '\t'); text++)
        n--;
    while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    if (tess_number_parse(text, n, &value)) {
        *x = (float)value;
        return isinf(*x) ? TESS_NUMBER_INFINITE : TESS_NUMBER_FINITE;
    }
    *x = NAN;
    if (n == 0 || is_one_of(text, n, missing, 1))
        return TESS_NUMBER_MISSING;
    sign = *text == '-' || *text == '+';
    if (!is_one_of(text + sign, n - sign, infinite, 1))
        return TESS_NUMBER_NONE;
    *x = *text == '-' ? -INFINITY : INFINITY;
    return TESS_NUMBER_INFINITE;
}
