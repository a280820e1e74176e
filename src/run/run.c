/* run.c -- a run directory: made, locked, moved aside; its log. */
#include "run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/lock.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/rundir.h"
#include "tessera/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_SECONDS    60 /* the ranks of a killed job take their time to end */
#define VISIBLE_SECONDS 35 /* NFS believes for 30 s that a file is not there */

/* Nothing but what a killed start, the lock or the file system leave. */
static int is_empty(const char *directory)
{
    static const char *const ignored[] = {".", "..", "lost+found", TESS_RUN_LOCK};
    DIR *folder = opendir(directory);
    struct dirent *entry;
    int n = 0;

    while (folder && (entry = readdir(folder))) {
        int counts = !tess_rundir_is_leftover(entry->d_name);

        for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
            counts &= strcmp(entry->d_name, ignored[i]) != 0;
        n += counts;
    }
    if (folder)
        closedir(folder);
    return n == 0;
}

int tess_run_make_directory(const char *path, struct tess_error *error)
{
    char *part = tess_strdup(path);
    struct stat about;

    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
    if (mkdir(part, 0777) == 0)
        tess_commit_sync_name(path);
    else if (errno == EEXIST && stat(part, &about) == 0 && !S_ISDIR(about.st_mode))
        tess_error_set(error, TESS_ECREATE,
                       "%s: is a file, no directory: name another one with --set run.directory=DIR",
                       path);
    else if (errno != EEXIST)
        tess_error_set(error, TESS_ECREATE, "%s: cannot create the run directory: %s", path,
                       strerror(errno));
    tess_free(part);
    return error->code;
}

/* An earlier run goes to DIRECTORY.old-1, -2 …: nothing is ever deleted. */
static void move_aside(const char *directory, struct tess_error *error)
{
    for (int i = 1; error->code == TESS_OK; i++) {
        char *aside = tess_format("%s.old-%d", directory, i);
        int there = access(aside, F_OK) == 0;

        if (!there && rename(directory, aside) < 0)
            tess_error_set(error, TESS_ECREATE, "%s: cannot be moved to %s: %s", directory, aside,
                           strerror(errno));
        else if (!there) {
            tess_commit_sync_name(aside);
            tess_info("the earlier run is now %s", aside);
        }
        tess_free(aside);
        if (!there)
            break;
    }
}

/* Temporary files of a killed run, which held the lock that this one now has; sidecars whose files
 * never came, or were deleted; STOPPED, which says that an earlier session was told to stop. */
static void remove_leftovers(const char *directory)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        char *name = tess_format("%s/%s", directory, entry->d_name);

        if (tess_rundir_is_leftover(entry->d_name) || strcmp(entry->d_name, "STOPPED") == 0)
            unlink(name);
        else if (tess_text_match("*.h5.sum", entry->d_name)) {
            char *file = tess_strdup(name);

            file[strlen(file) - 4] = '\0';
            if (access(file, F_OK) < 0 && unlink(name) == 0)
                tess_warn("%s is missing: it was being written when the run ended, or was deleted",
                          file);
            tess_free(file);
        }
        tess_free(name);
    }
    if (folder)
        closedir(folder);
}

static char *lock_path(const struct tess_run *run)
{
    return tess_format("%s/" TESS_RUN_LOCK, run->directory);
}

/* One run at a time: a killed one may linger for a moment, a requeued job must not mix with it. */
static void take_lock(struct tess_run *run, struct tess_error *error)
{
    const struct tess_lock_words words = {run->directory, "the run that works in it",
                                          "another run works in it", "name another run.directory"};
    char *path = lock_path(run);

    tess_lock_wait(&run->lock, path, &words, LOCK_SECONDS, tess_preempt_signal, error);
    tess_free(path);
}

void tess_run_open_log(struct tess_run *run, struct tess_error *error)
{
    char *path = tess_format("%s/log.jsonl", run->directory);

    if (run->log >= 0)
        close(run->log);
    run->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (run->log < 0)
        tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", path, strerror(errno));
    tess_free(path);
}

/* Rank 0. An earlier run is locked before it is moved aside: it may still be at work. Nothing
 * in the directory is removed or written before the lock is held. */
static int set_up(struct tess_run *run, int fresh, struct tess_error *error)
{
    run->earlier = tess_rundir_is(run->directory);
    if (!run->earlier && !is_empty(run->directory))
        tess_error_set(error, TESS_ECREATE,
                       "%s: holds other things than a run: name another directory with "
                       "--set run.directory=DIR",
                       run->directory);
    if (error->code == TESS_OK && run->earlier && fresh) {
        take_lock(run, error);
        move_aside(run->directory, error);
        tess_lock_release(&run->lock);
        run->earlier = 0;
    }
    if (error->code == TESS_OK)
        tess_run_make_directory(run->directory, error);
    if (error->code == TESS_OK)
        take_lock(run, error);
    if (error->code == TESS_OK)
        remove_leftovers(run->directory);
    if (error->code == TESS_OK && !run->earlier)
        tess_rundir_write_used(run->directory, &run->config, error);
    if (error->code == TESS_OK && run->config.train.members == 1)
        tess_run_open_log(run, error);
    return error->code;
}

/* Does this rank see the directory that rank 0 made? On a network file system it may take a while.
 */
static void look_for_lock(const struct tess_run *run, struct tess_error *error)
{
    char *path = lock_path(run);
    double started = tess_clock();

    while (access(path, F_OK) < 0) {
        if (tess_clock() - started > VISIBLE_SECONDS) {
            tess_error_set(error, TESS_ECREATE,
                           "%s: rank 0 made this run directory, but here it is not: it must lie on "
                           "a file system that all hosts share",
                           run->directory);
            break;
        }
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    tess_free(path);
}

int tess_run_open(struct tess_run *run, const struct tess_config *config, int fresh, MPI_Comm comm,
                  struct tess_error *error)
{
    size_t length;

    *run = (struct tess_run){.comm = comm,
                             .directory = tess_strdup(config->run.directory),
                             .config = *config,
                             .lock = -1,
                             .log = -1,
                             .unlogged = tess_strdup(""),
                             .interval = 60 * config->checkpoint.minutes,
                             .saved = tess_clock(),
                             .asked = tess_clock(),
                             .keep = config->checkpoint.keep};
    MPI_Comm_rank(comm, &run->rank);
    /* Without slashes at its end: move_aside puts .old-1 there. */
    for (length = strlen(run->directory); length > 1 && run->directory[length - 1] == '/';)
        run->directory[--length] = '\0';
    if (length == 0)
        tess_error_set(error, TESS_ECONFIG,
                       "run.directory is not set: give it in the configuration or with "
                       "--set run.directory=DIR");
    else if (run->rank == 0)
        set_up(run, fresh, error);
    if (tess_agree(comm, error) == TESS_OK && run->rank != 0)
        look_for_lock(run, error);
    return tess_agree(comm, error);
}

void tess_run_close(struct tess_run *run)
{
    if (run->directory && run->unlogged[0])
        tess_warn("%s/log.jsonl lacks its last lines: %s", run->directory, run->unlogged);
    if (run->directory) {
        tess_lock_release(&run->lock);
        if (run->log >= 0)
            close(run->log);
    }
    tess_kept_release(&run->best);
    tess_free(run->unlogged);
    tess_free(run->directory);
    *run = (struct tess_run){.lock = -1, .log = -1};
}

/* Is the lock in the directory still this run's? If somebody removed it, it is taken again; if
 * another run made its own there, that one's files are left alone. */
static void keep_lock(struct tess_run *run, struct tess_error *error)
{
    char *path = lock_path(run), who[TESS_LOCK_WHO] = "";
    struct stat mine, there;
    int gone = lstat(path, &there) < 0 && errno == ENOENT;

    if (gone)
        tess_lock_release(&run->lock);
    if (gone ? !tess_lock_try(&run->lock, path, who, error)
             : run->lock < 0 || (fstat(run->lock, &mine) == 0 && lstat(path, &there) == 0 &&
                                 (mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)))
        tess_error_set(
            error, TESS_ECREATE,
            "%s: another run has made itself at home there since this one began: nothing "
            "more is written to it; run one at a time, each in its own run.directory",
            run->directory);
    tess_free(path);
}

int tess_run_renew(struct tess_run *run, struct tess_error *error)
{
    if (access(run->directory, F_OK) == 0 || errno != ENOENT) {
        keep_lock(run, error);
        return error->code;
    }
    if (mkdir(run->directory, 0777) < 0) {
        tess_warn("%s: was removed and cannot be made anew: %s", run->directory, strerror(errno));
        return error->code; /* what comes next says so, too */
    }
    tess_warn("%s: was removed under the run; it is made anew, without what was in it",
              run->directory);
    tess_lock_release(&run->lock);
    take_lock(run, error);
    tess_run_open_log(run, error);
    return tess_rundir_write_used(run->directory, &run->config, error);
}

/* Whatever part of a line did not reach the file stays in `unlogged`, so that the next try goes on
 * in the middle of it and no line is torn. */
void tess_run_log(struct tess_run *run, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9));
    char *all = tess_format("%s%s\n", run->unlogged, text ? text : "");
    size_t done = 0, length = strlen(all);
    int behind = run->unlogged[0] != '\0';

    json_decref(line);
    free(text); /* Jansson's own */
    while (done < length) {
        ssize_t n = write(run->log, all + done, length - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (done < length && !behind)
        tess_warn("%s/log.jsonl: cannot write: %s; the run goes on", run->directory,
                  strerror(errno));
    tess_free(run->unlogged);
    run->unlogged = tess_strdup(all + done);
    tess_free(all);
}
