/* lock.c -- flock on a file that stays where it is. */
#include "tessera/lock.h"

#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void tess_lock_release(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* What is written to it would go elsewhere. */
static void refuse(const char *path, const char *what, struct tess_error *error)
{
    tess_error_set(
        error, TESS_ECREATE,
        "%s: is %s, where a lock belongs: remove it, or name another output or directory", path,
        what);
}

static void sign(int file, const char *path)
{
    char host[64] = "";

    gethostname(host, sizeof host - 1);
    if (ftruncate(file, 0) < 0 || dprintf(file, "process %ld on %s\n", (long)getpid(), host) < 0)
        tess_debug("%s: cannot write: %s", path, strerror(errno));
}

/* A link is not followed, and a FIFO opened without waiting: either would have us lock, or wait
 * for, something elsewhere. */
int tess_lock_try(int *file, const char *path, char who[TESS_LOCK_WHO], struct tess_error *error)
{
    struct stat mine, there;
    int result = 1;

    *file = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (*file < 0 && errno == ELOOP)
        refuse(path, "a symbolic link", error);
    else if (*file < 0)
        tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    else if (fstat(*file, &mine) == 0 && !S_ISREG(mine.st_mode))
        refuse(path, "no regular file", error);
    else if (flock(*file, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        ssize_t n = read(*file, who, TESS_LOCK_WHO - 1);

        who[n > 0 ? n - 1 : 0] = '\0';
        result = 0;
    } else if (fstat(*file, &mine) < 0 || lstat(path, &there) < 0 || mine.st_ino != there.st_ino)
        result = 0; /* it was removed, or moved with its directory, in between */
    else
        sign(*file, path);
    if (!result)
        tess_lock_release(file);
    return result;
}

int tess_lock_wait(int *file, const char *path, const struct tess_lock_words *words, double seconds,
                   int (*stopped)(void), struct tess_error *error)
{
    double started = tess_clock();
    char who[TESS_LOCK_WHO] = "";

    for (int i = 0; !tess_lock_try(file, path, who, error); i++) {
        if (i == 3)
            tess_info("%s: waiting for %s (%s)", words->what, words->holder, who);
        if (stopped())
            return tess_error_set(error, TESS_EINTERRUPTED,
                                  "%s: stopped by a signal while waiting for %s (%s)", words->what,
                                  words->holder, who);
        if (tess_clock() - started > seconds)
            return tess_error_set(
                error, TESS_ECREATE,
                "%s: %s (%s): wait for its end, or %s; if there is none, remove %s", words->what,
                words->refusal, who, words->remedy, path);
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    return error->code;
}
