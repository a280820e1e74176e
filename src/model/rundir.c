/* rundir.c -- finding things in a run directory. */
#include "tessera/rundir.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t tess_rundir_list(const char *directory, int64_t **step)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    size_t room = 0;
    int64_t n = 0;

    *step = NULL;
    while (folder && (entry = readdir(folder))) {
        long long number;
        int end = 0;

        if (sscanf(entry->d_name, "checkpoint-%lld.h5%n", &number, &end) < 1 || end == 0 ||
            entry->d_name[end] != '\0')
            continue;
        *step = tess_grow(*step, &room, (size_t)n + 1, sizeof **step);
        (*step)[n++] = number;
        for (int64_t i = n - 1; i > 0 && (*step)[i - 1] > (*step)[i]; i--) {
            int64_t x = (*step)[i];

            (*step)[i] = (*step)[i - 1];
            (*step)[i - 1] = x;
        }
    }
    if (folder)
        closedir(folder);
    return n;
}

char *tess_rundir_name(const char *directory, int64_t step)
{
    return tess_format("%s/checkpoint-%09lld.h5", directory, (long long)step);
}

static void read_store_name(const char *directory, char **store)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_config config;
    char *path = tess_format("%s/used.yaml", directory);
    FILE *file = fopen(path, "r");
    char *text = TESS_NEW(char, 1 << 18);

    tess_config_init(&config);
    if (file && fread(text, 1, (1 << 18) - 1, file) > 0)
        tess_config_parse(&config, text, path, &ignored);
    if (file)
        fclose(file);
    *store = tess_strdup(config.data.store);
    tess_free(text);
    tess_free(path);
}

int tess_rundir_find(const char *path, char **checkpoint, char **store, struct tess_error *error)
{
    const char *slash = strrchr(path, '/');
    char *directory;
    struct stat about;
    int64_t *step, n;

    *checkpoint = *store = NULL;
    if (stat(path, &about) < 0)
        return tess_error_set(error, TESS_EDATA, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(about.st_mode)) {
        directory = slash ? tess_strdup(path) : tess_strdup(".");
        if (slash)
            directory[slash - path] = '\0';
        *checkpoint = tess_strdup(path);
    } else {
        directory = tess_strdup(path);
        *checkpoint = tess_format("%s/best.h5", path);
        if (access(*checkpoint, R_OK) < 0) {
            n = tess_rundir_list(path, &step);
            tess_free(*checkpoint);
            *checkpoint = n > 0 ? tess_rundir_name(path, step[n - 1]) : NULL;
            tess_free(step);
        }
    }
    read_store_name(directory, store);
    tess_free(directory);
    if (!*checkpoint)
        return tess_error_set(error, TESS_EDATA, "%s: this directory holds no checkpoint", path);
    return TESS_OK;
}
