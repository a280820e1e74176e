/* text.c -- strings, patterns, nearest names. */
#include "tessera/text.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tess_strings_add(struct tess_strings *strings, const char *text)
{
    strings->item =
        tess_grow(strings->item, &strings->room, strings->n + 1, sizeof strings->item[0]);
    strings->item[strings->n++] = tess_strdup(text);
}

void tess_strings_release(struct tess_strings *strings)
{
    for (size_t i = 0; i < strings->n; i++)
        tess_free(strings->item[i]);
    tess_free(strings->item);
    *strings = (struct tess_strings){0};
}

void tess_strings_split(struct tess_strings *strings, const char *text, char separator)
{
    char *copy = tess_strdup(text), *at = copy;

    while (at) {
        char *end = strchr(at, separator);

        if (end)
            *end++ = '\0';
        if (*at)
            tess_strings_add(strings, at);
        at = end;
    }
    tess_free(copy);
}

char *tess_text_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = tess_strdup(slash ? path : ".");

    if (slash)
        directory[slash == path ? 1 : slash - path] = '\0';
    return directory;
}

char *tess_text_quoted(const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "@%+=:,./_-";
    char *quoted = TESS_NEW(char, 4 * strlen(text) + 3), *to = quoted;

    if (*text && text[strspn(text, plain)] == '\0')
        return memcpy(quoted, text, strlen(text) + 1);
    *to++ = '\'';
    for (; *text; text++)
        if (*text == '\'') { /* the quote ends, one stands alone, it begins again */
            memcpy(to, "'\\''", 4);
            to += 4;
        } else
            *to++ = *text;
    memcpy(to, "'", 2);
    return quoted;
}

char *tess_text_full_path(const char *path)
{
    char *real = path[0] ? realpath(path, NULL) : NULL, *full = NULL;

    if (real && tess_text_is_utf8(real, strlen(real)))
        full = tess_strdup(real);
    free(real); /* realpath's own */
    return full;
}

char *tess_text_trimmed(const char *text)
{
    const char *end = text + strlen(text);

    while (*text && strchr(" \t\r\n", *text))
        text++;
    while (end > text && strchr(" \t\r\n", end[-1]))
        end--;
    return tess_format("%.*s", (int)(end - text), text);
}

static void read_line(struct tess_strings *strings, const char *line, int first)
{
    char *utf8 = tess_text_utf8(line); /* of a spreadsheet's Latin-1, as tables are read */
    char *name = tess_text_trimmed(first && strncmp(line, "\xef\xbb\xbf", 3) == 0 ? line + 3
                                   : utf8                                         ? utf8
                                                                                  : line);

    if (*name)
        tess_strings_add(strings, name);
    tess_free(name);
    tess_free(utf8);
}

int tess_strings_read(struct tess_strings *strings, const char *path, struct tess_error *error)
{
    FILE *file = tess_fail_here(error, path) ? NULL : fopen(path, "r");
    size_t before = strings->n, room = 0;
    int64_t n_lines = 0, length;
    char *line = NULL;

    if (!file)
        return tess_error_set(error, TESS_EDATA, "%s: cannot open the list of names: %s", path,
                              strerror(errno));
    while (error->code == TESS_OK && (length = getline(&line, &room, file)) > 0)
        if (strlen(line) < (size_t)length)
            tess_error_set(error, TESS_EDATA,
                           "%s: is no list of names: line %lld holds a zero byte (UTF-16? save it "
                           "as UTF-8)",
                           path, (long long)n_lines + 1);
        else
            read_line(strings, line, n_lines++ == 0);
    if (ferror(file))
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path, strerror(errno));
    else if (strings->n == before)
        tess_error_set(error, TESS_EDATA, "%s: holds no names", path);
    fclose(file);
    free(line); /* getline's own */
    return error->code;
}

int64_t tess_strings_find(const struct tess_strings *strings, const char *text)
{
    for (size_t i = 0; i < strings->n; i++)
        if (strcmp(strings->item[i], text) == 0)
            return (int64_t)i;
    return -1;
}

char *tess_strings_join(const struct tess_strings *strings, const char *separator, size_t limit)
{
    char *all = tess_strdup("");

    for (size_t i = 0; i < strings->n && i < limit; i++) {
        char *longer = tess_format("%s%s%s", all, i ? separator : "", strings->item[i]);

        tess_free(all);
        all = longer;
    }
    if (strings->n > limit) {
        char *longer = tess_format("%s%s… (%zu in all)", all, separator, strings->n);

        tess_free(all);
        all = longer;
    }
    return all;
}

/* Overflow gives infinity: limits are the caller's to check. */
int tess_text_double(const char *text, double *x)
{
    char *end;

    *x = strtod(text, &end);
    return end != text && *end == '\0';
}

int tess_text_int64(const char *text, int64_t *x)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    *x = value;
    return end != text && *end == '\0' && errno == 0;
}

/* How many digits are tried first: a decimal of DBL_DIG digits or fewer becomes a double and,
 * printed with DBL_DIG digits, comes back as it was, so that fewer need not be tried. Not so of
 * numbers that have lost digits at the lower end of the range, nor of a double that is asked for as
 * a float. */
static int first_digits(double x, int single)
{
    if (single)
        return fabs(x) < FLT_MIN || (double)(float)x != x ? 1 : FLT_DIG;
    return fabs(x) < DBL_MIN ? 1 : DBL_DIG;
}

/* 17 significant digits always read back as the same double (IEEE 754). Whole numbers below 1e15
 * are written without an exponent, -0 as 0. */
void tess_text_number(double x, int single, char out[32])
{
    if (fabs(x) < 1e15 && x == floor(x)) {
        snprintf(out, 32, "%.0f", x == 0 ? 0.0 : x);
        return;
    }
    for (int digits = first_digits(x, single); digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (single ? strtof(out, NULL) == (float)x : strtod(out, NULL) == x)
            return;
    }
}

/* Bytes of the UTF-8 character at `s`; 0: none, as overlong forms and surrogates are (RFC 3629). */
static int utf8_length(const unsigned char *s)
{
    uint32_t code = s[0] < 0xe0 ? s[0] & 0x1fu : s[0] < 0xf0 ? s[0] & 0x0fu : s[0] & 0x07u;
    int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if (n < 2)
        return n;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if ((n == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
        (n == 4 && (s[0] > 0xf4 || code < 0x10000 || code > 0x10ffff)))
        return 0;
    return n;
}

/* Windows-1252 from 0x80 to 0x9f; the rest of it is Latin-1. Its five unused places stay as they
 * are. */
static const uint16_t windows_1252[32] = {
    0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8d,   0x017d, 0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};

static char *put_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
        *to++ = (char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(0xe0 | code >> 12);
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(0x80 | (code & 0x3f));
    }
    return to;
}

int tess_text_is_utf8(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text, *end = s + n;

    while (s < end) {
        int length = 1;
        uint64_t eight;

        for (; end - s >= 8; s += 8) { /* most text is ASCII */
            memcpy(&eight, s, sizeof eight);
            if (eight & UINT64_C(0x8080808080808080))
                break;
        }
        if (s == end)
            break;
        if (*s >= 0x80) {
            unsigned char copy[5] = {0}; /* a character that the end cuts off is none */

            memcpy(copy, s, end - s < 4 ? (size_t)(end - s) : 4);
            length = utf8_length(copy);
        }
        if (length == 0)
            return 0;
        s += length;
    }
    return 1;
}

size_t tess_text_to_utf8(const char *text, size_t n, char *out)
{
    char *to = out;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        to = put_utf8(to, c >= 0x80 && c < 0xa0 ? windows_1252[c - 0x80] : c);
    }
    return (size_t)(to - out);
}

char *tess_text_utf8(const char *text)
{
    size_t n = strlen(text);
    char *out;

    if (tess_text_is_utf8(text, n))
        return NULL;
    out = TESS_NEW(char, 3 * n + 1);
    tess_text_to_utf8(text, n, out);
    return out;
}

int tess_text_match(const char *pattern, const char *text)
{
    return fnmatch(pattern, text, 0) == 0;
}

int tess_text_is_pattern(const char *text)
{
    return strpbrk(text, "*?[") != NULL;
}

#define FARTHEST 16 /* edits: what is farther is no help to anybody */
#define NEAR_WORK                                                                                  \
    200000000 /* places of tables, about a second, until no more candidates are looked at */

/* Wagner and Fischer's table (1974), of which one row is kept: row[j] is the distance of the first
 * i bytes of a and j of b, `diagonal` that of one byte less of both. Places farther than `limit`
 * from the diagonal cannot matter, and are not filled in (Ukkonen 1985). In bytes, ASCII letters of
 * either case alike; limit + 1 if it is more than `limit`. `row` has room for m + 1. */
static int distance_of(const char *a, int n, const char *b, int m, int limit, int *row)
{
    if (abs(n - m) > limit)
        return limit + 1;
    for (int j = 0; j <= m; j++)
        row[j] = j <= limit ? j : limit + 1;
    for (int i = 1; i <= n; i++) {
        int from = i > limit ? i - limit : 1, to = i + limit < m ? i + limit : m;
        int diagonal = row[from - 1], left = from == 1 && i <= limit ? i : limit + 1, least = left;

        row[from - 1] = left;
        for (int j = from; j <= to; j++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            int best = diagonal + !same;

            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = left + 1 < best ? left + 1 : best;
            diagonal = row[j];
            row[j] = left = best;
            least = best < least ? best : least;
        }
        if (least > limit)
            return limit + 1;
    }
    return row[m] > limit ? limit + 1 : row[m];
}

void tess_text_nearest(const char *text, size_t n, const char *const *candidate, size_t want,
                       struct tess_strings *out)
{
    size_t length = strlen(text), found = 0, *place = TESS_NEW(size_t, want + 1), k;
    int limit = length < 2 * FARTHEST ? (int)(length + 1) / 2 : FARTHEST, d;
    int *distance = TESS_NEW(int, want + 1), *row = TESS_NEW(int, length + FARTHEST + 1);
    int64_t work = 0;

    for (size_t i = 0; i < n && want > 0 && work < NEAR_WORK; i++) {
        size_t m = strlen(candidate[i]);

        if (m > length + (size_t)limit || m + (size_t)limit < length)
            continue;
        work += (2 * limit + 1) * (int64_t)length + 1;
        d = distance_of(text, (int)length, candidate[i], (int)m, limit, row);
        if (d > limit)
            continue;
        for (k = found; k > 0 && distance[k - 1] > d; k--) { /* behind those that are as near */
            distance[k] = distance[k - 1];
            place[k] = place[k - 1];
        }
        distance[k] = d;
        place[k] = i;
        found += found < want;
        if (found == want) /* what comes now has to be nearer than the last of them */
            limit = distance[want - 1] - 1;
        if (limit < 0)
            break;
    }
    for (k = 0; k < found; k++)
        tess_strings_add(out, candidate[place[k]]);
    tess_free(row);
    tess_free(distance);
    tess_free(place);
}
