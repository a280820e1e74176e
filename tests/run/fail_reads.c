/* fail_reads.c -- loaded before the C library (LD_PRELOAD): reads of stores (*.prc.h5) fail as on a
 * broken disk on rank $FAIL_READS_RANK (every rank without it) from when the file $FAIL_READS is
 * there. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int file)
{
    const char *flag = getenv("FAIL_READS"), *which = getenv("FAIL_READS_RANK");
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    char link[64], path[4096];
    ssize_t n;

    if (!flag || access(flag, F_OK) < 0 || (which && strcmp(which, rank ? rank : "0") != 0))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    n = readlink(link, path, sizeof path);
    return n > 7 && memcmp(path + n - 7, ".prc.h5", 7) == 0;
}

/* By its 64-bit name, as which programs with large files call it. */
ssize_t pread64(int file, void *to, size_t n, off64_t at)
{
    ssize_t (*next)(int, void *, size_t, off64_t);

    if (fails(file)) {
        errno = EIO;
        return -1;
    }
    *(void **)&next = dlsym(RTLD_NEXT, "pread64");
    return next(file, to, n, at);
}
