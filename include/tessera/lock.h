/* lock.h -- one program at a time: a file that is locked (flock) while somebody works beside it.
 *
 * The lock goes with the process that holds it, however that ends; the file may stay behind and
 * means nothing then. Where the file system has no locks (some network ones) everybody gets it.
 * Local. */
#ifndef TESSERA_LOCK_H
#define TESSERA_LOCK_H

struct tess_error;

#define TESS_LOCK_WHO 128

/* What is locked, in words. */
struct tess_lock_words {
    const char *what; /* the run directory, the output */
    const char *holder; /* "the run that works in it" */
    const char *refusal; /* "another run works in it" */
    const char *remedy; /* "name another run.directory" */
};

/* The lock file at `path`, created if need be, with a line in it that says who holds it. 1: `*file`
 * is open and ours, or there is an error (waiting would not help: TESS_ECREATE); 0: it is somebody
 * else's, who says in `who` who that is, and *file is -1. A symbolic link is not followed. */
int tess_lock_try(int *file, const char *path, char who[TESS_LOCK_WHO], struct tess_error *error);
/* The same, waiting for it: TESS_ECREATE after so many seconds, TESS_EINTERRUPTED as soon as
 * stopped() is true. */
int tess_lock_wait(int *file, const char *path, const struct tess_lock_words *words, double seconds,
                   int (*stopped)(void), struct tess_error *error);
/* Gives it back; *file becomes -1. May run twice. */
void tess_lock_release(int *file);

#endif
