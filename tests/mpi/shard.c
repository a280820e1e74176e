/* shard.c -- a table in shards goes through a training as a whole one on one rank does, to the bit,
 * and as a dense one does to rounding; looking at it changes nothing. */
#include "tessera/shard.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#define STEPS 330 /* some rows rest for longer than TESS_REPLAY */
#define DIM   6

static int rank, n_ranks, bad;

static void expect(int right, const char *what, int64_t n_rows)
{
    if (!right && !bad)
        fprintf(stderr, "rank %d of %d, %lld rows: %s\n", rank, n_ranks, (long long)n_rows, what);
    bad |= !right;
}

static void start(struct tess_shard *shard, MPI_Comm comm, int64_t n_rows)
{
    struct tess_error error = TESS_ERROR_INIT;

    expect(tess_shard_init(shard, comm, n_rows, DIM, &error) == TESS_OK, error.text, n_rows);
    tess_network_init_rows(4, TESS_TABLE_P, DIM, shard->first[shard->rank], shard->n_local,
                           shard->value);
}

static void check_owners(const struct tess_shard *shard)
{
    int64_t rows = 0, least = shard->n_rows, most = 0;

    for (int r = 0; r < n_ranks; r++) {
        int64_t n = shard->first[r + 1] - shard->first[r];

        rows += n;
        least = n < least ? n : least;
        most = n > most ? n : most;
        for (int64_t row = shard->first[r]; row < shard->first[r + 1]; row++)
            expect(tess_shard_owner(shard, row) == r, "a row has the wrong owner", shard->n_rows);
    }
    expect(rows == shard->n_rows && most - least <= 1, "rows are not shared evenly", shard->n_rows);
    expect(tess_shard_bytes(shard->n_rows, DIM, n_ranks) >=
               shard->n_local * (3 * DIM * (int64_t)sizeof(float) + 12),
           "more memory than announced", shard->n_rows);
}

/* One step: rows touched, twice each, and their gradients; those that this shard owns. */
static void step(struct tess_shard *shard, struct tess_optimizer *optimizer)
{
    struct tess_random stream = tess_random_stream(6, TESS_RANDOM_TEST, (uint64_t)optimizer->step);
    int64_t first = shard->first[shard->rank], end = shard->first[shard->rank + 1], touched;

    for (int k = 0; k < 8; k++) { /* the last rows seldom */
        double u = tess_random_uniform(stream, (uint64_t)k % 4);
        int64_t row = (int64_t)(u * u * u * (double)shard->n_rows);

        if (row >= first && row < end)
            tess_shard_touch(shard, row);
    }
    touched = shard->n_touched;
    expect(touched <= 4, "a row touched twice counts twice", shard->n_rows);
    tess_shard_catch_up(shard, optimizer, optimizer->step - 1);
    for (int64_t i = 0; i < touched; i++) {
        int64_t row = first + shard->touched[i];

        expect(shard->last[shard->touched[i]] == optimizer->step - 1, "not caught up",
               shard->n_rows);
        for (int d = 0; d < DIM; d++) {
            expect(shard->gradient[i * DIM + d] == 0, "the gradient is not cleared", shard->n_rows);
            shard->gradient[i * DIM + d] =
                (float)tess_random_normal(stream, (uint64_t)(100 + row * DIM + d));
        }
    }
    tess_shard_update(shard, optimizer, 0.5f);
    expect(shard->n_touched == 0, "rows stay touched", shard->n_rows);
}

/* The dense way: every row at every step. */
static void step_dense(float *x, float *m, float *v, int64_t n_rows,
                       const struct tess_optimizer *optimizer)
{
    struct tess_random stream = tess_random_stream(6, TESS_RANDOM_TEST, (uint64_t)optimizer->step);
    float *g = TESS_NEW(float, n_rows *DIM);

    for (int k = 0; k < 4; k++) {
        double u = tess_random_uniform(stream, (uint64_t)k);
        int64_t row = (int64_t)(u * u * u * (double)n_rows);

        for (int d = 0; d < DIM; d++)
            g[row * DIM + d] = (float)tess_random_normal(stream, (uint64_t)(100 + row * DIM + d));
    }
    tess_optimizer_update(optimizer, n_rows * DIM, g, 0.5f, (struct tess_parameters){x, m, v});
    tess_free(g);
}

static void check_gather(const struct tess_shard *shard, const struct tess_shard *whole,
                         const struct tess_optimizer *optimizer, const float *dense)
{
    int64_t n = shard->n_rows * DIM, local = shard->n_local * DIM;
    float *all = TESS_NEW(float, n), *one = TESS_NEW(float, n),
          *before = TESS_NEW(float, 3 * local);

    memcpy(before, shard->value, (size_t)local * sizeof *before);
    memcpy(before + local, shard->m, (size_t)local * sizeof *before);
    memcpy(before + 2 * local, shard->v, (size_t)local * sizeof *before);
    tess_shard_gather(shard, optimizer, optimizer->step, all);
    expect(memcmp(before, shard->value, (size_t)local * sizeof *before) == 0 &&
               memcmp(before + local, shard->m, (size_t)local * sizeof *before) == 0 &&
               memcmp(before + 2 * local, shard->v, (size_t)local * sizeof *before) == 0,
           "looking at rows changes them", shard->n_rows);
    tess_shard_gather(whole, optimizer, optimizer->step, one);
    expect(memcmp(all, one, (size_t)n * sizeof *all) == 0, "other bits than on one rank",
           shard->n_rows);
    for (int64_t i = 0; i < n; i++)
        expect(fabsf(all[i] - dense[i]) <= 2e-5f * fmaxf(0.01f, fabsf(dense[i])),
               "not what updating every row gives", shard->n_rows);
    tess_free(all);
    tess_free(one);
    tess_free(before);
}

static void check_table(int64_t n_rows, int64_t kind)
{
    struct tess_shard shard, whole;
    struct tess_optimizer optimizer;
    struct tess_config config;
    float *dense = TESS_NEW(float, 3 * n_rows * DIM);

    tess_config_init(&config);
    config.train.optimizer = kind;
    tess_optimizer_init(&optimizer, &config);
    start(&shard, MPI_COMM_WORLD, n_rows);
    start(&whole, MPI_COMM_SELF, n_rows);
    memcpy(dense, whole.value, (size_t)(n_rows * DIM) * sizeof *dense);
    check_owners(&shard);
    for (int s = 0; s < STEPS; s++) {
        tess_optimizer_begin(&optimizer, 0.01 * pow(0.99, s));
        step(&shard, &optimizer);
        step(&whole, &optimizer);
        step_dense(dense, dense + n_rows * DIM, dense + 2 * n_rows * DIM, n_rows, &optimizer);
        if (s % 100 == 99 || s == STEPS - 1)
            check_gather(&shard, &whole, &optimizer, dense);
    }
    tess_free(dense);
    tess_optimizer_release(&optimizer);
    tess_shard_release(&shard);
    tess_shard_release(&shard);
    tess_shard_release(&whole);
}

int main(int argc, char **argv)
{
    static const int64_t rows[] = {1, 3, 4, 17, 200};

    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    for (int i = 0; i < 5; i++) {
        omp_set_num_threads(1 + i % 2);
        check_table(rows[i], TESS_OPTIMIZER_ADAMW);
        check_table(rows[i], TESS_OPTIMIZER_ADAM);
        check_table(rows[i], TESS_OPTIMIZER_SGD);
    }
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return bad;
}
