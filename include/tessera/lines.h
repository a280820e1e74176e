/* lines.h -- a text file, plain or gzip, line by line, and lines cut into fields. Local. */
#ifndef TESSERA_LINES_H
#define TESSERA_LINES_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;
struct gzFile_s;

struct tess_lines {
    struct gzFile_s *file; /* own, by zlib                                       */
    char *path;            /* own                                                */
    char *buffer;          /* own                                                */
    size_t room, begin, end;
    int64_t number; /* of the line last read, from 1                             */
    int ended;      /* nothing more comes from the file                          */
    int truncated;  /* because a gzip stream broke off                           */
};

int tess_lines_open(struct tess_lines *lines, const char *path, struct tess_error *error);
/* 1: *text is the next line without its end (LF or CRLF) and without a byte order mark, NUL behind
 * it, the caller's to change until the next call. 0: there are no more. -1: `error` says why (a
 * broken gzip stream, a zero byte, a line that is longer than any table's). */
int tess_lines_next(struct tess_lines *lines, char **text, size_t *n, struct tess_error *error);
/* Back to the first line. */
int tess_lines_rewind(struct tess_lines *lines, struct tess_error *error);
void tess_lines_release(struct tess_lines *lines);

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

#endif
