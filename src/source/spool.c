/* spool.c -- a pipe's copy is opened anew through the descriptor that keeps it alive. HDF5 insists
 * on a name: it gets one while it opens the file. */
#include "tessera/spool.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

struct tess_spool {
    char *path, *place; /* what it is called, where its copy is opened; own */
    char *folder; /* own */
    char *link; /* a name that the copy has for a while, or NULL; own */
    int file;
};

/* A file without a name, or -1. Where the file system cannot make one, its name is taken away. */
static int open_nameless(const char *path, const char *folder, struct tess_error *error)
{
    int file = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char *name;

    if (file >= 0)
        return file;
    name = tess_format("%s/tessera_XXXXXX", folder);
    file = mkstemp(name);
    if (file < 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is a pipe, and its copy %s cannot be made: %s (TMPDIR chooses a "
                       "folder)",
                       path, name, strerror(errno));
    else if (unlink(name) < 0)
        tess_error_set(error, TESS_EIO, "%s: cannot be removed: %s", name, strerror(errno));
    if (file >= 0)
        fcntl(file, F_SETFD, FD_CLOEXEC);
    tess_free(name);
    return file;
}

static int write_all(int file, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(file, data, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return 0;
        data += done;
        n -= (size_t)done;
    }
    return 1;
}

static void copy(const char *path, int file, struct tess_error *error)
{
    int from = open(path, O_RDONLY | O_CLOEXEC);
    char *piece = TESS_NEW(char, PIECE);
    ssize_t n = from < 0 ? -1 : 1;

    while (n > 0 && error->code == TESS_OK) {
        n = read(from, piece, PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0 && !write_all(file, piece, (size_t)n))
            tess_error_set(error, TESS_EIO,
                           "%s: is a pipe, and its copy cannot be written: %s (TMPDIR chooses a "
                           "folder with more room)",
                           path, strerror(errno));
    }
    if (n < 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path, strerror(errno));
    if (from >= 0)
        close(from);
    tess_free(piece);
}

static const char *add(struct tess_spools *spools, const char *path, struct tess_error *error)
{
    const char *folder = getenv("TMPDIR");
    struct tess_spool one = {.path = tess_strdup(path), .file = -1};

    one.folder = tess_strdup(folder && *folder ? folder : "/tmp");
    if (!tess_fail_here(error, path))
        one.file = open_nameless(path, one.folder, error);
    if (error->code == TESS_OK)
        copy(path, one.file, error);
    /* opening it anew gives a file position of its own (proc(5)), unlike dup */
    one.place = tess_format("/proc/self/fd/%d", one.file);
    if (error->code == TESS_OK && access(one.place, R_OK) < 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is a pipe, which is not read without /proc: give a "
                       "file",
                       path);
    spools->item = tess_grow(spools->item, &spools->room, spools->n + 1, sizeof spools->item[0]);
    spools->item[spools->n++] = one;
    return error->code == TESS_OK ? one.place : NULL;
}

const char *tess_spool_place(struct tess_spools *spools, const char *path, struct tess_error *error)
{
    struct stat status;

    for (size_t i = 0; spools && i < spools->n; i++)
        if (strcmp(spools->item[i].path, path) == 0)
            return spools->item[i].place;
    if (stat(path, &status) < 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return path; /* who opens it says what is wrong */
    if (!S_ISFIFO(status.st_mode) || !spools) {
        tess_error_set(error, TESS_EDATA, "%s: is %s: give a file%s", path,
                       S_ISFIFO(status.st_mode)   ? "a pipe"
                       : S_ISSOCK(status.st_mode) ? "a socket"
                                                  : "a terminal or another device",
                       S_ISFIFO(status.st_mode) ? "" : " or a pipe");
        return NULL;
    }
    return add(spools, path, error);
}

static struct tess_spool *find(const struct tess_spools *spools, const char *path)
{
    for (size_t i = 0; i < spools->n; i++)
        if (strcmp(spools->item[i].path, path) == 0)
            return &spools->item[i];
    tess_bug(__FILE__, __LINE__, path);
}

/* A name for a file that has none: linkat through /proc, as open(2) shows for O_TMPFILE. A copy
 * that had a name which was unlinked gets none any more (ENOENT). */
const char *tess_spool_link(struct tess_spools *spools, const char *path, struct tess_error *error)
{
    struct tess_spool *one = find(spools, path);

    for (int i = 0; i < 100; i++) {
        one->link = tess_format("%s/tessera_%ld_%d_%d", one->folder, (long)getpid(), one->file, i);
        if (linkat(AT_FDCWD, one->place, AT_FDCWD, one->link, AT_SYMLINK_FOLLOW) == 0)
            return one->link;
        tess_free(one->link);
        one->link = NULL;
        if (errno != EEXIST)
            break;
    }
    tess_error_set(error, TESS_EDATA,
                   "%s: is HDF5 from a pipe, and its copy in %s cannot be named: %s (write it to a "
                   "file, or choose another folder with TMPDIR)",
                   path, one->folder, strerror(errno));
    return NULL;
}

void tess_spool_unlink(struct tess_spools *spools, const char *path)
{
    const char *name = find(spools, path)->link;

    if (name)
        unlink(name);
}

void tess_spools_release(struct tess_spools *spools)
{
    for (size_t i = 0; i < spools->n; i++) {
        if (spools->item[i].file >= 0)
            close(spools->item[i].file);
        tess_free(spools->item[i].path);
        if (spools->item[i].link)
            unlink(spools->item[i].link);
        tess_free(spools->item[i].place);
        tess_free(spools->item[i].folder);
        tess_free(spools->item[i].link);
    }
    tess_free(spools->item);
    *spools = (struct tess_spools){0};
}
