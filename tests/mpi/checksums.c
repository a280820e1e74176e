/* checksums.c -- sidecars: damage found and named, and no intact file condemned at any moment of
 * its replacement. */
#include "tessera/checksums.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/sums.h"
#include "tessera/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES ((size_t)9 << 20) /* three blocks */

static char folder[] = "/tmp/tess_checksums_XXXXXX";
static int rank;

static void put(const char *path, char letter, size_t bytes)
{
    char *data = TESS_NEW(char, bytes);
    FILE *file = rank == 0 ? fopen(path, "wb") : NULL;

    memset(data, letter, bytes);
    if (file) {
        TESS_BUG_IF(fwrite(data, 1, bytes, file) != bytes);
        fclose(file);
    }
    tess_free(data);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void flip(const char *path, long at)
{
    FILE *file = rank == 0 ? fopen(path, "r+b") : NULL;
    int byte;

    if (file) {
        fseek(file, at, SEEK_SET);
        byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 4, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* The code, and that every rank has it; the damaged blocks must be so many. */
static int verified(const char *path, size_t n_damaged)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_strings damage = {0};
    int code = tess_checksums_verify(path, MPI_COMM_WORLD, &damage, &error);

    TESS_BUG_IF(code != error.code);
    TESS_BUG_IF(code != TESS_OK && !strstr(error.text, path));
    TESS_BUG_IF(rank == 0 && damage.n != n_damaged);
    tess_strings_release(&damage);
    return code;
}

/* A new file of so many letters, and its sums; begun and not ended. */
static struct tess_commit begin(const char *path, char letter, size_t bytes)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_commit commit = {0};

    if (rank == 0)
        tess_commit_open(&commit, path, &error);
    TESS_BUG_IF(tess_agree(MPI_COMM_WORLD, &error) != TESS_OK);
    tess_broadcast_commit(MPI_COMM_WORLD, &commit);
    put(commit.aside, letter, bytes);
    TESS_BUG_IF(tess_checksums_write(&commit, NULL, MPI_COMM_WORLD, &error) != TESS_OK);
    return commit;
}

static void finish(struct tess_commit *commit)
{
    struct tess_error error = TESS_ERROR_INIT;

    if (rank == 0)
        TESS_BUG_IF(tess_commit_finish(commit, &error) != TESS_OK);
    tess_commit_release(commit);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Two at once: who is through first has the name, file and sidecar; the other hears of it, before
 * it has touched either. */
static void race(const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_commit first = {0}, other = {0};

    if (rank == 0) {
        tess_commit_open(&first, path, &error);
        tess_commit_open(&other, path, &error);
        TESS_BUG_IF(strcmp(first.aside, other.aside) == 0);
    }
    tess_broadcast_commit(MPI_COMM_WORLD, &first);
    tess_broadcast_commit(MPI_COMM_WORLD, &other);
    put(first.aside, '1', BYTES);
    put(other.aside, '2', BYTES);
    TESS_BUG_IF(tess_checksums_write(&first, NULL, MPI_COMM_WORLD, &error) != TESS_OK);
    finish(&first);
    TESS_BUG_IF(tess_checksums_write(&other, NULL, MPI_COMM_WORLD, &error) != TESS_ECREATE);
    TESS_BUG_IF(!strstr(error.text, "written by another program"));
    tess_commit_release(&other);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
}

/* Blocks whose hashes ranks know from writing them are believed, those of one rank each; what
 * nobody knows, or two ranks, is read. */
static void known_blocks(const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_commit commit = {0};
    struct tess_sums known = {0};
    char *data = TESS_NEW(char, BYTES);
    int n_ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    for (int turn = 0; turn < 3; turn++) {
        int wrong = turn == 1, by_all = turn == 2 && n_ranks > 1;

        if (rank == 0)
            tess_commit_open(&commit, path, &error);
        tess_broadcast_commit(MPI_COMM_WORLD, &commit);
        put(commit.aside, (char)('f' + turn), BYTES);
        memset(data, turn == 0 ? 'f' : 'x', BYTES);
        if (by_all || rank == n_ranks - 1)
            tess_sums_add(&known, 0, TESS_SUMS_BLOCK, data);
        if (rank == 0)
            tess_sums_add(&known, TESS_SUMS_BLOCK + (turn == 2), TESS_SUMS_BLOCK, data);
        TESS_BUG_IF(tess_checksums_write(&commit, &known, MPI_COMM_WORLD, &error) != TESS_OK);
        finish(&commit);
        if (turn < 2 || by_all)
            TESS_BUG_IF(verified(path, wrong ? 2 : 0) != (wrong ? TESS_EDATA : TESS_OK));
        tess_sums_release(&known);
    }
    tess_free(data);
}

int main(int argc, char **argv)
{
    struct tess_commit commit;
    char *path;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        TESS_BUG_IF(!mkdtemp(folder));
    MPI_Bcast(folder, (int)sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    path = tess_format("%s/file", folder);

    commit = begin(path, 'a', BYTES); /* a first file: the sidecar comes before it */
    TESS_BUG_IF(verified(path, 1) != TESS_EDATA);
    finish(&commit);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);

    commit = begin(path, 'b', BYTES + 5); /* replaced: intact before and after the rename */
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    tess_commit_release(&commit);
    commit = begin(path, 'c', 100); /* killed there, and begun again */
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    finish(&commit);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    commit = begin(path, 'd', BYTES);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    finish(&commit);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);

    flip(path, 1);
    flip(path, (long)BYTES - 1);
    TESS_BUG_IF(verified(path, 2) != TESS_EDATA);
    commit = begin(path, 'e', BYTES); /* replacing a damaged file does not make it right */
    TESS_BUG_IF(verified(path, 3) != TESS_EDATA);
    finish(&commit);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    put(path, 'e', BYTES - 1);
    TESS_BUG_IF(verified(path, 1) != TESS_EDATA);

    commit = begin(path, 'x', 0); /* an empty file has no blocks */
    finish(&commit);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    known_blocks(path);
    race(path);
    if (rank == 0) {
        tess_checksums_remove(path);
        rmdir(folder);
        TESS_BUG_IF(access(folder, F_OK) == 0);
        puts("ok");
    }
    tess_free(path);
    MPI_Finalize();
    return 0;
}
