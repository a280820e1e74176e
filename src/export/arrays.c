/* arrays.c -- NumPy's format 1.0 (numpy.lib.format): a line that says type and shape, then bytes.
 * A .npz is a zip file of them; it is not compressed, for floats hardly shrink. */
#include "arrays.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400
#define EPOCH_OF_ZIP                                                                               \
    (3652 * (int64_t)DAY) /* 1 January 1980: the same bytes whenever it is made                    \
                           */

static int fail(const struct tess_arrays *arrays, struct tess_error *error)
{
    return tess_error_set(error, TESS_EIO, "%s: cannot be written: %s", arrays->path,
                          arrays->zip ? archive_error_string(arrays->zip) : strerror(errno));
}

static int open_folder(struct tess_arrays *arrays, struct tess_error *error)
{
    arrays->aside = tess_format("%s.part", arrays->path);
    if (mkdir(arrays->aside, 0777) < 0) {
        if (errno == EEXIST)
            tess_error_set(error, TESS_ECREATE,
                           "%s: is left over from an export that was interrupted, or another one "
                           "is at work: remove it",
                           arrays->aside);
        else
            tess_error_set(error, TESS_ECREATE, "%s: cannot be created: %s", arrays->aside,
                           strerror(errno));
        tess_free(arrays->aside); /* it is not ours */
        arrays->aside = NULL;
    }
    return error->code;
}

static int open_file(struct tess_arrays *arrays, struct tess_error *error)
{
    if (tess_commit_open(&arrays->commit, arrays->path, error) != TESS_OK)
        return error->code;
    arrays->zip = archive_write_new();
    if (archive_write_set_format_zip(arrays->zip) != ARCHIVE_OK ||
        archive_write_set_format_option(arrays->zip, "zip", "compression", "store") != ARCHIVE_OK ||
        archive_write_open_filename(arrays->zip, arrays->commit.aside) != ARCHIVE_OK)
        fail(arrays, error);
    return error->code;
}

int tess_arrays_open(struct tess_arrays *arrays, const char *path, int force,
                     struct tess_error *error)
{
    const char *end = strrchr(path, '.');
    size_t length = strlen(path);

    *arrays = (struct tess_arrays){.path = tess_strdup(path)};
    while (length > 1 && arrays->path[length - 1] == '/')
        arrays->path[--length] = '\0';
    arrays->folder = !end || strcmp(end, ".npz") != 0;
    if (access(path, F_OK) == 0 && (arrays->folder || !force))
        return tess_error_set(error, TESS_ECREATE, "%s: is there already: name another output%s",
                              path, arrays->folder ? "" : ", or give --force");
    return arrays->folder ? open_folder(arrays, error) : open_file(arrays, error);
}

/* The array's line, filled up with blanks to a multiple of 64; own of the caller. */
static char *head_of(const struct tess_array *array, size_t *n)
{
    char shape[80] = "", *text, *head;
    size_t length, at = 0;

    for (int i = 0; i < array->n_dims; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%lld%s", (long long)array->shape[i],
                               array->n_dims == 1 || i + 1 < array->n_dims ? ", " : "");
    text =
        tess_format("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", array->type, shape);
    length = strlen(text);
    *n = (10 + length + 1 + 63) / 64 * 64;
    head = TESS_NEW(char, *n);
    memset(head, ' ', *n);
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)((*n - 10) & 0xff);
    head[9] = (char)((*n - 10) >> 8);
    memcpy(head + 10, text, length);
    head[*n - 1] = '\n';
    tess_free(text);
    return head;
}

static int begin_entry(struct tess_arrays *arrays, const char *name, int64_t bytes,
                       struct tess_error *error)
{
    struct archive_entry *entry;

    if (arrays->folder) {
        char *path = tess_format("%s/%s", arrays->aside, name);

        arrays->file = fopen(path, "wx");
        tess_free(path);
        return arrays->file ? TESS_OK : fail(arrays, error);
    }
    entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, bytes);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, EPOCH_OF_ZIP, 0);
    if (archive_write_header(arrays->zip, entry) != ARCHIVE_OK)
        fail(arrays, error);
    archive_entry_free(entry);
    return error->code;
}

static int end_entry(struct tess_arrays *arrays, struct tess_error *error)
{
    FILE *file = arrays->file;
    int failed;

    if (!file)
        return error->code;
    arrays->file = NULL;
    failed = fflush(file) != 0 || fsync(fileno(file)) < 0;
    if (fclose(file) != 0 || failed)
        fail(arrays, error);
    return error->code;
}

int tess_arrays_put(struct tess_arrays *arrays, const void *bytes, size_t n,
                    struct tess_error *error)
{
    const char *at = bytes;

    TESS_BUG_IF((int64_t)n > arrays->left);
    arrays->left -= (int64_t)n;
    if (tess_fail_here(error, arrays->path))
        return error->code;
    if (arrays->folder)
        return fwrite(at, 1, n, arrays->file) == n ? TESS_OK : fail(arrays, error);
    while (n > 0) { /* a call may take less */
        la_ssize_t took = archive_write_data(arrays->zip, at, n);

        if (took <= 0)
            return fail(arrays, error);
        at += took;
        n -= (size_t)took;
    }
    return TESS_OK;
}

int tess_arrays_begin(struct tess_arrays *arrays, const struct tess_array *array,
                      struct tess_error *error)
{
    int64_t bytes = array->item;
    char *name = tess_format("%s.npy", array->name), *head;
    size_t n;

    TESS_BUG_IF(arrays->left != 0);
    for (int i = 0; i < array->n_dims; i++)
        bytes *= array->shape[i];
    head = head_of(array, &n);
    arrays->left = bytes + (int64_t)n;
    if (end_entry(arrays, error) == TESS_OK &&
        begin_entry(arrays, name, arrays->left, error) == TESS_OK)
        tess_arrays_put(arrays, head, n, error);
    tess_free(head);
    tess_free(name);
    return error->code;
}

int tess_arrays_finish(struct tess_arrays *arrays, struct tess_error *error)
{
    TESS_BUG_IF(arrays->left != 0);
    if (end_entry(arrays, error) != TESS_OK)
        return error->code;
    if (!arrays->folder) {
        if (archive_write_close(arrays->zip) != ARCHIVE_OK)
            return fail(arrays, error);
        return tess_commit_finish(&arrays->commit, error);
    }
    if (rename(arrays->aside, arrays->path) < 0)
        return fail(arrays, error);
    tess_commit_sync_name(arrays->path);
    tess_free(arrays->aside);
    arrays->aside = NULL;
    return error->code;
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        char *name = tess_format("%s/%s", path, entry->d_name);

        if (entry->d_name[0] != '.')
            unlink(name);
        tess_free(name);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

void tess_arrays_release(struct tess_arrays *arrays)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    end_entry(arrays, &ignored);
    if (arrays->zip)
        archive_write_free(arrays->zip);
    tess_commit_release(&arrays->commit);
    if (arrays->aside)
        remove_folder(arrays->aside);
    tess_free(arrays->aside);
    tess_free(arrays->path);
    *arrays = (struct tess_arrays){.path = NULL};
}
