/* error.h -- how a failure travels: a code, the rank it happened on, one sentence.
 *
 * A function that can fail because of the outside world (a file, a configuration, data) takes a
 * `struct tess_error *` as its last parameter, fills it once and returns its code. The first error
 * wins: setting an error that is already set changes nothing. A bug of ours aborts the job instead
 * (TESS_BUG_IF). MPI failures and small allocations are fatal. Codes are exit codes (sysexits.h).
 */
#ifndef TESSERA_ERROR_H
#define TESSERA_ERROR_H

#include <stddef.h>

enum tess_code {
    TESS_OK = 0,
    TESS_EUSAGE = 2, /* the command line */
    TESS_EDATA = 65, /* an input file or its contents */
    TESS_EBUG = 70, /* ours */
    TESS_EOS = 71, /* the machine: not enough memory */
    TESS_ECREATE = 73, /* an output cannot be created */
    TESS_EIO = 74, /* reading or writing failed */
    TESS_EINTERRUPTED = 75 /* stopped after a complete checkpoint: run me again */,
    TESS_ECONFIG = 78, /* the configuration */
};

#define TESS_ERROR_TEXT 2048

struct tess_error {
    int code; /* enum tess_code; TESS_OK: nothing happened */
    int rank; /* where it happened; set by tess_agree */
    char text[TESS_ERROR_TEXT]; /* one sentence: file, place, remedy; no control characters */
};

#define TESS_ERROR_INIT                                                                            \
    {                                                                                              \
        0, 0, ""                                                                                   \
    }

/* Record a failure and return `code`. If `error` holds one already, that one stays and its code is
 * returned: clean-up code may fail again without hiding the cause. Local. */
int tess_error_set(struct tess_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Control characters in place as \xNN, for what people read: raw they could move a terminal's
 * cursor, or a line's end could begin a line of its own. `text` has `room` bytes; what does not fit
 * goes. Local. */
void tess_escape(char *text, size_t room);

/* Torture: counts fallible sites; true when this is the one that TESS_FAIL_AT=<n>@<rank> names
 * (n counts from 1 on that rank; `@rank` defaults to 0); -<n> kills the process there, and
 * TESS_STOP_AT=<n>@<rank> stops it until SIGCONT. Call it as
 *     if (tess_fail_here(error, "reading the index"))
 *         return error->code;
 * at the head of every function whose failure is the outside world's. Local. */
int tess_fail_here(struct tess_error *error, const char *what);

/* Tell the torture counter which rank this is (main calls it once). Local. */
void tess_fail_rank(int rank);
/* With TESS_FAIL_AT=0 nothing fails; this says how many fallible sites this rank passed. Local. */
void tess_fail_report(void);

/* A condition that only a bug of ours can make true: say where and end the whole job. Local. */
#define TESS_BUG_IF(condition)                                                                     \
    do {                                                                                           \
        if (condition)                                                                             \
            tess_bug(__FILE__, __LINE__, #condition);                                              \
    } while (0)
/* What TESS_BUG_IF does. Local. */
void tess_bug(const char *file, int line, const char *what) __attribute__((noreturn));

/* What tess_bug calls after its message; main points it at MPI_Abort. Default: abort(). */
extern void (*tess_bug_hook)(int exit_code);

#endif
