/* run.c -- filling a run directory. */
#include "tessera/run.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/rundir.h"
#include "tessera/trainer.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_empty(const char *directory)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    int n = 0;

    while (folder && (entry = readdir(folder)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder)
        closedir(folder);
    return n == 0;
}

static void make_directory(const char *path, struct tess_error *error)
{
    char *part = tess_strdup(path);

    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
    if (mkdir(part, 0777) < 0 && errno != EEXIST)
        tess_error_set(error, TESS_ECREATE, "%s: cannot create the run directory: %s", path,
                       strerror(errno));
    tess_free(part);
}

static int set_up(struct tess_run *run, const struct tess_config *config, struct tess_error *error)
{
    char *used = tess_config_yaml(config, 0, 1),
         *path = tess_format("%s/used.yaml", run->directory);
    char *log = tess_format("%s/log.jsonl", run->directory);

    make_directory(run->directory, error);
    if (error->code == TESS_OK && !is_empty(run->directory))
        tess_error_set(error, TESS_ECREATE,
                       "%s: the run directory is not empty: name another one with "
                       "--set run.directory=DIR, or remove it",
                       run->directory);
    if (error->code == TESS_OK)
        tess_commit_text(path, used, error);
    if (error->code == TESS_OK) {
        run->log = fopen(log, "a");
        if (!run->log)
            tess_error_set(error, TESS_ECREATE, "%s: cannot create: %s", log, strerror(errno));
    }
    tess_free(used);
    tess_free(path);
    tess_free(log);
    return error->code;
}

int tess_run_open(struct tess_run *run, const struct tess_config *config, MPI_Comm comm,
                  struct tess_error *error)
{
    *run = (struct tess_run){.comm = comm,
                             .directory = tess_strdup(config->run.directory),
                             .interval = 60 * config->checkpoint.minutes,
                             .saved = tess_clock(),
                             .keep = config->checkpoint.keep};
    MPI_Comm_rank(comm, &run->rank);
    if (run->directory[0] == '\0')
        tess_error_set(error, TESS_ECONFIG,
                       "run.directory is not set: give it in the configuration or with "
                       "--set run.directory=DIR");
    else if (run->rank == 0)
        set_up(run, config, error);
    return tess_agree(comm, error);
}

void tess_run_close(struct tess_run *run)
{
    if (run->log)
        fclose(run->log);
    tess_free(run->directory);
    *run = (struct tess_run){0};
}

int tess_run_log(struct tess_run *run, json_t *line, struct tess_error *error)
{
    if (json_dumpf(line, run->log, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0 ||
        fputc('\n', run->log) == EOF || fflush(run->log) != 0)
        tess_error_set(error, TESS_EIO, "%s/log.jsonl: cannot write: %s", run->directory,
                       strerror(errno));
    json_decref(line);
    return error->code;
}

int tess_run_checkpoint_due(const struct tess_run *run)
{
    return run->rank == 0 && run->interval > 0 && tess_clock() - run->saved >= run->interval;
}

int tess_run_save(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    char *path = tess_rundir_name(run->directory, trainer->optimizer.step);
    int64_t *step, n;

    run->saved = tess_clock();
    if (tess_checkpoint_write(trainer, path, error) == TESS_OK && run->rank == 0) {
        n = tess_rundir_list(run->directory, &step);
        for (int64_t i = 0; i < n - run->keep; i++) {
            char *old = tess_rundir_name(run->directory, step[i]);

            unlink(old);
            tess_free(old);
        }
        tess_free(step);
    }
    tess_free(path);
    return error->code;
}

int tess_run_save_best(struct tess_run *run, struct tess_trainer *trainer, struct tess_error *error)
{
    char *path = tess_format("%s/best.h5", run->directory);

    tess_checkpoint_write(trainer, path, error);
    tess_free(path);
    return error->code;
}
