/* log.c -- messages and progress. */
#include "tessera/log.h"

#include "tessera/clock.h"
#include "tessera/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TERMINAL_SECONDS 0.2
#define PLAIN_SECONDS    10.0

enum tess_log_level tess_log_level = TESS_LOG_INFO;

static void say(enum tess_log_level level, const char *prefix, const char *format,
                va_list arguments)
{
    char line[4096];

    if (level > tess_log_level)
        return;
    vsnprintf(line, sizeof line, format, arguments);
    tess_escape(line, sizeof line);
    fprintf(stderr, "%s%s\n", prefix, line);
}

#define SAY(level, prefix)                                                                         \
    do {                                                                                           \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        say(level, prefix, format, arguments);                                                     \
        va_end(arguments);                                                                         \
    } while (0)

void tess_warn(const char *format, ...)
{
    SAY(TESS_LOG_WARN, "tessera: warning: ");
}

void tess_info(const char *format, ...)
{
    SAY(TESS_LOG_INFO, "");
}

void tess_debug(const char *format, ...)
{
    SAY(TESS_LOG_DEBUG, "debug: ");
}

void tess_progress_init(struct tess_progress *progress, const char *what, const char *unit,
                        int64_t total)
{
    progress->what = what;
    progress->unit = unit;
    progress->total = total;
    progress->begun = 0;
    progress->started = progress->shown = tess_clock();
    progress->visible = 0;
}

void tess_progress_show(struct tess_progress *progress, int64_t done)
{
    int terminal = isatty(STDERR_FILENO);
    double now = tess_clock(), spent = now - progress->started;
    double rate = spent > 0 ? (double)(done - progress->begun) / spent : 0;

    if (tess_log_level < TESS_LOG_INFO ||
        now - progress->shown < (terminal ? TERMINAL_SECONDS : PLAIN_SECONDS))
        return;
    progress->shown = now;
    fprintf(stderr, "%s%s: %lld %s, %.3g/s", terminal ? "\r" : "", progress->what, (long long)done,
            progress->unit, rate);
    if (progress->total > 0 && rate > 0)
        fprintf(stderr, ", %.0f %%, %.0f s left", 100.0 * (double)done / (double)progress->total,
                (double)(progress->total - done) / rate);
    /* ESC[K erases what a longer line before has left (ECMA-48, "erase in line"). */
    fputs(terminal ? "\033[K" : "\n", stderr);
    progress->visible = terminal;
}

void tess_progress_release(struct tess_progress *progress)
{
    if (progress->visible)
        fputs("\r\033[K", stderr);
    progress->visible = 0;
}

/* ---- what is printed ---- */

static FILE *raw; /* the standard output as it was; NULL: nothing was changed */
static int why; /* a write failed; 0: none did */
static int half; /* the first byte of a C1 control character in UTF-8 is held back */

static int put(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, text, n);

        if (done < 0 && errno != EINTR) {
            why = errno;
            return -1;
        }
        text += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

/* 0 is an error's answer (fopencookie). */
static ssize_t put_escaped(void *unused, const char *text, size_t n)
{
    char out[1024];
    size_t room = 0;

    (void)unused;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        int c1 = half && c >= 0x80 && c < 0xa0;

        if (half && !c1)
            out[room++] = (char)0xc2;
        half = c == 0xc2;
        if (c1 || (c < ' ' && c != '\n' && c != '\t') || c == 127)
            room += (size_t)snprintf(out + room, sizeof out - room, "\\x%02x", c);
        else if (!half)
            out[room++] = (char)c;
        if (room > sizeof out - 16) {
            if (put(out, room) < 0)
                return 0;
            room = 0;
        }
    }
    return put(out, room) < 0 ? 0 : (ssize_t)n;
}

void tess_print_begin(void)
{
    FILE *escaped = fopencookie(NULL, "w", (cookie_io_functions_t){.write = put_escaped});

    if (!escaped)
        return;
    if (isatty(STDOUT_FILENO))
        setvbuf(escaped, NULL, _IOLBF, BUFSIZ);
    raw = stdout;
    stdout = escaped;
}

FILE *tess_print_raw(void)
{
    return raw && !isatty(STDOUT_FILENO) ? raw : stdout;
}

int tess_print_finish(struct tess_error *error)
{
    if (fflush(stdout) != 0 || ferror(stdout) || (raw && (fflush(raw) != 0 || ferror(raw))))
        tess_error_set(error, TESS_EIO,
                       "standard output: cannot be written: %s: let it go where there is room",
                       strerror(why ? why : errno));
    return error->code;
}
