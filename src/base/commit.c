/* commit.c -- aside, fsync, rename, fsync of the directory. */
#include "tessera/commit.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/output.h"
#include "tessera/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DIGITS     8
#define SUFFIX     (1 + DIGITS + 5) /* ".xxxxxxxx.part" */
#define LOCK_TRIES 3000 /* of 10 ms */

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
    char *directory = tess_text_directory(path);

    sync_path(directory, O_RDONLY | O_DIRECTORY);
    tess_free(directory);
}

/* What a signal must remove. A handler can only read what is already there. */
#define MOST_ASIDES 8
static char unfinished[MOST_ASIDES][PATH_MAX];
static volatile sig_atomic_t is_unfinished[MOST_ASIDES];
static int n_locked; /* directories: a commit within another's (its sidecar) must not wait for it */

void tess_commit_abandon(void)
{
    for (int i = 0; i < MOST_ASIDES; i++)
        if (is_unfinished[i])
            unlink(unfinished[i]);
}

static void end(int number)
{
    tess_commit_abandon();
    raise(number); /* its own action is back; it comes when this returns */
}

static void *wait_for_signals(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* A thread that is within a large write hears of a signal when that is done, and mpirun kills a
 * second after it asked: the signals go to a thread that does nothing else. */
static void watch(const sigset_t *ours)
{
    static int watching;
    pthread_attr_t detached;
    pthread_t thread;

    if (!watching && pthread_attr_init(&detached) == 0) {
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        watching = pthread_create(&thread, &detached, wait_for_signals, NULL) == 0;
        pthread_attr_destroy(&detached);
    }
    if (watching)
        pthread_sigmask(SIG_BLOCK, ours, NULL);
}

/* What ends the program by default leaves no file behind. A file beyond the user's limit is an
 * error like a full disk. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
                                  SIGUSR1, SIGUSR2, SIGXCPU, SIGPIPE};
    struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND}, now;
    sigset_t ours;

    sigemptyset(&ours);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (sigaction(numbers[i], NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
            now.sa_handler == SIG_DFL && sigaction(numbers[i], &action, NULL) == 0 &&
            numbers[i] != SIGPIPE) /* which is the writing thread's own */
            sigaddset(&ours, numbers[i]);
    watch(&ours);
    signal(SIGXFSZ, SIG_IGN);
}

/* The flag is set last: a handler never sees half a name. What finds no place is finished all the
 * same, but left behind if a signal comes. */
static void note(const char *aside)
{
    int i = 0;

    while (i < MOST_ASIDES && is_unfinished[i])
        i++;
    if (i == MOST_ASIDES || strlen(aside) >= PATH_MAX)
        return;
    catch_signals();
    memcpy(unfinished[i], aside, strlen(aside) + 1);
    is_unfinished[i] = 1;
}

static void forget(const char *aside)
{
    for (int i = 0; i < MOST_ASIDES; i++)
        if (is_unfinished[i] && strcmp(unfinished[i], aside) == 0)
            is_unfinished[i] = 0;
}

size_t tess_commit_is_aside(const char *name)
{
    size_t length = strlen(name);

    if (length <= SUFFIX || strcmp(name + length - 5, ".part") != 0 || name[length - SUFFIX] != '.')
        return 0;
    return strspn(name + length - SUFFIX + 1, "0123456789abcdef") == DIGITS ? length - SUFFIX : 0;
}

void tess_commit_sweep(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *directory = tess_text_directory(path);
    DIR *folder = opendir(directory);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (tess_commit_is_aside(entry->d_name) == strlen(name) &&
            strncmp(entry->d_name, name, strlen(name)) == 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    tess_free(directory);
}

/* Not for secrecy: names have to differ, mostly, and O_EXCL decides. */
static unsigned draw(void)
{
    unsigned x = 0;
    struct timespec now;

    if (getrandom(&x, sizeof x, GRND_NONBLOCK) == (ssize_t)sizeof x)
        return x;
    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned)now.tv_nsec * 2654435761u ^ (unsigned)getpid();
}

/* The temporary file, empty, under a name that nobody has. */
static int create(struct tess_commit *commit, struct tess_error *error)
{
    int file = -1;

    for (int i = 0; i < 100 && file < 0; i++) {
        tess_free(commit->aside);
        commit->aside = tess_format("%s.%08x.part", commit->path, draw());
        note(commit->aside); /* first: a signal may come as soon as the file is there */
        file = open(commit->aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0)
            forget(commit->aside);
        if (file < 0 && errno != EEXIST)
            break;
    }
    if (file < 0 || fstat(file, &commit->mine) < 0)
        tess_error_set(error, TESS_ECREATE, "%s: its temporary file %s cannot be created: %s",
                       commit->path, commit->aside, strerror(errno));
    if (file >= 0)
        close(file);
    else { /* somebody else's */
        tess_free(commit->aside);
        commit->aside = NULL;
    }
    return error->code;
}

int tess_commit_open(struct tess_commit *commit, const char *path, struct tess_error *error)
{
    *commit = (struct tess_commit){.path = tess_strdup(path)};
    if (tess_fail_here(error, path) || tess_output_check(path, error) != TESS_OK)
        return error->code;
    commit->existed = lstat(path, &commit->before) == 0;
    return create(commit, error);
}

int tess_commit_open_kept(struct tess_commit *commit, const char *path, const char *aside,
                          struct tess_error *error)
{
    int file;

    *commit =
        (struct tess_commit){.path = tess_strdup(path), .aside = tess_strdup(aside), .kept = 1};
    if (tess_fail_here(error, path) || tess_output_check(path, error) != TESS_OK)
        return error->code;
    commit->existed = lstat(path, &commit->before) == 0;
    file = open(aside, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (file < 0 || fstat(file, &commit->mine) < 0 || !S_ISREG(commit->mine.st_mode))
        tess_error_set(error, TESS_ECREATE, "%s: its temporary file %s cannot be created: %s", path,
                       aside, file < 0 ? strerror(errno) : "it is no regular file");
    if (file >= 0)
        close(file);
    return error->code;
}

void tess_commit_join(struct tess_commit *commit, const char *path, const char *aside, int kept)
{
    *commit = (struct tess_commit){
        .path = tess_strdup(path), .aside = tess_strdup(aside), .guest = 1, .kept = kept};
    if (!kept)
        note(commit->aside);
}

/* One commit at a time in a directory, so that a file and its sidecar are of one writer. Where
 * there are no such locks (NFS, some Lustre) it is done without. */
static int lock_directory(struct tess_commit *commit, struct tess_error *error)
{
    char *directory = tess_text_directory(commit->path);
    int tries = 0, failed = 0;

    commit->lock = n_locked > 0 ? -1 : open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (commit->lock >= 0 && (failed = flock(commit->lock, LOCK_EX | LOCK_NB) < 0) &&
           (errno == EWOULDBLOCK || errno == EINTR) && tries++ < LOCK_TRIES)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    if (failed && errno == EWOULDBLOCK)
        tess_error_set(error, TESS_ECREATE,
                       "%s: another program has locked directory '%s' for %d s: run this again "
                       "when it has finished there",
                       commit->path, directory, LOCK_TRIES / 100);
    commit->n_locks = commit->lock >= 0;
    n_locked += commit->n_locks;
    tess_free(directory);
    return error->code;
}

static void unlock_directory(struct tess_commit *commit)
{
    if (commit->n_locks)
        close(commit->lock);
    n_locked -= commit->n_locks;
    commit->n_locks = 0;
}

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Written meanwhile: another file of that name, or one that has changed. If it was removed, nothing
 * is lost. */
static int is_taken(const struct tess_commit *commit)
{
    struct stat now;

    if (lstat(commit->path, &now) < 0)
        return 0;
    return !commit->existed || !same_file(&now, &commit->before) ||
           now.st_size != commit->before.st_size ||
           now.st_mtim.tv_sec != commit->before.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != commit->before.st_mtim.tv_nsec;
}

static int refuse_taken(const struct tess_commit *commit, struct tess_error *error)
{
    return tess_error_set(error, TESS_ECREATE,
                          "%s: was written by another program while this one was at work: that "
                          "file stands; run this again to replace it, or name another output",
                          commit->path);
}

int tess_commit_claim(struct tess_commit *commit, struct tess_error *error)
{
    struct stat now;

    if (commit->claimed)
        return error->code;
    /* A file that is gone is told of below. */
    /* first, for it takes long: others of this directory wait from here on */
    if (sync_path(commit->aside, O_RDONLY) < 0 && errno != ENOENT)
        return tess_error_set(error, TESS_EIO, "%s: cannot be brought to disk: %s", commit->path,
                              strerror(errno));
    if (lock_directory(commit, error) != TESS_OK)
        return error->code;
    commit->claimed = 1;
    if (stat(commit->aside, &now) < 0 || !same_file(&now, &commit->mine))
        return tess_error_set(
            error, TESS_ECREATE,
            "%s: its temporary file %s was removed or replaced by another program", commit->path,
            commit->aside);
    return is_taken(commit) ? refuse_taken(commit, error) : error->code;
}

/* A name that was free when writing began is taken only if it still is, in one step where the file
 * system can do that: NFS knows that only of links. */
static int move(const struct tess_commit *commit, struct tess_error *error)
{
    if (!commit->existed) {
        if (renameat2(AT_FDCWD, commit->aside, AT_FDCWD, commit->path, RENAME_NOREPLACE) == 0)
            return TESS_OK;
        if (errno != EEXIST && link(commit->aside, commit->path) == 0) {
            unlink(commit->aside);
            return TESS_OK;
        }
        if (errno == EEXIST)
            return refuse_taken(commit, error);
    }
    if (is_taken(commit)) /* by one that takes no locks, while a sidecar was written */
        return refuse_taken(commit, error);
    if (rename(commit->aside, commit->path) < 0)
        tess_error_set(error, TESS_EIO, "%s: cannot be renamed into place: %s", commit->path,
                       strerror(errno));
    return error->code;
}

/* Puts n bytes at the beginning of a file, and brings it to the disk; 0 or -1. */
static int put_head(const char *path, const char *head)
{
    int file = open(path, O_WRONLY | O_CLOEXEC), result;

    if (file < 0)
        return -1;
    result = pwrite(file, head, TESS_COMMIT_MARK_SIZE, 0) == TESS_COMMIT_MARK_SIZE &&
                     (fsync(file) == 0 || errno == EINVAL)
                 ? 0
                 : -1;
    if (close(file) < 0)
        result = -1;
    return result;
}

int tess_commit_mark(struct tess_commit *commit, struct tess_error *error)
{
    FILE *file = fopen(commit->aside, "rb");
    size_t n = file ? fread(commit->head, 1, sizeof commit->head, file) : 0;

    if (file)
        fclose(file);
    if (tess_fail_here(error, commit->path) || n != sizeof commit->head ||
        put_head(commit->aside, TESS_COMMIT_MARK) < 0)
        return tess_error_set(error, TESS_EIO, "%s: cannot be written: is the disk full? %s",
                              commit->aside, strerror(errno));
    commit->marked = 1;
    return TESS_OK;
}

/* All that belongs to it is there: the file begins as a whole one does. */
static int unmark(const struct tess_commit *commit, struct tess_error *error)
{
    if (commit->marked && put_head(commit->aside, commit->head) < 0)
        tess_error_set(error, TESS_EIO, "%s: cannot be written: %s", commit->aside,
                       strerror(errno));
    return error->code;
}

/* A place for tests to kill the process at, between rename and fsync. */
static int renamed(const char *path)
{
    struct tess_error unused = TESS_ERROR_INIT;

    tess_fail_here(&unused, path);
    return 1;
}

/* fsync (in claim) before rename: else the name could outlive a crash and the bytes not. After the
 * rename the directory, which holds the name; EINVAL is of file systems that cannot do that. */
int tess_commit_finish(struct tess_commit *commit, struct tess_error *error)
{
    char *directory = tess_text_directory(commit->path);

    if (!tess_fail_here(error, commit->path)) {
        if (tess_commit_claim(commit, error) == TESS_OK && unmark(commit, error) == TESS_OK &&
            move(commit, error) == TESS_OK && renamed(commit->path) &&
            sync_path(directory, O_RDONLY | O_DIRECTORY) < 0 && errno != EINVAL)
            tess_error_set(error, TESS_EIO, "%s: its directory cannot be brought to disk: %s",
                           commit->path, strerror(errno));
    }
    if (error->code == TESS_OK) {
        forget(commit->aside);
        tess_free(commit->aside);
        commit->aside = NULL;
    }
    tess_free(directory);
    tess_commit_release(commit);
    return error->code;
}

/* Open MPI may keep a lock beside a file, FILE-JOB-PROCESS.lock, and leaves it where there was no
 * room to close the file. */
static void remove_locks(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *directory = tess_text_directory(path);
    DIR *folder = opendir(directory);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        size_t length = strlen(entry->d_name), own = strlen(name);

        if (length > own + 6 && strncmp(entry->d_name, name, own) == 0 &&
            entry->d_name[own] == '-' && strcmp(entry->d_name + length - 5, ".lock") == 0)
            unlinkat(dirfd(folder), entry->d_name, 0);
    }
    if (folder)
        closedir(folder);
    tess_free(directory);
}

void tess_commit_release(struct tess_commit *commit)
{
    struct stat now;

    /* somebody may hold it open: the disk gets its room back all the same */
    if (commit->aside && !commit->guest && !commit->kept && stat(commit->aside, &now) == 0 &&
        same_file(&now, &commit->mine)) {
        if (truncate(commit->aside, 0) == 0 || errno != ENOENT)
            unlink(commit->aside);
        remove_locks(commit->aside);
    }
    if (commit->aside)
        forget(commit->aside);
    unlock_directory(commit);
    tess_free(commit->aside);
    tess_free(commit->path);
    *commit = (struct tess_commit){0};
}

/* f_bavail is what users other than root may fill; file systems that count nothing have 0 blocks */
double tess_commit_free(const char *path)
{
    char *directory = tess_text_directory(path);
    struct statvfs disk;
    double room = -1;

    if (statvfs(directory, &disk) == 0 && disk.f_blocks > 0)
        room = (double)disk.f_bavail * (double)disk.f_frsize;
    tess_free(directory);
    return room;
}

int tess_commit_check_room(const char *path, double bytes, struct tess_error *error)
{
    double room = tess_commit_free(path);

    if (!tess_fail_here(error, path) && room >= 0 && room < bytes)
        tess_error_set(error, TESS_ECREATE,
                       "%s: needs %.3g GB (%.0f bytes), but only %.3g GB (%.0f bytes) are free "
                       "there: ask for less or write elsewhere",
                       path, bytes / 1e9, bytes, room / 1e9, room);
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
