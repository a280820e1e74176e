/* writer.c -- the table of outputs: what a name promises, what a kind cannot do, and that every
 * function of a kind is called; the kind here is a small one of this test's own, of raw numbers. */
#include "tessera/writer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_ROWS     7
#define N_READOUTS 3

enum call {
    OPEN = 1,
    NAMES = 2,
    COLUMN = 4,
    DEFINE = 8,
    PUT = 16,
    SETTLE = 32,
    FINISH = 64,
    RELEASE = 128,
    ALL = 255
};
static int called, failing; /* failing: the call in which the last rank fails, or 0 */

static int note_call(enum call call, struct tess_error *error)
{
    int rank, n_ranks;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    called |= call;
    if (error && (int)call == failing && rank == n_ranks - 1)
        tess_error_set(error, TESS_EIO, "the last rank cannot write");
    return error ? error->code : 0;
}

static int open_raw(struct tess_writer *writer, struct tess_error *error)
{
    int *file = writer->state = TESS_NEW(int, 1);

    *file = open(writer->commit.aside, O_WRONLY | O_CLOEXEC);
    if (*file < 0)
        tess_error_set(error, TESS_ECREATE, "%s: cannot be opened", writer->commit.aside);
    return note_call(OPEN, error);
}

static int write_names(struct tess_writer *writer, enum tess_writer_axis axis,
                       const struct tess_writer_texts *name, struct tess_error *error)
{
    TESS_BUG_IF(name->n != (axis == TESS_WRITER_ROWS ? N_ROWS : N_READOUTS));
    TESS_BUG_IF(writer->rank == 0 && !name->text);
    return note_call(NAMES, error);
}

static int write_column(struct tess_writer *writer, enum tess_writer_axis axis,
                        const struct tess_writer_column *column, struct tess_error *error)
{
    (void)writer;
    TESS_BUG_IF(axis != TESS_WRITER_ROWS || strcmp(column->name, "flag") != 0);
    return note_call(COLUMN, error);
}

static int define_matrix(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                         struct tess_error *error)
{
    (void)writer;
    TESS_BUG_IF(matrix->layer || matrix->n_columns != N_READOUTS);
    return note_call(DEFINE, error);
}

static int put_rows(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                    const void *value, struct tess_error *error)
{
    size_t bytes = sizeof(float) * (size_t)(n * writer->n_readouts);
    off_t at = (off_t)sizeof(float) * first * writer->n_readouts;

    (void)layer;
    if (tess_fail_here(error, writer->commit.path))
        return error->code;
    if (pwrite(*(int *)writer->state, value, bytes, at) != (ssize_t)bytes)
        tess_error_set(error, TESS_EIO, "%s: cannot be written", writer->commit.path);
    return note_call(PUT, error);
}

static int settle(struct tess_writer *writer, struct tess_error *error)
{
    (void)writer;
    return note_call(SETTLE, error);
}

static int finish(struct tess_writer *writer, struct tess_error *error)
{
    (void)writer;
    return note_call(FINISH, error);
}

static void release(struct tess_writer *writer)
{
    note_call(RELEASE, NULL);
    close(*(int *)writer->state);
    tess_free(writer->state);
}

static const struct tess_writer_type raw = {
    .name = "raw numbers",
    .ending = ".raw",
    .open = open_raw,
    .write_names = write_names,
    .write_column = write_column,
    .define_matrix = define_matrix,
    .put_rows = put_rows,
    .settle = settle,
    .finish = finish,
    .release = release,
};

/* Rows in reverse order, dealt out to the ranks. */
static int write_raw(const char *path, struct tess_error *error)
{
    static const char *const names[N_ROWS] = {"a", "b", "c", "d", "e", "f", "g"};
    static const uint8_t flags[N_ROWS] = {1};
    const struct tess_writer_shape shape = {
        .type = &raw, .n_rows = N_ROWS, .n_readouts = N_READOUTS};
    const struct tess_writer_column column = {
        .name = "flag", .type = TESS_WRITER_FLAGS, .value = flags};
    struct tess_writer writer = {0};
    int n_ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    if (tess_writer_open(&writer, path, &shape, MPI_COMM_WORLD, error) == TESS_OK &&
        tess_writer_write_names(&writer, TESS_WRITER_ROWS, names, error) == TESS_OK &&
        tess_writer_write_names(&writer, TESS_WRITER_READOUTS, names, error) == TESS_OK &&
        tess_writer_write_column(&writer, TESS_WRITER_ROWS, &column, error) == TESS_OK &&
        tess_writer_write_text(&writer, "left/out", "no place for it", error) == TESS_OK &&
        tess_writer_write_number(&writer, "number", 1, error) == TESS_OK &&
        tess_writer_define_matrix(&writer, NULL, error) == TESS_OK) {
        for (int64_t i = N_ROWS - 1; i >= 0; i--) {
            float value[N_READOUTS] = {(float)i, (float)i + 0.25f, (float)i + 0.5f};

            if (i % n_ranks == writer.rank)
                tess_writer_put_rows(&writer, NULL, i, 1, value, error);
        }
        if (tess_writer_settle(&writer, error) == TESS_OK)
            tess_writer_finish(&writer, 1, error);
    }
    tess_writer_release(&writer);
    tess_writer_release(&writer);
    return error->code;
}

/* The file is whole, and has its checksums. */
static int check_raw(const char *path)
{
    float value[N_ROWS * N_READOUTS] = {0};
    char *sums = tess_format("%s.sum", path);
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(value, sizeof value[0], N_ROWS * N_READOUTS, file) : 0;
    int bad = n != N_ROWS * N_READOUTS || fgetc(file) != EOF || access(sums, F_OK) != 0;

    for (int i = 0; i < N_ROWS * N_READOUTS; i++)
        bad |= value[i] != (float)(i / N_READOUTS) + 0.25f * (float)(i % N_READOUTS);
    if (file)
        fclose(file);
    tess_free(sums);
    return bad;
}

/* 1 unless it is refused with this sentence, and nothing was called. */
static int not_refused(const struct tess_writer_shape *shape, const char *path, const char *text)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_writer writer;
    int bad = tess_writer_open(&writer, path, shape, MPI_COMM_WORLD, &error) != TESS_EUSAGE ||
              strcmp(error.text, text) != 0 || called;

    tess_writer_release(&writer);
    return bad;
}

static int check_formats(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    int bad = tess_writer_check_format("--format", "gctx", 0, &error) != TESS_OK ||
              tess_writer_format("gctx") != tess_writer_types[1] || tess_writer_format("") ||
              tess_writer_format(".gctx");

    bad |= tess_writer_check_format("--format", "gct", 0, &error) != TESS_EUSAGE ||
           strcmp(error.text, "--format: 'gct' is no format: these are written: .h5ad, .gctx") != 0;
    error = (struct tess_error)TESS_ERROR_INIT;
    bad |= tess_writer_check_format("--format", "gctx", TESS_WRITER_HALF, &error) != TESS_EUSAGE ||
           strcmp(error.text, "--format gctx: GCTX holds no values in float16: these do: .h5ad");
    return bad;
}

static int check_refused(void)
{
    const struct tess_writer_shape any = {.n_rows = N_ROWS, .n_readouts = N_READOUTS},
                                   layers = {.type = &raw,
                                             .n_rows = N_ROWS,
                                             .n_readouts = N_READOUTS,
                                             .parts = TESS_WRITER_LAYERS},
                                   sparse = {.type = &raw,
                                             .n_rows = N_ROWS,
                                             .n_readouts = N_READOUTS,
                                             .parts = TESS_WRITER_SPARSE};
    struct tess_error error = TESS_ERROR_INIT;
    int bad = not_refused(&any, "x.txt",
                          "x.txt: AnnData or GCTX is written: give a name in .h5ad or .gctx");

    bad |= not_refused(&any, ".h5ad",
                       ".h5ad: AnnData or GCTX is written: give a name in .h5ad or .gctx");
    bad |=
        not_refused(&layers, "x.raw", "x.raw: raw numbers holds no layers: give a name in .h5ad");
    bad |= not_refused(&sparse, "x.raw",
                       "x.raw: raw numbers holds no sparse matrix: give a name in .h5ad");
    bad |= tess_writer_check("-o", "x.txt", 0, &error) != TESS_EUSAGE ||
           strcmp(error.text,
                  "-o x.txt: AnnData or GCTX is written: give a name in .h5ad or .gctx") != 0;
    error = (struct tess_error)TESS_ERROR_INIT;
    bad |= tess_writer_check("-o", "x.h5ad", TESS_WRITER_LAYERS | TESS_WRITER_SPARSE, &error);
    bad |= tess_writer_find("x.h5ad", 0) != 0 || tess_writer_find("x.h5", 0) >= 0 ||
           tess_writer_find("x.gctx", 0) != 1;
    error = (struct tess_error)TESS_ERROR_INIT;
    bad |= tess_writer_check("-o", "x.gctx", TESS_WRITER_LAYERS, &error) != TESS_EUSAGE ||
           strcmp(error.text, "-o x.gctx: GCTX holds no layers: give a name in .h5ad") != 0;
    bad |= check_formats();
    return bad;
}

/* No kind of the table leaves out what it says that it can do. */
static int check_table(void)
{
    int bad = tess_n_writer_types < 1;

    for (int i = 0; i < tess_n_writer_types; i++) {
        const struct tess_writer_type *type = tess_writer_types[i];

        bad |= !type->name || !type->ending || !type->open || !type->write_names ||
               !type->put_rows || !type->finish || !type->release;
        bad |= type->parts & TESS_WRITER_SPARSE && (!type->define_sparse || !type->write_sparse);
    }
    return bad;
}

/* A kind without its own look at files: they are read back as an input. */
static int check_read_back(const char *path, const char *text, int64_t n_problems)
{
    struct tess_error error = TESS_ERROR_INIT, mine = TESS_ERROR_INIT;
    struct tess_strings problem = {0};
    json_t *about;
    int bad = tess_commit_text(path, text, &error) != TESS_OK;

    about = tess_writer_describe(&raw, path, &error);
    bad |= json_integer_value(json_object_get(about, "rows")) != 2 ||
           json_integer_value(json_object_get(about, "readouts")) != 2;
    bad |= tess_writer_verify(&raw, path, 0, 1, &problem, &mine) != TESS_OK;
    bad |= (int64_t)problem.n != n_problems;
    json_decref(about);
    tess_strings_release(&problem);
    unlink(path);
    return bad;
}

/* One rank fails in one function of the kind: all end there, with its sentence, and no file. */
static int check_failure(const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    int bad = write_raw(path, &error) != TESS_EIO ||
              strcmp(error.text, "the last rank cannot write") != 0;

    MPI_Barrier(MPI_COMM_WORLD);
    bad |= access(path, F_OK) == 0;
    MPI_Barrier(MPI_COMM_WORLD);
    return bad;
}

int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    char path[64] = "", sums[72];
    int rank, size, bad;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    tess_fail_rank(rank);
    snprintf(path, sizeof path, "writer_%d.raw", (int)getpid());
    MPI_Bcast(path, sizeof path, MPI_CHAR, 0, MPI_COMM_WORLD);
    bad = check_refused() | check_table();
    if (rank == 0) {
        bad |= check_read_back(path, "perturbation\tcontext\tg1\tg2\nA\tC\t1\t2\nB\tC\t3\t4\n", 0);
        bad |=
            check_read_back(path, "perturbation\tcontext\tg1\tg2\nA\tC\t1\t2\nB\tC\t3\tinf\n", 1);
    }
    for (failing = OPEN; failing <= FINISH; failing *= 2) /* a rank without rows puts none */
        if (failing != PUT || size <= N_ROWS)
            bad |= check_failure(path);
    failing = called = 0;
    bad |= write_raw(path, &error) != TESS_OK || (called | PUT) != ALL || check_raw(path);
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    snprintf(sums, sizeof sums, "%s.sum", path);
    if (rank == 0) {
        printf("%s%s\n", bad ? "FAILED: " : "ok", error.text);
        unlink(path);
        unlink(sums);
    }
    MPI_Finalize();
    return error.code ? error.code : bad;
}
