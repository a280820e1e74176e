/* sweep_place.c -- the directory of a sweep: which trial is where. */
#include "sweep.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/trials.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

char *tess_sweep_path(const struct tess_sweep *sweep, int64_t i, const char *ending)
{
    return tess_format("%s/trial-%lld%s", sweep->directory, (long long)sweep->trial[i].number,
                       ending);
}

#define MOST_NUMBER 1000000 /* of a trial: larger ones are none that a sweep gives */

/* Its full path in the place of a file's name, as far as it has one. */
static void make_full(char path[TESS_PATH])
{
    char *full = tess_text_full_path(path);

    if (full && strlen(full) < TESS_PATH)
        memcpy(path, full, strlen(full) + 1);
    tess_free(full);
}

/* Everything that is read besides the store. */
static void make_inputs_full(struct tess_config *config)
{
    make_full(config->features.perturbations);
    make_full(config->features.readouts);
    make_full(config->train.init);
}

uint64_t tess_sweep_inputs(const struct tess_config *config)
{
    const char *const path[] = {config->features.perturbations, config->features.readouts,
                                config->train.init};
    int64_t part[4] = {0};
    struct stat about;

    for (int i = 0; i < 3; i++)
        if (path[i][0] && stat(path[i], &about) == 0) {
            part[1] = (int64_t)about.st_size;
            part[2] = (int64_t)about.st_mtim.tv_sec;
            part[3] = (int64_t)about.st_mtim.tv_nsec + i;
            part[0] = (int64_t)XXH3_64bits(part, sizeof part);
        }
    return (uint64_t)part[0];
}

/* What makes a trial that trial: all that changes its bits, the kinds of its members, and the files
 * that it reads. Not the store, whose hashes are compared, nor layout. Own. */
static char *identity_of(const struct tess_config *config)
{
    struct tess_config full = *config;
    char *yaml, *text;

    make_inputs_full(&full);
    yaml = tess_config_yaml(&full, 1, 0);
    text = tess_format("%s%s\n%s\n%s\n%s", yaml, full.train.member_kinds,
                       full.features.perturbations, full.features.readouts, full.train.init);
    free(yaml);
    return text;
}

/* The number of "trial-<number>", whatever comes behind it (*ending), or -1. */
static int64_t number_of(const char *name, const char **ending)
{
    long long number;
    int end = 0;

    if (sscanf(name, "trial-%lld%n", &number, &end) < 1 || end == 0 || number < 1)
        return -1;
    *ending = name + end;
    return number;
}

static int is_ours(const char *ending)
{
    return ending[0] == '\0' || strcmp(ending, ".yaml") == 0 || strcmp(ending, ".json") == 0;
}

struct numbers {
    struct tess_intern known; /* identities of trials in the directory */
    int64_t *number; /* (known.n) own */
    size_t room, room_taken, n_taken;
    uint8_t *taken; /* (n_taken) by number: is there anything of it? own */
    int others; /* is there anything else? */
};

/* One trial's settings, if they can be read. */
static void add_known(struct numbers *numbers, const char *path, int64_t number)
{
    struct tess_error unreadable = TESS_ERROR_INIT;
    struct tess_config config;
    char *identity;
    int64_t at;

    if (tess_rundir_read_used(path, &config, &unreadable) != TESS_OK) {
        tess_warn("%s; what is in trial-%lld is left alone", unreadable.text, (long long)number);
        return;
    }
    identity = identity_of(&config);
    at = tess_intern_add(&numbers->known, identity, strlen(identity));
    numbers->number =
        tess_grow(numbers->number, &numbers->room, (size_t)at + 1, sizeof *numbers->number);
    if (numbers->number[at] == 0 || number < numbers->number[at])
        numbers->number[at] = number;
    tess_free(identity);
}

static void add_entry(struct numbers *numbers, const char *directory, const char *name)
{
    const char *ending = "";
    int64_t number = number_of(name, &ending);

    if (tess_commit_is_aside(name) > 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strcmp(name, TESS_RUN_LOCK) == 0 || strcmp(name, "lost+found") == 0)
        return;
    if (number < 0 || number > MOST_NUMBER || !is_ours(ending)) {
        numbers->others = 1;
        return;
    }
    if ((size_t)number >= numbers->n_taken) {
        numbers->taken =
            tess_grow(numbers->taken, &numbers->room_taken, (size_t)number + 1, sizeof(uint8_t));
        numbers->n_taken = (size_t)number + 1;
    }
    numbers->taken[number] = 1;
    if (strcmp(ending, ".yaml") == 0) {
        char *path = tess_format("%s/%s", directory, name);

        add_known(numbers, path, number);
        tess_free(path);
    }
}

static void read_directory(struct numbers *numbers, const char *directory)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        add_entry(numbers, directory, entry->d_name);
    if (folder)
        closedir(folder);
}

/* Trials that are there keep their numbers; the others get those that are free, in their order. So
 * numbers do not depend on which of them have been begun. */
static void give_numbers(struct tess_sweep *sweep, const struct numbers *numbers)
{
    int64_t next = 1, met = 0;

    for (int64_t i = 0; i < sweep->trials->n; i++) {
        char *identity = identity_of(&sweep->trials->config[i]);
        int64_t at = tess_intern_find(&numbers->known, identity, strlen(identity));

        sweep->trial[i].number = at >= 0 ? numbers->number[at] : 0;
        met += at >= 0;
        tess_free(identity);
    }
    for (int64_t i = 0; i < sweep->trials->n; i++) {
        if (sweep->trial[i].number > 0)
            continue;
        while ((size_t)next < numbers->n_taken && numbers->taken[next])
            next++;
        sweep->trial[i].number = next++;
    }
    sweep->n_strangers = numbers->known.n - met;
}

int tess_sweep_place(struct tess_sweep *sweep, struct tess_error *error)
{
    struct numbers numbers = {.others = 0};

    read_directory(&numbers, sweep->directory);
    if (tess_rundir_is(sweep->directory) || (numbers.others && numbers.known.n == 0))
        tess_error_set(error, TESS_ECREATE,
                       "%s: holds other things than a sweep: name another directory with --set "
                       "run.directory=DIR",
                       sweep->directory);
    else
        give_numbers(sweep, &numbers);
    tess_intern_release(&numbers.known);
    tess_free(numbers.number);
    tess_free(numbers.taken);
    return error->code;
}

int tess_sweep_settings(const struct tess_sweep *sweep, int64_t i, struct tess_config *config,
                        struct tess_error *error)
{
    char *directory = tess_sweep_path(sweep, i, "");

    *config = sweep->trials->config[i];
    tess_config_set(config, "run.directory", directory, "a trial", error);
    tess_free(directory);
    return error->code;
}

/* Full paths of the run and of all that it reads, so that `tessera train` takes it from anywhere.
 */
int tess_sweep_record(const struct tess_sweep *sweep, int64_t i, struct tess_error *error)
{
    char *path = tess_sweep_path(sweep, i, ".yaml"), *yaml, *full;
    struct tess_config config;

    if (access(path, F_OK) != 0 && tess_sweep_settings(sweep, i, &config, error) == TESS_OK) {
        make_full(config.data.store);
        make_inputs_full(&config);
        full = tess_text_full_path(sweep->directory);
        if (full && strlen(full) + 32 < sizeof config.run.directory)
            snprintf(config.run.directory, sizeof config.run.directory, "%.900s/trial-%lld", full,
                     (long long)sweep->trial[i].number);
        tess_free(full);
        yaml = tess_config_yaml(&config, 0, 0);
        tess_commit_text(path, yaml, error);
        free(yaml);
    }
    tess_free(path);
    return error->code;
}
