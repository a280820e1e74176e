/* bench.c -- a benchmark's report, clocks, settings and data. */
#include "bench.h"

#include "tessera/alloc.h"
#include "tessera/checksums.h"
#include "tessera/clock.h"
#include "tessera/gemm.h"
#include "tessera/simulate.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_title(struct bench *bench, json_t *under, const char *name, const char *title)
{
    if (bench->rank != 0)
        return;
    printf("%s%s\n", under == bench->report ? "\n" : "  ", title);
    fflush(stdout);
    if (!json_object_get(under, name))
        json_object_set_new(under, name, json_object());
    bench->at = json_object_get(under, name);
}

void tess_bench_section(struct bench *bench, const char *name, const char *title)
{
    print_title(bench, bench->report, name, title);
    bench->section = bench->at;
    memset(bench->rate, 0, sizeof bench->rate);
}

void tess_bench_part(struct bench *bench, const char *name, const char *title)
{
    print_title(bench, bench->section, name, title);
}

void tess_bench_say(struct bench *bench, const char *name, double value, const char *unit,
                    double share, const char *of)
{
    json_t *line;

    if (bench->rank != 0)
        return;
    printf("    %-40s %10.4g %-14s", name, value, unit);
    if (!isnan(share))
        printf(" %5.1f %% %s", 100 * share, of);
    printf("\n");
    fflush(stdout);
    line = json_pack("{s:f, s:s}", "value", value, "unit", unit);
    if (!isnan(share)) {
        json_object_set_new(line, "share", json_real(share));
        json_object_set_new(line, "share_of", json_string(of));
    }
    json_object_set_new(bench->at, name + strspn(name, " "), line);
}

const char *tess_bench_alone(int64_t precision)
{
    return precision == TESS_PRECISION_BFLOAT16 ? "of its products alone" : "of sgemm alone";
}

void tess_bench_compare(struct bench *bench, const char *name, double rate, double float32)
{
    if (float32 > 0)
        tess_bench_say(bench, name, rate / float32, "times", NAN, NULL);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double tess_bench_median(int n, const double *x)
{
    double sorted[BENCH_MOST];

    memcpy(sorted, x, (size_t)n * sizeof *x);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    return (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
}

double tess_bench_start(const struct bench *bench)
{
    MPI_Barrier(bench->comm);
    return tess_clock();
}

double tess_bench_stop(const struct bench *bench, double start)
{
    double seconds = tess_clock() - start;

    MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, bench->comm);
    return seconds;
}

double tess_bench_sum(const struct bench *bench, double x)
{
    MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_DOUBLE, MPI_SUM, bench->comm);
    return x;
}

double tess_bench_replay(const struct bench *bench, const struct tess_probe *probe)
{
    double start = tess_bench_start(bench);

#pragma omp parallel num_threads(bench->n_threads)
    tess_probe_replay(&probe[omp_get_thread_num()]);
    return tess_bench_stop(bench, start);
}

int tess_bench_simulate(const struct bench *bench, const struct tess_bench_data *data,
                        struct tess_config *config, struct tess_error *error)
{
    struct tess_simulate simulate;

    snprintf(config->data.store, sizeof config->data.store, "%.900s/%lld.prc.h5", bench->directory,
             (long long)data->perturbations);
    tess_simulate_init(&simulate);
    simulate.output = config->data.store;
    simulate.n_perturbations = data->perturbations;
    simulate.n_readouts = data->readouts;
    simulate.n_contexts = data->contexts;
    simulate.n_controls = 1;
    simulate.sparsity = data->sparsity;
    tess_strings_add(&simulate.split_target, "none");
    if (tess_simulate_check(&simulate, error) == TESS_OK)
        tess_simulate_write(&simulate, bench->comm, error);
    tess_simulate_release(&simulate);
    return error->code;
}

void tess_bench_forget(const struct bench *bench, const char *path)
{
    MPI_Barrier(bench->comm);
    if (bench->rank == 0)
        tess_checksums_remove(path); /* which has a sidecar or none */
}

void tess_bench_settings(const struct bench *bench, struct tess_config *config)
{
    tess_config_init(config);
    config->data.scale = 0; /* as published */
    config->model.embedding_dim = 128;
    config->model.hidden_dim = 256;
    config->model.activation = TESS_ACTIVATION_RELU;
    config->model.dropout = 0.1;
    config->train.sampling = TESS_SAMPLING_TILES;
    config->train.lanes = 16;
    config->train.batch = 16384;
    config->train.optimizer = TESS_OPTIMIZER_ADAMW;
    config->train.weight_decay = 0.01;
    config->train.learning_rate = 0.002;
    config->train.schedule = TESS_SCHEDULE_EXPONENTIAL;
    config->train.decay = 0.97;
    config->train.precision = TESS_PRECISION_FLOAT32;
    config->train.threads = bench->n_threads;
}
