/* log.h -- what a user reads while the program works. Messages go to stderr, results to stdout.
 * Only rank 0 speaks: every other rank sets its level to TESS_LOG_NONE. Local. */
#ifndef TESSERA_LOG_H
#define TESSERA_LOG_H

#include <stdint.h>
#include <stdio.h>

struct tess_error;

/* What is printed (stdout) is for people: from here on control characters in it but tabs and ends
 * of lines come as \xNN (tess_escape), whatever symbols hold. Once; rank 0. Local. */
void tess_print_begin(void);
/* Where tables and JSON for other programs go that have no file: the standard output as it is,
 * unless it is a terminal. Borrowed. Local. */
FILE *tess_print_raw(void);
/* TESS_EIO if not all that was printed has arrived: the disk is full, nobody reads it. Local. */
int tess_print_finish(struct tess_error *error);

enum tess_log_level { TESS_LOG_NONE, TESS_LOG_WARN, TESS_LOG_INFO, TESS_LOG_DEBUG };

/* -q: WARN, default: INFO, -v: DEBUG. */
extern enum tess_log_level tess_log_level;

void tess_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tess_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tess_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Progress of long work: on a terminal one line, rewritten, with rate, percent and time left;
 * elsewhere plain lines, at most one every 10 s. Silent below TESS_LOG_INFO. */
struct tess_progress {
    const char *what; /* "reading cells"; borrowed */
    const char *unit; /* "cells"; borrowed */
    int64_t total; /* 0: not known */
    int64_t begun; /* what was done before it started; 0, or set after init */
    double started, shown;
    int visible; /* a line stands on the terminal */
};

void tess_progress_init(struct tess_progress *progress, const char *what, const char *unit,
                        int64_t total);
void tess_progress_show(struct tess_progress *progress, int64_t done);
void tess_progress_release(struct tess_progress *progress); /* clears the terminal's line */

#endif
