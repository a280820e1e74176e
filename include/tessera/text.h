/* text.h -- small things with strings: splitting, numbers, patterns, nearest names. Local. */
#ifndef TESSERA_TEXT_H
#define TESSERA_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;

/* A list of strings of its own. */
struct tess_strings {
    size_t n, room;
    char **item; /* own */
};

void tess_strings_add(struct tess_strings *strings, const char *text);
void tess_strings_release(struct tess_strings *strings);
/* "a,b,c" into its parts (empty parts left out), added to `strings`. */
void tess_strings_split(struct tess_strings *strings, const char *text, char separator);
/* The names in a list file, one a line, added to `strings`: a byte order mark, blanks around a name
 * and empty lines do not count, lines end with LF or CRLF. TESS_EDATA if it cannot be read, or
 * holds none. */
int tess_strings_read(struct tess_strings *strings, const char *path, struct tess_error *error);
/* A copy without the blanks around it; own of the caller. */
char *tess_text_trimmed(const char *text);
/* The directory of a file's path: "." of one without a slash; own of the caller. */
char *tess_text_directory(const char *path);
/* The full path of a file that is there and whose full path is UTF-8 (what is kept must be
 * readable); NULL: there is none; own of the caller. */
char *tess_text_full_path(const char *path);
/* As one word of a shell, in quotes if it has to be; own of the caller. */
char *tess_text_quoted(const char *text);
/* Index of `text`, or -1. */
int64_t tess_strings_find(const struct tess_strings *strings, const char *text);
/* Joined by `separator`, at most `limit` items and then "… (N in all)"; own. */
char *tess_strings_join(const struct tess_strings *strings, const char *separator, size_t limit);

/* The whole of `text` as a number (strtod's forms, nan and inf included): 1, or 0 if it is none. */
int tess_text_double(const char *text, double *x);
int tess_text_int64(const char *text, int64_t *x);

/* The shortest decimal text that reads back as x ("10", "0.5", "1e-07"); `single`: as a float. */
void tess_text_number(double x, int single, char out[32]);

/* Are these n bytes valid UTF-8? */
int tess_text_is_utf8(const char *text, size_t n);
/* The n bytes taken as Windows-1252 (Latin-1 with letters and dashes in the place of its control
 * characters), in UTF-8. Returns its length; `out` needs room for 3 n and gets no NUL. */
size_t tess_text_to_utf8(const char *text, size_t n, char *out);
/* NULL if `text` is valid UTF-8; else the text of the same bytes taken as Windows-1252; own. */
char *tess_text_utf8(const char *text);

/* True if `text` matches a shell pattern (`*`, `?`, `[…]`), case-sensitive. */
int tess_text_match(const char *pattern, const char *text);
int tess_text_is_pattern(const char *text);

/* The up to `want` candidates nearest to `text` by edit distance, nearest first and then in order;
 * those farther than half of text's length, or than 16 edits, are left out, and after about a
 * second of work those that come later. Adds to `out`. */
void tess_text_nearest(const char *text, size_t n, const char *const *candidate, size_t want,
                       struct tess_strings *out);

#endif
