/* error.c -- errors, bugs, and the torture counter. */
#include "tessera/error.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*tess_bug_hook)(int exit_code);

static int fail_rank;
static long fail_calls;

/* Bytes of the control character at `text`: C0, DEL, or C1 in UTF-8; 0: it is none. */
static size_t control_at(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
        return 2;
    return c[0] && (c[0] < ' ' || c[0] == 127);
}

void tess_escape(char *text, size_t room)
{
    size_t n = strlen(text), at = 0, bytes;
    char escaped[5];

    while (at < n) {
        bytes = control_at(text + at);
        if (!bytes) {
            at++;
            continue;
        }
        if (n + 4 - bytes >= room) { /* no room: what is left goes */
            text[at] = '\0';
            return;
        }
        snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned char)text[at + bytes - 1]);
        memmove(text + at + 4, text + at + bytes, n - at - bytes + 1);
        memcpy(text + at, escaped, 4);
        n += 4 - bytes;
        at += 4;
    }
}

int tess_error_set(struct tess_error *error, int code, const char *format, ...)
{
    va_list arguments;

    if (error->code != TESS_OK)
        return error->code;
    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    tess_escape(error->text, sizeof error->text);
    return code;
}

void tess_fail_rank(int rank)
{
    fail_rank = rank;
}

/* A call that the environment names, as "n@rank" or "n"; 0 for none. */
struct site {
    long number, rank;
};

static struct site read_site(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    struct site site = {.number = text ? strtol(text, &end, 10) : 0};

    if (end && *end == '@')
        site.rank = strtol(end + 1, NULL, 10);
    return site;
}

int tess_fail_here(struct tess_error *error, const char *what)
{
    static struct site fail, stop;
    static int known;
    long number;

    if (!known) {
        fail = read_site("TESS_FAIL_AT");
        stop = read_site("TESS_STOP_AT");
        known = 1;
    }
    /* Any thread may come here: n names the same call again only where their order is fixed. */
    number = __atomic_add_fetch(&fail_calls, 1, __ATOMIC_RELAXED);
    if (fail_rank == stop.rank && number == stop.number)
        raise(SIGSTOP);
    if (fail_rank != fail.rank || (number != fail.number && number != -fail.number))
        return 0;
    if (fail.number < 0)
        kill(getpid(), SIGKILL);
    tess_error_set(error, TESS_EIO, "%s: failed on purpose (TESS_FAIL_AT)", what);
    return 1;
}

void tess_fail_report(void)
{
    const char *text = getenv("TESS_FAIL_AT");

    if (text && strcmp(text, "0") == 0)
        fprintf(stderr, "rank %d: %ld fallible calls\n", fail_rank, fail_calls);
}

void tess_bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "tessera: rank %d: bug at %s:%d: %s\n", fail_rank, file, line, what);
    fprintf(stderr, "tessera: please report this with the command and the lines above\n");
    fflush(stderr);
    if (tess_bug_hook)
        tess_bug_hook(TESS_EBUG);
    abort();
}
