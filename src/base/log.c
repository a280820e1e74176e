/* log.c -- messages and progress. */
#include "tessera/log.h"

#include "tessera/clock.h"
#include "tessera/error.h"

#include <stdarg.h>
#include <stdio.h>
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
