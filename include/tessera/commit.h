/* commit.h -- files appear whole or not at all: written aside, fsynced, renamed, directory fsynced.
 *
 * Every writer has a temporary file of its own in the same directory, `PATH.xxxxxxxx.part` with
 * eight drawn hexadecimal digits, created exclusively: two programs that write one file never touch
 * each other's bytes, and none removes what is another's while that is at work. The one that
 * finishes first has the name; the other finds that PATH is not what it was at its start, and ends
 * with TESS_ECREATE. Signals that end the program (Ctrl-C, TERM, HUP …) remove what is unfinished;
 * SIGKILL cannot be caught.
 *
 * Local; of a file that many ranks write, one begins and finishes, and shares the names
 * (broadcast.h).
 */
#ifndef TESSERA_COMMIT_H
#define TESSERA_COMMIT_H

#include <stddef.h>
#include <sys/stat.h>

struct tess_error;

/* What an unfinished file begins with in the place of its own first bytes, so that nobody takes it
 * for a whole one, under whatever name. */
#define TESS_COMMIT_MARK      "\x89TSS\r\n?\n"
#define TESS_COMMIT_MARK_SIZE 8
#define TESS_COMMIT_UNFINISHED                                                                     \
    "is an unfinished file of tessera impute, not a whole one: that command, given again, "        \
    "completes it"

struct tess_commit {
    char *path; /* final name; own */
    char *aside; /* temporary name in the same directory; own */
    int guest; /* another rank's: known here by name only */
    int kept; /* what is not finished stays: it is gone on from another time */
    int marked; /* it begins with TESS_COMMIT_MARK; finish puts `head` there before it is renamed */
    char head[TESS_COMMIT_MARK_SIZE];
    struct stat mine; /* the temporary file as it was created */
    struct stat before; /* PATH when writing began */
    int existed; /* was there such a file? */
    int claimed, n_locks; /* the decision was taken; locks held for it (0 or 1) */
    int lock; /* open directory, if there is one */
};

/* Checks that PATH may be written (output.h), and creates the temporary file, empty. TESS_ECREATE
 * otherwise. Any earlier PATH stays until finish. */
int tess_commit_open(struct tess_commit *commit, const char *path, struct tess_error *error);
/* The same with a temporary file of that name, there already or created now, that nobody removes:
 * not release, not a signal. */
int tess_commit_open_kept(struct tess_commit *commit, const char *path, const char *aside,
                          struct tess_error *error);
/* Marks the temporary file as unfinished until finish, and keeps its own first bytes. TESS_EIO. */
int tess_commit_mark(struct tess_commit *commit, struct tess_error *error);
/* What another rank has opened under these names: this one may open the file, and removes it, too,
 * if a signal ends it and it is not kept. */
void tess_commit_join(struct tess_commit *commit, const char *path, const char *aside, int kept);
/* fsync, then the decision between two writers: TESS_ECREATE if PATH was written by somebody else
 * meanwhile, or if the temporary file is not this writer's any more. From here to finish or release
 * others of this directory wait, where the file system has locks. May be called again. */
int tess_commit_claim(struct tess_commit *commit, struct tess_error *error);
/* fsync, claim, rename, fsync of the directory. On failure the temporary file is removed. Releases
 * the commit in either case. */
int tess_commit_finish(struct tess_commit *commit, struct tess_error *error);
/* fsync of the directory that PATH is in, so that its name stays. What cannot be is left. */
void tess_commit_sync_name(const char *path);
/* Removes a temporary file that was not finished; frees. May run twice. */
void tess_commit_release(struct tess_commit *commit);

/* Before the process ends where it is (a bug, a fault within a library): removes every temporary
 * file that it has not finished, of the first 8 that were open at a time. May be called from a
 * signal's handler. */
void tess_commit_abandon(void);

/* Is NAME one of a temporary file? Then how long the name is that it is to have, else 0. */
size_t tess_commit_is_aside(const char *name);

/* Removes temporary files for PATH that programs left which were killed. The caller knows that
 * nobody writes PATH now. */
void tess_commit_sweep(const char *path);

/* Bytes that are free in the directory of PATH for whoever is not root; negative where the file
 * system does not say. */
double tess_commit_free(const char *path);
/* Is there room for `bytes` more in the directory of PATH? TESS_ECREATE naming what is needed and
 * what is free if clearly not; a file system that cannot tell has room. */
int tess_commit_check_room(const char *path, double bytes, struct tess_error *error);

/* A text file written in that way from one block. */
int tess_commit_text(const char *path, const char *text, struct tess_error *error);

#endif
