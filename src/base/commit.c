/* commit.c -- aside, fsync, rename, fsync of the directory. */
#include "tessera/commit.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory;

    if (!slash)
        return tess_strdup(".");
    directory = tess_strdup(path);
    directory[slash == path ? 1 : slash - path] = '\0';
    return directory;
}

static int sync_path(const char *path, int flags)
{
    int handle = open(path, flags), result;

    if (handle < 0)
        return -1;
    result = fsync(handle);
    if (close(handle) < 0)
        result = -1;
    return result;
}

void tess_commit_sync_name(const char *path)
{
    char *directory = directory_of(path);

    sync_path(directory, O_RDONLY | O_DIRECTORY);
    tess_free(directory);
}

int tess_commit_open(struct tess_commit *commit, const char *path, struct tess_error *error)
{
    char *directory = directory_of(path);

    commit->path = tess_strdup(path);
    commit->aside = tess_format("%s.part", path);
    if (!tess_fail_here(error, path)) {
        if (access(directory, W_OK | X_OK) < 0)
            tess_error_set(error, TESS_ECREATE, "%s: cannot write into directory '%s': %s", path,
                           directory, strerror(errno));
        else if (unlink(commit->aside) < 0 && errno != ENOENT)
            tess_error_set(error, TESS_ECREATE, "%s: cannot remove the old temporary file: %s",
                           commit->aside, strerror(errno));
    }
    tess_free(directory);
    return error->code;
}

/* A place for tests to kill the process at, between rename and fsync. */
static int renamed(const char *path)
{
    struct tess_error unused = TESS_ERROR_INIT;

    tess_fail_here(&unused, path);
    return 1;
}

int tess_commit_finish(struct tess_commit *commit, struct tess_error *error)
{
    char *directory = directory_of(commit->path);

    if (!tess_fail_here(error, commit->path)) {
        if (sync_path(commit->aside, O_RDONLY) < 0)
            tess_error_set(error, TESS_EIO, "%s: cannot be brought to disk: %s", commit->path,
                           strerror(errno));
        else if (rename(commit->aside, commit->path) < 0)
            tess_error_set(error, TESS_EIO, "%s: cannot be renamed into place: %s", commit->path,
                           strerror(errno));
        else if (renamed(commit->path) && sync_path(directory, O_RDONLY | O_DIRECTORY) < 0 &&
                 errno != EINVAL)
            tess_error_set(error, TESS_EIO, "%s: its directory cannot be brought to disk: %s",
                           commit->path, strerror(errno));
    }
    if (error->code == TESS_OK) {
        tess_free(commit->aside);
        commit->aside = NULL;
    }
    tess_free(directory);
    tess_commit_release(commit);
    return error->code;
}

void tess_commit_release(struct tess_commit *commit)
{
    if (commit->aside) { /* somebody may hold it open: the disk gets its room back all the same */
        if (truncate(commit->aside, 0) == 0 || errno != ENOENT)
            unlink(commit->aside);
    }
    tess_free(commit->aside);
    tess_free(commit->path);
    *commit = (struct tess_commit){0};
}

int tess_commit_check_room(const char *path, double bytes, struct tess_error *error)
{
    char *directory = directory_of(path);
    struct statvfs disk;

    if (!tess_fail_here(error, path) && statvfs(directory, &disk) == 0 && disk.f_blocks > 0) {
        double room = (double)disk.f_bavail * (double)disk.f_frsize;

        if (room < bytes)
            tess_error_set(error, TESS_ECREATE,
                           "%s: needs %.3g GB (%.0f bytes), but only %.3g GB (%.0f bytes) are free "
                           "there: ask for less or write elsewhere",
                           path, bytes / 1e9, bytes, room / 1e9, room);
    }
    tess_free(directory);
    return error->code;
}

static int write_text(const char *path, const char *text, struct tess_error *error)
{
    FILE *file = fopen(path, "w");
    int bad;

    if (!file)
        return tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    bad = fputs(text, file) < 0;
    bad = fclose(file) != 0 || bad;
    if (bad)
        tess_error_set(error, TESS_EIO, "%s: cannot write: %s", path, strerror(errno));
    return error->code;
}

int tess_commit_text(const char *path, const char *text, struct tess_error *error)
{
    struct tess_commit commit = {0};

    if (tess_commit_open(&commit, path, error) == TESS_OK &&
        write_text(commit.aside, text, error) == TESS_OK)
        return tess_commit_finish(&commit, error);
    tess_commit_release(&commit);
    return error->code;
}
