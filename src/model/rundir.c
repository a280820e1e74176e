/* rundir.c -- finding things in a run directory. */
#include "tessera/rundir.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The step of "KIND-<step>.h5", or -1. %n is reached only if all before it matched, ".h5" included;
 * what follows must be the end of the name. */
static int64_t step_of(const char *name, const char *kind)
{
    size_t length = strlen(kind);
    long long step;
    int end = 0;

    if (strncmp(name, kind, length) != 0 || sscanf(name + length, "-%lld.h5%n", &step, &end) < 1 ||
        end == 0 || name[length + (size_t)end] != '\0')
        return -1;
    return step;
}

int64_t tess_rundir_list(const char *directory, const char *kind, int64_t **step)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    size_t room = 0;
    int64_t n = 0;

    *step = NULL;
    while (folder && (entry = readdir(folder))) {
        int64_t number = step_of(entry->d_name, kind), i = n;

        if (number < 0)
            continue;
        *step = tess_grow(*step, &room, (size_t)n + 1, sizeof **step);
        /* sorted in: a directory has few of them */
        for (; i > 0 && (*step)[i - 1] < number; i--)
            (*step)[i] = (*step)[i - 1];
        (*step)[i] = number;
        n++;
    }
    if (folder)
        closedir(folder);
    return n;
}

char *tess_rundir_name(const char *directory, const char *kind, int64_t step)
{
    return tess_format("%s/%s-%09lld.h5", directory, kind, (long long)step);
}

/* The number of "member-<number>", or -1: as it is written, so that no two names are one member. */
static int64_t member_of(const char *name)
{
    int64_t number;
    char *again;
    int same;

    if (strncmp(name, "member-", 7) != 0 || !tess_text_int64(name + 7, &number) || number < 1)
        return -1;
    again = tess_format("member-%lld", (long long)number);
    same = strcmp(again, name) == 0;
    tess_free(again);
    return same ? number : -1;
}

char *tess_rundir_member(const char *directory, int64_t number)
{
    return tess_format("%s/member-%lld", directory, (long long)number);
}

int64_t tess_rundir_members(const char *directory, int64_t **number)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    size_t room = 0;
    int64_t n = 0;

    *number = NULL;
    while (folder && (entry = readdir(folder))) {
        int64_t found = member_of(entry->d_name), i = n;
        char *path = tess_format("%s/%s", directory, entry->d_name);
        struct stat about;

        if (found > 0 && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
            *number = tess_grow(*number, &room, (size_t)n + 1, sizeof **number);
            for (; i > 0 && (*number)[i - 1] > found; i--)
                (*number)[i] = (*number)[i - 1];
            (*number)[i] = found;
            n++;
        }
        tess_free(path);
    }
    if (folder)
        closedir(folder);
    return n;
}

static int has_checkpoint(const char *directory)
{
    static const char *const kind[] = {TESS_RUN_CHECKPOINT, TESS_RUN_BEST};
    int has = 0;

    for (int i = 0; i < 2 && !has; i++) {
        int64_t *step;

        has = tess_rundir_list(directory, kind[i], &step) > 0;
        tess_free(step);
    }
    return has;
}

int tess_rundir_holds_members(const char *directory)
{
    int64_t *number, n = tess_rundir_members(directory, &number);

    tess_free(number);
    return n > 0 && !has_checkpoint(directory);
}

int tess_rundir_expand(const char *path, struct tess_strings *out, struct tess_error *error)
{
    int64_t *number, n = tess_rundir_members(path, &number), used = 0;

    if (!tess_rundir_holds_members(path)) {
        tess_strings_add(out, path);
        tess_free(number);
        return TESS_OK;
    }
    for (int64_t i = 0; i < n; i++) {
        char *member = tess_rundir_member(path, number[i]);

        if (has_checkpoint(member)) {
            tess_strings_add(out, member);
            used++;
        } else
            tess_warn("%s: has no checkpoint yet: the ensemble is of the others", member);
        tess_free(member);
    }
    if (used == 0)
        tess_error_set(error, TESS_EDATA, "%s: none of its %lld members has a checkpoint yet", path,
                       (long long)n);
    tess_free(number);
    return error->code;
}

int tess_rundir_is(const char *directory)
{
    char *used = tess_format("%s/used.yaml", directory);
    int is = access(used, F_OK) == 0 || has_checkpoint(directory) ||
             tess_rundir_holds_members(directory);

    tess_free(used);
    return is;
}

/* A store that is no longer where the training had it, but under its name in the run's directory,
 * or beside that (members: beside the whole run): both were moved together. Who opens it compares
 * hashes. */
static void find_moved(const char *directory, char **store)
{
    static const char *const place[] = {"", "../", "../../"};
    const char *slash = strrchr(*store, '/'), *name = slash ? slash + 1 : *store;

    for (int i = 0; name[0] && i < 3 && access(*store, F_OK) < 0; i++) {
        char *path = tess_format("%s/%s%s", directory, place[i], name);

        if (access(path, F_OK) == 0) {
            tess_free(*store);
            *store = path;
            return;
        }
        tess_free(path);
    }
}

static void read_store_name(const char *directory, char **store)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    char *path = tess_format("%s/used.yaml", directory);
    struct tess_config config;

    tess_rundir_read_used(path, &config, &ignored);
    *store = tess_strdup(config.data.store);
    find_moved(directory, store);
    tess_free(path);
}

/* The first `length` characters of a name: a file that a run makes? One ending is taken off;
 * .damaged.sum is tried first, as it ends in another one. */
static int is_ours(const char *name, size_t length)
{
    static const char *const fixed[] = {"used.yaml", "log.jsonl", TESS_RUN_LOCK, TESS_RUN_BLEND,
                                        TESS_RUN_DEVIATION};
    static const char *const ending[] = {".damaged.sum", ".damaged", ".sum"};
    char *file = tess_format("%.*s", (int)length, name);
    int is = 0;

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        is |= strcmp(file, fixed[i]) == 0;
    for (int i = 0; i < 3; i++)
        if (length > strlen(ending[i]) &&
            strcmp(file + length - strlen(ending[i]), ending[i]) == 0) {
            file[length - strlen(ending[i])] = '\0';
            break;
        }
    is |= step_of(file, TESS_RUN_CHECKPOINT) >= 0 || step_of(file, TESS_RUN_BEST) >= 0;
    tess_free(file);
    return is;
}

int tess_rundir_is_leftover(const char *name)
{
    size_t length = tess_commit_is_aside(name);

    return length > 0 && is_ours(name, length);
}

/* A run depends on its store as well: a command that reads the run must not write over it. */
static void add_used(const char *directory, struct tess_strings *out)
{
    char *used = tess_format("%s/used.yaml", directory), *store = NULL;

    if (access(used, F_OK) == 0) {
        tess_strings_add(out, used);
        read_store_name(directory, &store);
        if (store && store[0])
            tess_strings_add(out, store);
    }
    tess_free(store);
    tess_free(used);
}

/* Of one directory, without its members, or of a checkpoint. */
static void add_inputs(const char *path, struct tess_strings *out)
{
    DIR *folder = opendir(path);
    const char *slash = strrchr(path, '/');
    char *directory = slash ? tess_format("%.*s", (int)(slash - path) + 1, path) : tess_strdup(".");
    struct dirent *entry;
    struct stat about;

    while (folder && (entry = readdir(folder)))
        if (is_ours(entry->d_name, strlen(entry->d_name))) {
            char *name = tess_format("%s/%s", path, entry->d_name);

            tess_strings_add(out, name);
            tess_free(name);
        }
    if (folder)
        closedir(folder);
    if (folder ||
        (stat(path, &about) == 0 && S_ISREG(about.st_mode))) /* a checkpoint, under any name */
        add_used(folder ? path : directory, out);
    tess_free(directory);
}

void tess_rundir_inputs(const char *path, struct tess_strings *out)
{
    int64_t *number, n = tess_rundir_members(path, &number);

    add_inputs(path, out);
    for (int64_t i = 0; i < n; i++) {
        char *member = tess_rundir_member(path, number[i]);

        add_inputs(member, out);
        tess_free(member);
    }
    tess_free(number);
}

int tess_rundir_has_best(const char *directory, int64_t step)
{
    char *path = tess_rundir_name(directory, TESS_RUN_BEST, step);
    int there = step == 0 || access(path, F_OK) == 0;

    tess_free(path);
    return there;
}

/* A path that does not fit, or is no UTF-8, or a file that is gone, stays as it was given. */
static void make_full(char path[TESS_PATH])
{
    char *full = tess_text_full_path(path);

    if (full && strlen(full) < TESS_PATH)
        snprintf(path, TESS_PATH, "%s", full);
    tess_free(full);
}

/* On a copy: in the trainer's own settings paths stay as the user gave them. */
int tess_rundir_write_used(const char *directory, const struct tess_config *config,
                           struct tess_error *error)
{
    struct tess_config used = *config;
    char *path = tess_format("%s/used.yaml", directory), *yaml;

    make_full(used.data.store);
    make_full(used.train.init);
    yaml = tess_config_yaml(&used, 0, 1);
    tess_commit_text(path, yaml, error);
    tess_free(yaml);
    tess_free(path);
    return error->code;
}

int tess_rundir_read_used(const char *path, struct tess_config *config, struct tess_error *error)
{
    FILE *file = fopen(path, "r");
    int why = file ? 0 : errno;
    char *text = TESS_NEW(char, 1 << 18);
    size_t n = file ? fread(text, 1, (1 << 18) - 1, file) : 0;

    tess_config_init(config);
    if (n == 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path,
                       file ? "it is empty" : strerror(why));
    else if (strlen(text) < n)
        tess_error_set(error, TESS_EDATA, "%s: holds a zero byte: the file is damaged", path);
    else
        tess_config_parse(config, text, path, error);
    if (file)
        fclose(file);
    tess_free(text);
    return error->code;
}

static void add_all(const char *directory, const char *kind, struct tess_strings *out)
{
    int64_t *step, n = tess_rundir_list(directory, kind, &step);

    for (int64_t i = 0; i < n; i++) {
        char *name = tess_rundir_name(directory, kind, step[i]);

        tess_strings_add(out, name);
        tess_free(name);
    }
    tess_free(step);
}

/* Best ones before checkpoints, each from the newest to the oldest: who finds one damaged takes the
 * next. */
int tess_rundir_find(const char *path, struct tess_strings *checkpoint, char **store,
                     struct tess_error *error)
{
    const char *slash = strrchr(path, '/');
    char *directory = tess_strdup(path);
    struct stat about;

    *store = NULL;
    if (stat(path, &about) < 0)
        tess_error_set(error, TESS_EDATA, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(about.st_mode)) {
        add_all(path, TESS_RUN_BEST, checkpoint);
        add_all(path, TESS_RUN_CHECKPOINT, checkpoint);
    } else {
        directory[slash ? slash - path : 0] = '\0';
        tess_strings_add(checkpoint, path);
    }
    if (error->code == TESS_OK)
        read_store_name(directory[0] ? directory : ".", store);
    if (error->code == TESS_OK && checkpoint->n == 0 && S_ISDIR(about.st_mode) &&
        tess_rundir_holds_members(path))
        tess_error_set(error, TESS_EDATA,
                       "%s: holds members, each of them a model: name one, as %s/member-1", path,
                       path);
    else if (error->code == TESS_OK && checkpoint->n == 0)
        tess_error_set(error, TESS_EDATA, "%s: this directory holds no checkpoint", path);
    tess_free(directory);
    return error->code;
}
