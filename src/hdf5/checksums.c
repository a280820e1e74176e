/* checksums.c -- the sidecar's text: a line of what it is; one of the size and a line a block, once
 * or twice; and a line with the hash of the lines before it. */
#include "tessera/checksums.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/sums.h"
#include "tessera/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define BLOCK  TESS_SUMS_BLOCK
#define FORMAT TESS_SUMS_FORMAT "\n"
#define END    21 /* characters of the last line */

struct record { /* of one file */
    int64_t bytes;
    uint64_t *sum; /* own; NULL: there is none */
};

static int64_t blocks_of(int64_t bytes)
{
    return bytes / BLOCK + (bytes % BLOCK > 0);
}

static void release(struct record record[2])
{
    tess_free(record[0].sum);
    tess_free(record[1].sum);
}

static int same(const struct record *a, const struct record *b)
{
    return a->sum && b->sum && a->bytes == b->bytes &&
           memcmp(a->sum, b->sum, (size_t)blocks_of(a->bytes) * sizeof *a->sum) == 0;
}

/* A file to be hashed; `head`: what its first bytes are to be (commit.h), or NULL: as they are. */
struct hashed {
    const char *path, *head;
    int64_t bytes;
};

/* One block of an open file; 0 if it cannot be read whole. */
static int hash_block(int file, const struct hashed *of, int64_t block, char *buffer, uint64_t *sum)
{
    int64_t bytes = of->bytes;
    int64_t first = block * BLOCK, n = bytes - first < BLOCK ? bytes - first : BLOCK, done = 0;

    errno = 0;
    while (done < n) {
        ssize_t got = pread(file, buffer + done, (size_t)(n - done), first + done);

        if (got <= 0)
            return 0;
        done += got;
    }
    if (block == 0 && of->head)
        memcpy(buffer, of->head, TESS_COMMIT_MARK_SIZE);
    *sum = XXH3_64bits(buffer, (size_t)n);
    return 1;
}

/* What ranks know of the blocks already: has[b] ranks do, and sum[b] is this rank's part of the sum
 * over ranks. What several know is nobody's: it is read. Collective. */
static void take_known(const struct tess_sums *known, MPI_Comm comm, struct record *out,
                       uint8_t *has)
{
    int64_t n = blocks_of(out->bytes);

    for (int64_t i = 0; known && i < known->n; i++)
        if (known->block[i] < out->bytes / BLOCK) {
            out->sum[known->block[i]] = known->sum[i];
            has[known->block[i]] = 1;
        }
    MPI_Allreduce(MPI_IN_PLACE, has, tess_int(n), MPI_UINT8_T, MPI_SUM, comm);
    for (int64_t b = 0; b < n; b++)
        if (has[b] != 1)
            out->sum[b] = 0;
}

/* Hashes of all blocks on every rank, each computed by one: when it was written, or now.
 * Collective.
 */
static int hash_file(const struct hashed *of, const struct tess_sums *known, MPI_Comm comm,
                     struct record *out, struct tess_error *error)
{
    int64_t n = blocks_of(of->bytes), turn = 0;
    char *buffer = TESS_NEW(char, BLOCK);
    uint8_t *has = TESS_NEW(uint8_t, n);
    int file = open(of->path, O_RDONLY | O_CLOEXEC), rank, n_ranks;

    *out = (struct record){of->bytes, TESS_NEW(uint64_t, n)};
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    take_known(known, comm, out, has);
    if (file < 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot be opened: %s", of->path, strerror(errno));
    for (int64_t b = 0; b < n && error->code == TESS_OK; b++)
        if (has[b] != 1 && turn++ % n_ranks == rank &&
            !hash_block(file, of, b, buffer, &out->sum[b]))
            tess_error_set(error, TESS_EDATA, "%s: block %lld (of 4 MiB) cannot be read: %s",
                           of->path, (long long)b, errno ? strerror(errno) : "the file is shorter");
    if (file >= 0)
        close(file);
    tess_free(buffer);
    tess_free(has);
    if (tess_agree(comm, error) == TESS_OK) /* zero everywhere but on one rank */
        MPI_Allreduce(MPI_IN_PLACE, out->sum, tess_int(n), MPI_UINT64_T, MPI_SUM, comm);
    return error->code;
}

/* A line of a hash has 17 bytes, and 160 are enough for the first, the last and two sizes. */
static char *to_text(const struct record record[2])
{
    size_t room = (size_t)(blocks_of(record[0].bytes) + blocks_of(record[1].bytes)) * 17 + 160;
    char *text = TESS_NEW(char, room);
    size_t at = (size_t)snprintf(text, room, FORMAT);

    for (int k = 0; k < 2 && record[k].sum; k++) {
        at += (size_t)snprintf(text + at, room - at, "bytes %" PRId64 "\n", record[k].bytes);
        for (int64_t b = 0; b < blocks_of(record[k].bytes); b++)
            at += (size_t)snprintf(text + at, room - at, "%016" PRIx64 "\n", record[k].sum[b]);
    }
    snprintf(text + at, room - at, "end %016" PRIx64 "\n", (uint64_t)XXH3_64bits(text, at));
    return text;
}

static int64_t size_of(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 ? (int64_t)about.st_size : -1;
}

/* One record of the sidecar's text between `at` and `end`; NULL if it is none, else what follows.
 */
static const char *read_record(const char *at, const char *end, struct record *out)
{
    int64_t bytes, n;
    int length = 0;

    if (sscanf(at, "bytes %" SCNd64 "\n%n", &bytes, &length) != 1 || length == 0 || bytes < 0)
        return NULL;
    at += length;
    n = blocks_of(bytes);
    /* a size is only believed (and memory taken) if the text is long enough for its hashes */
    if (n > (end - at) / 17)
        return NULL;
    *out = (struct record){bytes, TESS_NEW(uint64_t, n)};
    for (int64_t b = 0; b < n; b++, at += 17)
        sscanf(at, "%16" SCNx64, &out->sum[b]);
    return at;
}

/* Why a sidecar cannot be used; `text` NULL: there is none. */
static void refuse_sums(const char *name, const char *text, struct tess_error *error)
{
    size_t n = strcspn(FORMAT, " ") + 1;

    if (text && strncmp(text, FORMAT, n) == 0 && strncmp(text, FORMAT, strlen(FORMAT)) != 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is of another version ('%.*s'), this program reads '%s': use the "
                       "program that wrote it",
                       name, (int)(n + strspn(text + n, "0123456789")), text, TESS_SUMS_FORMAT);
    tess_error_set(error, TESS_EDATA, "%s: %s", name,
                   text ? "the checksums' file is damaged"
                        : "the checksums are missing (copy the file of that name along with it)");
}

/* The sidecar of `path`, read and checked. Local. */
static int read_sums(const char *path, struct record record[2], struct tess_error *error)
{
    char *name = tess_format("%s.sum", path), *text = NULL;
    int64_t room = size_of(name);
    FILE *file = room >= 0 ? fopen(name, "rb") : NULL;
    const char *end, *at = NULL;
    uint64_t sum = 0;
    size_t length = 0;

    if (file) {
        text = TESS_NEW(char, room + 1);
        length = fread(text, 1, (size_t)room, file);
        fclose(file);
    }
    if (length > strlen(FORMAT) + END && strncmp(text, FORMAT, strlen(FORMAT)) == 0 &&
        sscanf(text + length - END, "end %16" SCNx64 "\n", &sum) == 1 &&
        tess_sums_match(XXH3_64bits(text, length - END), sum)) {
        end = text + length - END;
        at = read_record(text + strlen(FORMAT), end, &record[0]);
        if (at && at < end)
            at = read_record(at, end, &record[1]);
        at = at == end ? at : NULL;
    }
    if (!at)
        refuse_sums(name, text, error);
    tess_free(text);
    tess_free(name);
    return error->code;
}

/* What is to be kept of the sidecar of a file that is about to be replaced: the record that it
 * matches. A file that is damaged has none. Collective. */
static void keep_current(const char *path, MPI_Comm comm, struct record *current)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct record record[2] = {{0, NULL}, {0, NULL}};
    int64_t bytes;
    int rank;

    MPI_Comm_rank(comm, &rank);
    bytes = rank == 0 ? size_of(path) : 0;
    if (bytes >= 0 && rank == 0 && read_sums(path, record, &ignored) != TESS_OK)
        bytes = -1;
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, comm);
    ignored = (struct tess_error)TESS_ERROR_INIT;
    if (bytes >= 0 &&
        (hash_file(&(struct hashed){path, NULL, bytes}, NULL, comm, current, &ignored) != TESS_OK ||
         !(same(current, &record[0]) || same(current, &record[1])))) {
        tess_free(current->sum);
        *current = (struct record){0, NULL};
    }
    release(record);
}

/* The name is claimed only after hashing, which takes long and needs no lock. From there until the
 * file is committed, too, other writers of its directory wait. */
int tess_checksums_write(struct tess_commit *commit, const struct tess_sums *known, MPI_Comm comm,
                         struct tess_error *error)
{
    char *name = tess_format("%s.sum", commit->path), *text;
    struct record record[2] = {{0, NULL}, {0, NULL}};
    int64_t bytes = 0;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && (bytes = size_of(commit->aside)) < 0)
        tess_error_set(error, TESS_EIO, "%s: %s", commit->aside, strerror(errno));
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, comm);
    if (tess_agree(comm, error) == TESS_OK &&
        hash_file(&(struct hashed){commit->aside, commit->marked ? commit->head : NULL, bytes},
                  known, comm, &record[0], error) == TESS_OK) {
        keep_current(commit->path, comm, &record[1]);
        if (rank == 0 && tess_commit_claim(commit, error) == TESS_OK) {
            text = to_text(record);
            if (commit->n_locks) /* under which alone it is written */
                tess_commit_sweep(name);
            tess_commit_text(name, text, error);
            tess_free(text);
        }
    }
    if (error->code == TESS_EDATA) /* what was just written cannot be read */
        error->code = TESS_EIO;
    release(record);
    tess_free(name);
    return tess_agree(comm, error);
}

/* Blocks of `found` that are not as they should be. */
static void compare(const char *path, const struct record *wanted, const struct record *found,
                    struct tess_strings *damage, struct tess_error *error)
{
    for (int64_t b = 0; b < blocks_of(found->bytes); b++) {
        int64_t end = (b + 1) * BLOCK;
        char *text;

        if (tess_sums_match(found->sum[b], wanted->sum[b]))
            continue;
        text = tess_format("%s: damaged between bytes %lld and %lld (checksum does not match)",
                           path, (long long)(b * BLOCK),
                           (long long)(end < found->bytes ? end : found->bytes));
        if (damage)
            tess_strings_add(damage, text);
        tess_error_set(error, TESS_EDATA, "%s", text);
        tess_free(text);
    }
}

/* Does the file exist, and (record not NULL) is its size one of those recorded? Local. */
static int check_size(const char *path, const struct record *record, int64_t *size,
                      struct tess_error *error)
{
    *size = size_of(path);
    if (*size < 0)
        return tess_error_set(error, TESS_EDATA, "%s: %s", path, strerror(errno));
    for (int k = 0; k < 2; k++)
        if (!record || (record[k].sum && record[k].bytes == *size))
            return TESS_OK;
    return tess_error_set(error, TESS_EDATA, "%s: has %lld bytes where %lld belong: damaged", path,
                          (long long)*size, (long long)record[0].bytes);
}

/* The size comes first: a truncated file is told of in one sentence, without being read. */
int tess_checksums_verify(const char *path, MPI_Comm comm, struct tess_strings *damage,
                          struct tess_error *error)
{
    struct record wanted[2] = {{0, NULL}, {0, NULL}}, found = {0, NULL};
    int64_t bytes = 0;
    int rank, whole;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && !tess_fail_here(error, path) && check_size(path, NULL, &bytes, error) == 0 &&
        read_sums(path, wanted, error) == TESS_OK)
        check_size(path, wanted, &bytes, error);
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, comm);
    whole = tess_agree(comm, error) == TESS_OK &&
            hash_file(&(struct hashed){path, NULL, bytes}, NULL, comm, &found, error) == 0;
    if (whole && rank == 0 && !same(&wanted[0], &found) && !same(&wanted[1], &found))
        compare(path, &wanted[wanted[0].bytes == bytes ? 0 : 1], &found, damage, error);
    else if (!whole && rank == 0 && damage)
        tess_strings_add(damage, error->text);
    release(wanted);
    tess_free(found.sum);
    return tess_agree(comm, error);
}

/* The file first: a file without its sidecar would look damaged. */
void tess_checksums_remove(const char *path)
{
    char *name = tess_format("%s.sum", path);

    unlink(path);
    unlink(name);
    tess_free(name);
}

int tess_checksums_rename(const char *path, const char *to)
{
    char *name = tess_format("%s.sum", path), *name_to = tess_format("%s.sum", to);
    int result = rename(path, to);

    rename(name, name_to);
    tess_free(name);
    tess_free(name_to);
    return result;
}
