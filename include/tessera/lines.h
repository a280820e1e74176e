/* lines.h -- a text file, plain or gzip, line by line, and lines cut into fields. Local. */
#ifndef TESSERA_LINES_H
#define TESSERA_LINES_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;
struct gzFile_s;

struct tess_lines {
    struct gzFile_s *file; /* own, by zlib */
    char *path; /* own */
    char *buffer; /* own */
    size_t room, begin, end;
    char mark; /* what ends a line: LF, or CR alone; 0 before the first read */
    char *repaired; /* a line that was not UTF-8; own */
    size_t room_repaired;
    int64_t number; /* of the line last read, from 1 */
    int ended; /* nothing more comes from the file */
    int truncated; /* because a gzip stream broke off */
};

/* `place` is where the bytes lie, if not at `path` itself (spool.h), or NULL. TESS_EDATA if it
 * cannot be opened. To be released in either case. */
int tess_lines_open(struct tess_lines *lines, const char *path, const char *place,
                    struct tess_error *error);
/* 1: *text is the next line without its end (LF or CRLF; CR in a file that begins without any LF)
 * and without a byte order mark, NUL behind it, the caller's to change until the next call. What is
 * not UTF-8 between two separators is taken as Windows-1252 and is UTF-8 here. 0: there are no
 * more. -1: `error` says why (a broken gzip stream, a zero byte, a line that is longer than any
 * table's). */
int tess_lines_next(struct tess_lines *lines, char **text, size_t *n, struct tess_error *error);
/* Back to the first line. */
int tess_lines_rewind(struct tess_lines *lines, struct tess_error *error);
void tess_lines_release(struct tess_lines *lines);
/* Do lines end with CR alone, by these first bytes of a file? */
int tess_lines_end_with_cr(const char *text, size_t n);

struct tess_field {
    char *text; /* points into the line; no NUL behind it */
    size_t n;
};

/* Cuts a line in place. At most `room` fields are filled; returns how many there are. Plain: at
 * every separator and nothing else. Otherwise blanks around fields are left out, and a field that
 * starts with `"` ends at the next single `"` (a doubled one stands for itself). -1: a quote is
 * still open at the end of the line. */
int64_t tess_fields_split(char *text, size_t n, char separator, int plain, int64_t room,
                          struct tess_field *field);

/* At most some 40 bytes of the text for a message, without control characters; own of the caller.
 */
char *tess_field_excerpt(const struct tess_field *field);

#endif
