/* anndata.c -- AnnData with every kind of element, written by all ranks. With a PATH the file stays
 * there for Python's anndata to judge (tests/run/write_anndata.py); without one it is removed. */
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define N_OBS 7
#define N_VAR 5

static const char *const genes[N_VAR] = {"TP53", "MYC", "ß-Catenin", "longer than the others", "E"};
static const char *const cells[N_OBS] = {"a", "b", "c", "d", "e", "f", "ångström"};

/* Rows of this rank: lopsided, so that with many ranks some have none. */
static void rows_of(int rank, int n_ranks, int64_t *first, int64_t *n)
{
    int64_t last = (int64_t)N_OBS * (rank + 1) * (rank + 1) / (n_ranks * n_ranks);

    *first = (int64_t)N_OBS * rank * rank / (n_ranks * n_ranks);
    *n = last - *first;
}

static void write_metadata(struct tess_writer *file, int rank, struct tess_error *error)
{
    static const char *const kinds[] = {"control", "drug", "µM"};
    static const char *const notes[] = {"one", "two"};
    int32_t code[N_OBS] = {0, 1, 2, -1, 1, 0, 2};
    int64_t count[N_OBS] = {0, 10, 20, 30, 40, 50, (int64_t)1 << 40};
    uint8_t flag[N_OBS] = {1, 0, 0, 1, 1, 0, 1};
    double share[N_OBS] = {0.5, 0, 1, 0.25, 0, 0, 0.125};
    char **many = TESS_NEW(char *, 200);
    int32_t wide[N_OBS] = {0, 199, 128, 127, -1, 5, 6};

    const struct tess_writer_column column[] = {
        {.name = "kind",
         .type = TESS_WRITER_CODES,
         .value = rank ? NULL : code,
         .n_categories = 3,
         .category = rank ? NULL : kinds},
        {.name = "many",
         .type = TESS_WRITER_CODES,
         .value = wide,
         .n_categories = 200,
         .category = (const char *const *)many},
        {.name = "count", .type = TESS_WRITER_INTEGERS, .value = count},
        {.name = "flag", .type = TESS_WRITER_FLAGS, .value = flag},
        {.name = "share", .type = TESS_WRITER_REALS, .value = rank ? NULL : share}};

    for (int i = 0; i < 200; i++)
        many[i] = tess_format("level %d", i);
    tess_writer_write_names(file, TESS_WRITER_ROWS, rank ? NULL : cells, error);
    tess_writer_write_names(file, TESS_WRITER_READOUTS, rank ? NULL : genes, error);
    for (int i = 0; i < 5 && error->code == TESS_OK; i++)
        tess_writer_write_column(file, TESS_WRITER_ROWS, &column[i], error);
    if (error->code == TESS_OK) {
        tess_writer_write_text(file, "provenance/command", rank ? NULL : "tessera, 2 µ", error);
        tess_writer_write_text(file, "provenance/empty", "", error);
        tess_writer_write_number(file, "provenance/deep/number", 0.1, error);
        tess_writer_write_texts(file, "notes", 2, rank ? NULL : notes, error);
    }
    for (int i = 0; i < 200; i++)
        tess_free(many[i]);
    tess_free(many);
}

static void write_dense(struct tess_writer *file, const char *layer, int64_t first, int64_t n,
                        struct tess_error *error)
{
    float *row = TESS_NEW(float, n *N_VAR);

    for (int64_t i = 0; i < n * N_VAR; i++)
        row[i] = (float)(first * N_VAR + i);
    if (first == 0 && n > 0)
        row[1] = NAN;
    if (tess_writer_define_matrix(file, layer, error) == TESS_OK) {
        tess_writer_put_rows(file, layer, first, n, row, error);
        tess_writer_settle(file, error);
    }
    tess_free(row);
}

/* Row i holds i mod 3 values. */
static void write_sparse(struct tess_writer *file, int64_t first, int64_t n,
                         struct tess_error *error)
{
    int64_t indptr[N_OBS + 1] = {0}, before = 0, all = 0;
    int32_t index[3 * N_OBS];
    float data[3 * N_OBS];

    for (int64_t i = 0; i < N_OBS; i++) {
        before += i < first ? i % 3 : 0;
        all += i % 3;
    }
    for (int64_t i = 0; i < n; i++) {
        indptr[i + 1] = indptr[i] + (first + i) % 3;
        for (int64_t k = 0; k < (first + i) % 3; k++) {
            index[indptr[i] + k] = (int32_t)(2 * k + 1);
            data[indptr[i] + k] = (float)(10 * (first + i) + k);
        }
    }
    if (tess_writer_define_sparse(file, all, error) == TESS_OK)
        tess_writer_write_sparse(
            file, &(struct tess_writer_sparse){first, n, before, indptr, index, data}, error);
}

static const struct tess_writer_shape shape = {
    .n_rows = N_OBS, .n_readouts = N_VAR, .parts = TESS_WRITER_LAYERS | TESS_WRITER_SPARSE};

static int write_file(const char *path, int sparse, struct tess_error *error)
{
    struct tess_writer file = {0};
    int rank, n_ranks;
    int64_t first, n;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    rows_of(rank, n_ranks, &first, &n);
    tess_writer_release(&file); /* zeroes are fine */
    if (tess_writer_open(&file, path, &shape, MPI_COMM_WORLD, error) == TESS_OK)
        write_metadata(&file, rank, error);
    if (error->code == TESS_OK && sparse)
        write_sparse(&file, first, n, error);
    else if (error->code == TESS_OK)
        write_dense(&file, NULL, first, n, error);
    if (error->code == TESS_OK)
        write_dense(&file, "std", first, n, error);
    if (error->code == TESS_OK)
        tess_writer_finish(&file, 0, error);
    tess_writer_release(&file);
    tess_writer_release(&file);
    return tess_agree(MPI_COMM_WORLD, error);
}

/* What cannot be created is refused on every rank, and an unfinished file leaves nothing. */
static int check_failures(const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_writer file;
    char *aside;
    int bad = write_file("/no/such/folder/x.h5ad", 0, &error) != TESS_ECREATE;

    error = (struct tess_error)TESS_ERROR_INIT;
    bad |= tess_writer_open(&file, path, &shape, MPI_COMM_WORLD, &error) != TESS_OK;
    aside = tess_strdup(file.commit.aside);
    bad |= access(aside, F_OK) != 0;
    tess_writer_release(&file);
    MPI_Barrier(MPI_COMM_WORLD);
    bad |= access(aside, F_OK) == 0;
    tess_free(aside);
    return bad;
}

int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    char own[64] = "";
    const char *path = argc > 1 ? argv[1] : own;
    int rank, bad = 0;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    tess_fail_rank(rank);
    tess_h5_init();
    snprintf(own, sizeof own, "anndata_%d.h5ad", (int)getpid());
    MPI_Bcast(own, sizeof own, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (argc == 1)
        bad |= check_failures(path);
    bad |= write_file(path, argc > 2 && strcmp(argv[2], "csr") == 0, &error) != TESS_OK;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s%s\n", bad ? "FAILED: " : "ok", error.text);
    if (rank == 0 && argc == 1)
        unlink(path);
    MPI_Finalize();
    return error.code ? error.code : bad;
}
