/* output.c -- may this be written? Files are compared by device and inode. */
#include "tessera/output.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *last_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* /dev/stdout, /dev/fd/1: links into this process, whatever they are connected to. */
static int is_stream(const char *path)
{
    char *directory = tess_text_directory(path), *real = realpath(directory, NULL), target[8] = "";
    ssize_t n = readlink(path, target, sizeof target - 1);
    int is =
        (real && strncmp(real, "/proc/", 6) == 0) || (n > 0 && strncmp(target, "/proc/", 6) == 0);

    free(real); /* realpath's own */
    tess_free(directory);
    return is;
}

/* The output is written aside in the same directory (commit.h), which must therefore be writable
 * even where the file exists. */
static int check_directory(const char *path, struct tess_error *error)
{
    char *directory = tess_text_directory(path);

    if (access(directory, W_OK | X_OK) < 0)
        tess_error_set(error, TESS_ECREATE, "%s: cannot write into directory '%s': %s", path,
                       directory, strerror(errno));
    tess_free(directory);
    return error->code;
}

int tess_output_check(const char *path, struct tess_error *error)
{
    const char *last = last_of(path);
    struct stat about;
    int there = stat(path, &about) == 0;

    if (there && S_ISDIR(about.st_mode))
        return tess_error_set(error, TESS_ECREATE,
                              "%s: is a directory: name the file in it that is to be written",
                              path);
    if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return tess_error_set(error, TESS_ECREATE, "'%s' is no name of a file to be written", path);
    if ((there && !S_ISREG(about.st_mode)) || is_stream(path))
        return tess_error_set(error, TESS_ECREATE,
                              "%s: is no regular file but a device, a pipe or a stream of this "
                              "process: write to a file and copy it from there",
                              path);
    return check_directory(path, error);
}

static int same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Two names of one file, or that would be. */
static int same_output(const char *a, const char *b)
{
    char *in_a = tess_text_directory(a), *in_b = tess_text_directory(b);
    struct stat one, other;
    int is;

    if (stat(a, &one) == 0 && stat(b, &other) == 0)
        is = same(&one, &other);
    else
        is = strcmp(last_of(a), last_of(b)) == 0 && stat(in_a, &one) == 0 &&
             stat(in_b, &other) == 0 && same(&one, &other);
    tess_free(in_a);
    tess_free(in_b);
    return is;
}

static int check_input(const char *output, const char *input, struct tess_error *error)
{
    struct stat written, read;

    if (stat(output, &written) == 0 && stat(input, &read) == 0 && same(&written, &read))
        tess_error_set(error, TESS_ECREATE,
                       "%s: is an input of this command (%s) and would be destroyed: name another "
                       "output",
                       output, input);
    return error->code;
}

int tess_outputs_check(const struct tess_outputs *outputs, struct tess_error *error)
{
    for (size_t i = 0; i < outputs->output.n; i++) {
        const char *output = outputs->output.item[i];

        if (tess_fail_here(error, output) || tess_output_check(output, error) != TESS_OK)
            return error->code;
        for (size_t k = 0; k < outputs->input.n; k++) {
            char *sums = tess_format("%s.sum", outputs->input.item[k]);

            if (check_input(output, outputs->input.item[k], error) == TESS_OK)
                check_input(output, sums, error);
            tess_free(sums);
        }
        for (size_t k = 0; k < i; k++)
            if (same_output(output, outputs->output.item[k]))
                tess_error_set(error, TESS_EUSAGE,
                               "%s and %s name the same file, %s: give each a name of its own",
                               outputs->name.item[i], outputs->name.item[k], output);
    }
    return error->code;
}

void tess_outputs_release(struct tess_outputs *outputs)
{
    tess_strings_release(&outputs->input);
    tess_strings_release(&outputs->output);
    tess_strings_release(&outputs->name);
}
