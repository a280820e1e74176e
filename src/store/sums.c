/* sums.c -- the sidecar's text: a line of what it is, one of the size, a line a block, and a line
 * with the hash of the lines before it. */
#include "tessera/sums.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCK  ((int64_t)4 << 20)
#define FORMAT "tessera-sums 1\n"

/* One block of an open file; 0 if it cannot be read whole. */
static int hash_block(int file, int64_t block, int64_t bytes, char *buffer, uint64_t *sum)
{
    int64_t first = block * BLOCK, n = bytes - first < BLOCK ? bytes - first : BLOCK, done = 0;

    while (done < n) {
        ssize_t got = pread(file, buffer + done, (size_t)(n - done), first + done);

        if (got <= 0)
            return 0;
        done += got;
    }
    *sum = XXH3_64bits(buffer, (size_t)n);
    return 1;
}

/* Hashes of all blocks on every rank, each computed by one. Collective. */
static uint64_t *hash_file(const char *path, int64_t bytes, MPI_Comm comm, struct tess_error *error)
{
    int64_t n = (bytes + BLOCK - 1) / BLOCK;
    uint64_t *sum = TESS_NEW(uint64_t, n);
    char *buffer = TESS_NEW(char, BLOCK);
    int file = open(path, O_RDONLY), rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    for (int64_t b = rank; b < n; b += n_ranks)
        if (file < 0 || !hash_block(file, b, bytes, buffer, &sum[b])) {
            tess_error_set(error, TESS_EDATA, "%s: block %lld (of 4 MiB) cannot be read: %s", path,
                           (long long)b, errno ? strerror(errno) : "the file is shorter");
            break;
        }
    if (file >= 0)
        close(file);
    tess_free(buffer);
    if (tess_agree(comm, error) == TESS_OK) /* zero everywhere but on one rank */
        MPI_Allreduce(MPI_IN_PLACE, sum, tess_int(n), MPI_UINT64_T, MPI_SUM, comm);
    return sum;
}

static char *to_text(int64_t bytes, const uint64_t *sum)
{
    int64_t n = (bytes + BLOCK - 1) / BLOCK;
    size_t room = (size_t)n * 17 + 128, at;
    char *text = TESS_NEW(char, room);

    at = (size_t)snprintf(text, room, FORMAT "bytes %" PRId64 "\n", bytes);
    for (int64_t b = 0; b < n; b++)
        at += (size_t)snprintf(text + at, room - at, "%016" PRIx64 "\n", sum[b]);
    snprintf(text + at, room - at, "end %016" PRIx64 "\n", (uint64_t)XXH3_64bits(text, at));
    return text;
}

static int64_t size_of(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

int tess_sums_write(const char *content, const char *path, MPI_Comm comm, struct tess_error *error)
{
    char *name = tess_format("%s.sum", path), *text;
    int64_t bytes = 0;
    uint64_t *sum;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && (bytes = size_of(content)) < 0)
        tess_error_set(error, TESS_EIO, "%s: %s", content, strerror(errno));
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, comm);
    if (tess_agree(comm, error) == TESS_OK) {
        sum = hash_file(content, bytes, comm, error);
        if (error->code == TESS_OK && rank == 0) {
            text = to_text(bytes, sum);
            tess_commit_text(name, text, error);
            tess_free(text);
        }
        tess_free(sum);
    }
    tess_free(name);
    return tess_agree(comm, error);
}

/* The sidecar of `path`, read and checked: its sums, or NULL. Local. */
static uint64_t *read_sums(const char *path, int64_t *bytes, struct tess_error *error)
{
    char *name = tess_format("%s.sum", path), *text = NULL;
    int64_t room = size_of(name), n = 0;
    FILE *file = room > 0 ? fopen(name, "rb") : NULL;
    uint64_t *sum = NULL, end = 0;
    size_t length = 0;

    if (file) {
        text = TESS_NEW(char, room + 1);
        length = fread(text, 1, (size_t)room, file);
        fclose(file);
    }
    if (length < 21 || strncmp(text, FORMAT, strlen(FORMAT)) != 0 ||
        sscanf(text + length - 21, "end %16" SCNx64 "\n", &end) != 1 ||
        end != XXH3_64bits(text, length - 21) ||
        sscanf(text + strlen(FORMAT), "bytes %" SCNd64, bytes) != 1 || *bytes < 0)
        tess_error_set(
            error, TESS_EDATA, "%s: %s", name,
            file ? "the checksums' file is damaged"
                 : "the checksums are missing (copy the file of that name along with it)");
    else {
        const char *at = strchr(text + strlen(FORMAT), '\n') + 1;

        n = (*bytes + BLOCK - 1) / BLOCK;
        sum = TESS_NEW(uint64_t, n);
        if ((int64_t)(text + length - 21 - at) != 17 * n)
            tess_error_set(error, TESS_EDATA, "%s: the checksums' file is damaged", name);
        for (int64_t b = 0; b < n && error->code == TESS_OK; b++)
            sscanf(at + 17 * b, "%16" SCNx64, &sum[b]);
    }
    tess_free(text);
    tess_free(name);
    return sum;
}

int tess_sums_verify(const char *path, MPI_Comm comm, struct tess_error *error)
{
    uint64_t *wanted = NULL, *found = NULL;
    int64_t bytes = 0, size;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && !tess_fail_here(error, path)) {
        size = size_of(path);
        if (size < 0)
            tess_error_set(error, TESS_EDATA, "%s: %s", path, strerror(errno));
        else if ((wanted = read_sums(path, &bytes, error)) && size != bytes)
            tess_error_set(error, TESS_EDATA, "%s: has %lld bytes where %lld belong: damaged", path,
                           (long long)size, (long long)bytes);
    }
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, comm);
    if (tess_agree(comm, error) == TESS_OK)
        found = hash_file(path, bytes, comm, error);
    for (int64_t b = 0; rank == 0 && error->code == TESS_OK && b < (bytes + BLOCK - 1) / BLOCK; b++)
        if (wanted[b] != found[b])
            tess_error_set(error, TESS_EDATA,
                           "%s: damaged between bytes %lld and %lld (checksum does not match)",
                           path, (long long)(b * BLOCK), (long long)((b + 1) * BLOCK));
    tess_free(wanted);
    tess_free(found);
    return tess_agree(comm, error);
}

void tess_sums_remove(const char *path)
{
    char *name = tess_format("%s.sum", path);

    unlink(path);
    unlink(name);
    tess_free(name);
}
