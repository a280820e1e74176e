/* lines.c -- zlib's reader (plain files pass through it unchanged) with a large buffer of ours. */
#include "tessera/lines.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define BUFFER_START ((size_t)1 << 20)
#define BUFFER_LIMIT ((size_t)1 << 30) /* zlib reads at most 2^31 - 1 bytes at a time */

static int fail_zlib(struct tess_lines *lines, struct tess_error *error)
{
    int code = Z_OK;
    const char *text = gzerror(lines->file, &code);

    if (code == Z_ERRNO)
        return tess_error_set(error, TESS_EIO, "%s: cannot be read: %s", lines->path,
                              strerror(errno));
    return tess_error_set(error, TESS_EDATA,
                          "%s: damaged gzip data after line %lld (%s): fetch or compress the file "
                          "again",
                          lines->path, (long long)lines->number, text);
}

/* Room for one more read behind what is still unread. */
static int make_room(struct tess_lines *lines, struct tess_error *error)
{
    size_t unread = lines->end - lines->begin;
    char *larger;

    if (lines->begin > 0) {
        memmove(lines->buffer, lines->buffer + lines->begin, unread);
        lines->begin = 0;
        lines->end = unread;
    }
    /* half of the buffer is free for the next read, and one byte for a NUL */
    if (unread + 1 < lines->room / 2)
        return TESS_OK;
    if (lines->room >= BUFFER_LIMIT)
        return tess_error_set(error, TESS_EDATA,
                              "%s: line %lld is longer than %zu MB: not a table of text",
                              lines->path, (long long)lines->number + 1, BUFFER_LIMIT >> 20);
    larger = tess_alloc_large(2 * lines->room, 1, "a line of text", error);
    if (!larger)
        return error->code;
    memcpy(larger, lines->buffer, unread);
    tess_free(lines->buffer);
    lines->buffer = larger;
    lines->room *= 2;
    return TESS_OK;
}

/* gzread returns less than was asked for only at the end (zlib.h); Z_BUF_ERROR is then its word for
 * a stream that lacks its end. */
static int fill(struct tess_lines *lines, struct tess_error *error)
{
    unsigned want;
    int got, code = Z_OK;

    if (tess_fail_here(error, lines->path) || make_room(lines, error))
        return error->code;
    want = (unsigned)(lines->room - 1 - lines->end);
    got = gzread(lines->file, lines->buffer + lines->end, want);
    if (got < 0)
        return fail_zlib(lines, error);
    lines->end += (size_t)got;
    if ((unsigned)got < want) {
        gzerror(lines->file, &code);
        lines->ended = 1;
        lines->truncated = code == Z_BUF_ERROR;
    }
    return TESS_OK;
}

int tess_lines_open(struct tess_lines *lines, const char *path, const char *place,
                    struct tess_error *error)
{
    *lines = (struct tess_lines){.path = tess_strdup(path)};
    if (tess_fail_here(error, path))
        return error->code;
    lines->file = gzopen(place ? place : path, "rb");
    if (!lines->file)
        return tess_error_set(error, TESS_EDATA, "%s: cannot be opened: %s", path, strerror(errno));
    gzbuffer(lines->file, 1 << 18);
    lines->room = BUFFER_START;
    lines->buffer = tess_alloc(lines->room, 1);
    return TESS_OK;
}

int tess_lines_end_with_cr(const char *text, size_t n)
{
    /* the last byte may be half of a CRLF */
    return n > 1 && memchr(text, '\r', n - 1) && !memchr(text, '\n', n);
}

/* What ends a line, by the first bytes of the file. */
static void find_end_mark(struct tess_lines *lines, struct tess_error *error)
{
    if (fill(lines, error) == TESS_OK)
        lines->mark = tess_lines_end_with_cr(lines->buffer, lines->end) ? '\r' : '\n';
}

/* The end of the next line in the buffer, reading on as needed; NULL: the file ends without one. No
 * byte is searched twice; fill may move the buffer. */
static char *find_end(struct tess_lines *lines, struct tess_error *error)
{
    size_t searched = 0;

    if (!lines->mark)
        find_end_mark(lines, error);
    while (error->code == TESS_OK) {
        size_t unread = lines->end - lines->begin;
        char *from = lines->buffer + lines->begin + searched;
        char *end = unread > searched ? memchr(from, lines->mark, unread - searched) : NULL;

        if (end || lines->ended)
            return end;
        searched = unread;
        fill(lines, error);
    }
    return NULL;
}

static int is_between(char c)
{
    return c == '\t' || c == ',' || c == ';' || c == '"';
}

/* A line with bytes that are no UTF-8, put together anew: each piece between separators is UTF-8 as
 * it stands, or is taken as Windows-1252. */
static void repair(struct tess_lines *lines, char **text, size_t *n)
{
    const char *at = *text, *end = at + *n;
    char *to;

    lines->repaired = tess_grow(lines->repaired, &lines->room_repaired, 3 * *n + 1, 1);
    to = lines->repaired;
    while (at < end) {
        const char *stop = at;

        while (stop < end && !is_between(*stop))
            stop++;
        if (tess_text_is_utf8(at, (size_t)(stop - at))) {
            memcpy(to, at, (size_t)(stop - at));
            to += stop - at;
        } else {
            to += tess_text_to_utf8(at, (size_t)(stop - at), to);
        }
        if (stop < end)
            *to++ = *stop++;
        at = stop;
    }
    *to = '\0';
    *text = lines->repaired;
    *n = (size_t)(to - lines->repaired);
}

/* repair comes last: it puts the line elsewhere. Only line 1 may begin with a byte order mark. */
int tess_lines_next(struct tess_lines *lines, char **text, size_t *n, struct tess_error *error)
{
    char *end = find_end(lines, error), *start = lines->buffer + lines->begin;

    if (error->code)
        return -1;
    if (!end) {
        if (lines->truncated) {
            tess_error_set(error, TESS_EDATA,
                           "%s: the gzip data break off after line %lld: the file is truncated; "
                           "fetch or compress it again",
                           lines->path, (long long)lines->number);
            return -1;
        }
        if (lines->begin == lines->end)
            return 0;
        end = lines->buffer + lines->end; /* the last line lacks its LF; there is room for a NUL */
        lines->begin = lines->end;
    } else {
        lines->begin = (size_t)(end - lines->buffer) + 1;
    }
    lines->number++;
    if (end > start && end[-1] == '\r')
        end--;
    if (lines->number == 1 && end - start >= 3 && memcmp(start, "\xef\xbb\xbf", 3) == 0)
        start += 3;
    *end = '\0';
    *text = start;
    *n = (size_t)(end - start);
    if (memchr(start, 0, *n)) {
        tess_error_set(error, TESS_EDATA,
                       "%s: line %lld holds a zero byte: this is no plain text (UTF-16? save it as "
                       "UTF-8)",
                       lines->path, (long long)lines->number);
        return -1;
    }
    if (!tess_text_is_utf8(start, *n))
        repair(lines, text, n);
    return 1;
}

int tess_lines_rewind(struct tess_lines *lines, struct tess_error *error)
{
    lines->begin = lines->end = 0;
    lines->number = 0;
    lines->ended = lines->truncated = 0;
    return gzrewind(lines->file) == 0 ? TESS_OK : fail_zlib(lines, error);
}

void tess_lines_release(struct tess_lines *lines)
{
    if (lines->file)
        gzclose(lines->file);
    tess_free(lines->path);
    tess_free(lines->buffer);
    tess_free(lines->repaired);
    *lines = (struct tess_lines){0};
}

/* A field from behind its opening quote on, unquoted in place. Returns where the field ends (at a
 * separator or at `end`), NULL if the quote stays open. */
static char *read_quoted(char *at, char *end, char separator, struct tess_field *field)
{
    char *out = at;
    int open = 1;

    field->text = at;
    for (; at < end && (open || *at != separator); at++) {
        if (*at != '"')
            *out++ = *at;
        else if (open && at + 1 < end && at[1] == '"')
            *out++ = *at++;
        else
            open = !open;
    }
    field->n = (size_t)(out - field->text);
    return open ? NULL : at;
}

/* Quotes as in RFC 4180, but a field may not run over the end of its line. Fields beyond `room` are
 * counted, not kept. */
int64_t tess_fields_split(char *text, size_t n, char separator, int plain, int64_t room,
                          struct tess_field *field)
{
    char *at = text, *end = text + n;
    int64_t count = 0;

    for (;;) {
        struct tess_field one;
        char *stop;

        while (!plain && at < end && *at == ' ')
            at++;
        if (!plain && at < end && *at == '"') {
            stop = read_quoted(at + 1, end, separator, &one);
            if (!stop)
                return -1;
        } else {
            stop = memchr(at, separator, (size_t)(end - at));
            if (!stop)
                stop = end;
            one = (struct tess_field){at, (size_t)(stop - at)};
            while (!plain && one.n && one.text[one.n - 1] == ' ')
                one.n--;
        }
        if (count < room)
            field[count] = one;
        count++;
        if (stop == end)
            return count;
        at = stop + 1;
    }
}

char *tess_field_excerpt(const struct tess_field *field)
{
    size_t n = field->n;
    char *text;

    if (n > 40)
        for (n = 40; n > 36 && ((unsigned char)field->text[n] & 0xc0) == 0x80;)
            n--; /* not within a UTF-8 character */
    text = tess_format("%.*s%s", (int)n, field->text, n < field->n ? "…" : "");
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return text;
}
