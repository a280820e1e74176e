/* store.c -- any number of ranks writes the same store, and each reads its own part. */
#include "../sample.h"

#include "tessera/error.h"

#include <stdio.h>
#include <unistd.h>

static struct tess_error error = TESS_ERROR_INIT;

/* Experiments cut unevenly: rank r takes [6r/n, 6(r+1)/n), and its folds. */
static void write_by(MPI_Comm comm, const char *path)
{
    struct tess_store store;
    struct tess_index index;
    int64_t first, end, at;
    float value[16];
    int rank, n;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n);
    sample_index(&index);
    if (tess_store_create(&store, path, comm, &index, &error) != TESS_OK)
        return;
    first = 6 * rank / n;
    end = 6 * (rank + 1) / n;
    at = store.index.value_first[first];
    for (int64_t i = at; i < store.index.value_first[end]; i++)
        value[i - at] = sample_value(0, i);
    tess_store_write_values(&store, first, end - first, value, &error);
    first = store.index.fold_first[first];
    end = store.index.fold_first[end];
    at = store.index.fold_value_first[first];
    for (int64_t i = at; i < store.index.fold_value_first[end]; i++)
        value[i - at] = sample_value(1, i);
    tess_store_write_folds(&store, first, end - first, value, &error);
    tess_store_finish(&store, &error);
}

/* Sum of what this rank can read of its part; NaN counts as nothing. */
static int reads_well(MPI_Comm comm, const char *path, uint64_t *hash)
{
    struct tess_store store;
    float value[14];
    int bad = 0;

    if (tess_store_open(&store, path, comm, &error) != TESS_OK)
        return 0;
    tess_store_read_values(&store, 0, 6, value, &error);
    for (int64_t i = 0; i < 14; i++)
        bad |= isnan(value[i]) ? i % 5 != 3 : value[i] != sample_value(0, i);
    bad |= store.index.n_observed[5] != 2;
    tess_store_verify(&store, &error);
    *hash = store.index.hash;
    tess_store_release(&store);
    return !bad && error.code == TESS_OK;
}

int main(int argc, char **argv)
{
    int rank, n_ranks, bad, pid = (int)getpid();
    uint64_t hash = 0, alone = 1;
    char path[64], single[64];

    MPI_Init(&argc, &argv);
    tess_h5_init();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Bcast(&pid, 1, MPI_INT, 0, MPI_COMM_WORLD);
    snprintf(path, sizeof path, "/tmp/tessera_mpi_store_%d.h5", pid);
    snprintf(single, sizeof single, "/tmp/tessera_mpi_store_%d_1.h5", pid);
    write_by(MPI_COMM_WORLD, path);
    bad = !reads_well(MPI_COMM_WORLD, path, &hash);
    if (rank == 0) {
        write_by(MPI_COMM_SELF, single);
        bad |= !reads_well(MPI_COMM_SELF, single, &alone) || alone != hash;
        unlink(single);
        unlink(path);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    /* a missing file and a place that cannot be written: the same code everywhere, no hang */
    if (error.code != TESS_OK)
        printf("rank %d: %s\n", rank, error.text);
    error = (struct tess_error)TESS_ERROR_INIT;
    bad |= reads_well(MPI_COMM_WORLD, "/no/such/store.h5", &hash) || error.code != TESS_EDATA;
    error = (struct tess_error)TESS_ERROR_INIT;
    write_by(MPI_COMM_WORLD, "/no/such/store.h5");
    bad |= error.code != TESS_ECREATE;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s\n", bad ? "FAILED" : "ok");
    MPI_Finalize();
    return bad;
}
