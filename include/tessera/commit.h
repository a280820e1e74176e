/* commit.h -- files appear whole or not at all: written aside, fsynced, renamed, directory fsynced.
 * Local; when a file is written by many ranks, one of them begins and finishes. */
#ifndef TESSERA_COMMIT_H
#define TESSERA_COMMIT_H

struct tess_error;

struct tess_commit {
    char *path;  /* final name; own                                   */
    char *aside; /* temporary name in the same directory; own          */
};

/* Checks that the directory exists and can be written (TESS_ECREATE otherwise), and picks the
 * temporary name, `PATH.part`. A stale one is removed. Any earlier PATH stays until finish. */
int tess_commit_open(struct tess_commit *commit, const char *path, struct tess_error *error);
/* fsync, rename, fsync of the directory. On failure the temporary file is removed. */
int tess_commit_finish(struct tess_commit *commit, struct tess_error *error);
/* fsync of the directory that PATH is in, so that its name stays. What cannot be is left. */
void tess_commit_sync_name(const char *path);
/* Removes a temporary file that was not finished; frees. May run twice. */
void tess_commit_release(struct tess_commit *commit);

/* Is there room for `bytes` more in the directory of PATH? TESS_ECREATE naming what is needed and
 * what is free if clearly not; a file system that cannot tell has room. */
int tess_commit_check_room(const char *path, double bytes, struct tess_error *error);

/* A text file written in that way from one block. */
int tess_commit_text(const char *path, const char *text, struct tess_error *error);

#endif
