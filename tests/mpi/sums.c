/* sums.c -- sidecars: damage found and named, and no intact file condemned at any moment of its
 * replacement. */
#include "tessera/sums.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES ((size_t)9 << 20) /* three blocks */

static char folder[] = "/tmp/tess_sums_XXXXXX";
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
    int code = tess_sums_verify(path, MPI_COMM_WORLD, &damage, &error);

    TESS_BUG_IF(code != error.code);
    TESS_BUG_IF(code != TESS_OK && !strstr(error.text, path));
    TESS_BUG_IF(rank == 0 && damage.n != n_damaged);
    tess_strings_release(&damage);
    return code;
}

static void write_sums(const char *content, const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;

    TESS_BUG_IF(tess_sums_write(content, path, MPI_COMM_WORLD, &error) != TESS_OK);
}

static void move(const char *from, const char *to)
{
    if (rank == 0)
        rename(from, to);
    MPI_Barrier(MPI_COMM_WORLD);
}

int main(int argc, char **argv)
{
    char *path, *part;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (rank == 0)
        TESS_BUG_IF(!mkdtemp(folder));
    MPI_Bcast(folder, (int)sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    path = tess_format("%s/file", folder);
    part = tess_format("%s/file.part", folder);

    put(part, 'a', BYTES); /* a first file: the sidecar comes before it */
    write_sums(part, path);
    TESS_BUG_IF(verified(path, 1) != TESS_EDATA);
    move(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);

    put(part, 'b', BYTES + 5); /* replaced: intact before and after the rename */
    write_sums(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    put(part, 'c', 100); /* killed there, and begun again */
    write_sums(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    move(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    put(part, 'd', BYTES);
    write_sums(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    move(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);

    flip(path, 1);
    flip(path, (long)BYTES - 1);
    TESS_BUG_IF(verified(path, 2) != TESS_EDATA);
    put(part, 'e', BYTES); /* replacing a damaged file does not make it right */
    write_sums(part, path);
    TESS_BUG_IF(verified(path, 3) != TESS_EDATA);
    move(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    put(path, 'e', BYTES - 1);
    TESS_BUG_IF(verified(path, 1) != TESS_EDATA);

    put(part, 'x', 0); /* an empty file has no blocks */
    write_sums(part, path);
    move(part, path);
    TESS_BUG_IF(verified(path, 0) != TESS_OK);
    if (rank == 0) {
        tess_sums_remove(path);
        rmdir(folder);
        TESS_BUG_IF(access(folder, F_OK) == 0);
        puts("ok");
    }
    tess_free(path);
    tess_free(part);
    MPI_Finalize();
    return 0;
}
