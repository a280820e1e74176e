/* bench_machine.c -- what processor, memory and network can do at most. */
#include "bench.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/clock.h"
#include "tessera/gemm.h"
#include "tessera/tile.h"
#include "tessera/vectorised.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#define SLICE   0.03 /* seconds of one measurement */
#define STREAM  ((int64_t)1 << 23)
#define WINDOW  64
#define MESSAGE (1 << 22) /* bytes */

typedef float sixteen __attribute__((vector_size(64)));

#define CHAINS        8 /* independent, to hide the latency */
#define EACH_CHAIN(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)
#define BEGIN(k)      sixteen x##k = {(float)k};
#define STEP(k)       x##k = x##k * factor + term;
#define END(k)        sum += x##k;

/* Chains of x = x factor + term that wait for nothing but themselves: 2 · 16 · CHAINS operations a
 * turn. The factor keeps them finite; the sum keeps the compiler from leaving them out. */
VECTORISED_FMA static float multiply_add(int64_t n, float factor, float term)
{
    sixteen sum = {0};

    EACH_CHAIN(BEGIN)
    for (int64_t i = 0; i < n; i++) {
        EACH_CHAIN(STEP)
    }
    EACH_CHAIN(END)
    return sum[0];
}

/* The triad of STREAM (McCalpin 1995), counted as there: 12 bytes an element, the read that a write
 * into a cache may cost left out. */
VECTORISED static void triad(int64_t n, float s, const float *restrict y, const float *restrict z,
                             float *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = y[i] + s * z[i];
}

/* What a thread works on: numbers, and the same ones rounded. */
struct place {
    float *buffer;
    uint16_t *low;
    struct tess_multiplier *multiplier;
};

/* One kind of work: `run` does `n` units of it; each thread has a place of its own. */
struct work {
    void (*run)(int64_t n, const struct work *work, struct place *place);
    int64_t floats; /* of a thread's buffer */
    struct tess_gemm gemm; /* with low.packed: products of bfloat16 */
    int low;
};

static void run_multiply_add(int64_t n, const struct work *work, struct place *place)
{
    (void)work;
    place->buffer[0] += multiply_add(n, 0.5f, place->buffer[1]);
}

static void run_unit_loop(int64_t n, const struct work *work, struct place *place)
{
    (void)work;
    tess_bench_unit_loop(n, place->buffer);
}

static void run_triad(int64_t n, const struct work *work, struct place *place)
{
    int64_t third = work->floats / 3;
    float *x = place->buffer;

    for (int64_t i = 0; i < n; i++)
        triad(third, 0.5f, x, x + third, x + 2 * third);
}

static void run_gemm(int64_t n, const struct work *work, struct place *place)
{
    struct tess_gemm gemm = work->gemm;
    int64_t at_b = (int64_t)gemm.m * gemm.k, at_c = at_b + (int64_t)gemm.k * gemm.n;

    gemm.a = place->buffer;
    gemm.b = place->buffer + at_b;
    gemm.c = place->buffer + at_c;
    if (work->low) {
        gemm.low.a = place->low;
        gemm.low.b = gemm.low.packed ? NULL : place->low + at_b;
        gemm.low.multiplier = &place->multiplier;
    }
    for (int64_t i = 0; i < n; i++)
        tess_gemm(NULL, &gemm);
}

/* Seconds for `n` units by every thread of every rank at once. One unit before the clock starts, so
 * that memory is mapped; MPI is called by the main thread alone (MPI_THREAD_FUNNELED). Collective.
 */
static double timed(const struct bench *bench, const struct work *work, int64_t n)
{
    double start = 0, seconds = 0;

#pragma omp parallel num_threads(bench->n_threads)
    {
        struct place place = {TESS_NEW(float, work->floats), TESS_NEW(uint16_t, work->floats),
                              NULL};

        for (int64_t i = 0; i < work->floats; i++)
            place.buffer[i] = 0.001f * (float)(i % 1000);
        tess_bfloat16_round(work->floats, place.buffer, place.low);
        work->run(1, work, &place);
#pragma omp barrier
        if (omp_get_thread_num() == 0)
            start = tess_bench_start(bench);
#pragma omp barrier
        work->run(n, work, &place);
#pragma omp barrier
        if (omp_get_thread_num() == 0)
            seconds = tess_bench_stop(bench, start);
        tess_free(place.buffer);
        tess_free(place.low);
        tess_multiplier_release(place.multiplier);
    }
    return seconds;
}

/* Units of work a second, of all together: the median. */
static double rate_of(const struct bench *bench, const struct work *work)
{
    double rate[BENCH_MOST];
    int64_t n = 1;

    /* The seconds are the same on every rank, so all leave the loop together. */
    while (timed(bench, work, n) < SLICE)
        n *= 2;
    for (int r = 0; r < bench->repeat; r++)
        rate[r] = (double)n * bench->n_threads * bench->n_ranks / timed(bench, work, n);
    return tess_bench_median(bench->repeat, rate);
}

/* A hidden layer's packed matrix, of any numbers. */
static struct tess_packed *pack(int H)
{
    struct tess_packed *packed = tess_packed_make(1, H);
    float *w = TESS_NEW(float, (int64_t)H *H);

    for (int64_t i = 0; i < (int64_t)H * H; i++)
        w[i] = 0.001f * (float)(i % 1000);
    tess_packed_set(packed, w);
    tess_free(w);
    return packed;
}

enum product { FORWARD, GRADIENT, BACKWARD, N_PRODUCTS };

/* Operations a second of a core, of one of a hidden layer's products at a block's shape. */
static double rate_of_product(const struct bench *bench, enum product product, int H, int low)
{
    const struct tess_gemm gemm[] = {
        {.m = TESS_TILE_ROWS, .n = H, .k = H, .trans_b = 1},
        {.m = H, .n = H, .k = TESS_TILE_ROWS, .trans_a = 1, .beta = 1},
        {.m = TESS_TILE_ROWS, .n = H, .k = H},
    };
    struct work work = {run_gemm, 2 * (int64_t)TESS_TILE_ROWS * H + (int64_t)H * H, gemm[product],
                        low};
    struct tess_packed *packed = low && product != GRADIENT ? pack(H) : NULL;
    double rate;

    work.gemm.low.packed = packed;
    rate = rate_of(bench, &work) * 2 * TESS_TILE_ROWS * H * H;
    tess_packed_release(packed);
    return rate / (bench->n_ranks * bench->n_threads);
}

static void say_products(struct bench *bench, int H, int low)
{
    static const char *const what[] = {"forward", "gradient", "backward"};

    for (int i = 0; i < N_PRODUCTS; i++) {
        double rate = rate_of_product(bench, (enum product)i, H, low);
        char name[64];

        snprintf(name, sizeof name, "%s %s, H = %d", low ? tess_unit_name(tess_unit()) : "sgemm",
                 what[i], H);
        tess_bench_say(bench, name, rate * 1e-9, "GFLOP/s a core", rate / bench->peak[low],
                       low ? "of the unit's peak" : "of the peak");
    }
}

/* The unit's peak: of its multiply-adds in a loop, where the compiler knows them; else what the
 * best of large products reaches. */
static void measure_unit(struct bench *bench)
{
    struct work loop = {.run = run_unit_loop, .floats = 2};
    double cores = bench->n_ranks * bench->n_threads, *peak = &bench->peak[1], operations;
    float sum = 0;
    char name[64];

    operations = tess_bench_unit_loop(1, &sum);
    if (operations > 0)
        *peak = rate_of(bench, &loop) * operations / cores;
    for (int H = 1024; H <= 2048 && operations == 0; H *= 2)
        *peak = fmax(*peak, rate_of_product(bench, FORWARD, H, 1));
    snprintf(name, sizeof name, "%s %s", tess_unit_name(tess_unit()),
             operations > 0 ? "multiply-add peak" : "best of large products, as peak");
    tess_bench_say(bench, name, *peak * 1e-9, "GFLOP/s a core", NAN, NULL);
}

static void name_processor(struct bench *bench)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256], *name;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0 && (name = strchr(line, ':'))) {
            name[strcspn(name, "\n")] = '\0';
            if (bench->rank == 0) {
                printf("%s\n", name + 2);
                json_object_set_new(bench->report, "processor", json_string(name + 2));
            }
            break;
        }
    if (file)
        fclose(file);
}

void tess_bench_machine(struct bench *bench, int n_hidden, const int *hidden)
{
    struct work peak = {.run = run_multiply_add, .floats = 2};
    struct work stream = {.run = run_triad, .floats = 3 * STREAM};
    double cores = bench->n_ranks * bench->n_threads;

    tess_bench_section(bench, "machine", "The machine, all ranks and threads at once");
    name_processor(bench);
    bench->peak[0] = rate_of(bench, &peak) * 2 * CHAINS * 16 / cores;
    tess_bench_say(bench, "multiply-add peak", bench->peak[0] * 1e-9, "GFLOP/s a core", NAN, NULL);
    for (int i = 0; i < n_hidden; i++)
        say_products(bench, hidden[i], 0);
    if (tess_unit() != TESS_UNIT_SGEMM)
        measure_unit(bench);
    for (int i = 0; i < n_hidden && tess_unit() != TESS_UNIT_SGEMM; i++)
        say_products(bench, hidden[i], 1);
    bench->memory_rate = rate_of(bench, &stream) * 12 * STREAM;
    tess_bench_say(bench, "memory, x = y + s z", bench->memory_rate * 1e-9, "GB/s", NAN, NULL);
}

/* Seconds of `n` rounds: ping-pong of one byte, or rows of `window` messages and an answer. */
static double talk(const struct bench *bench, int n, int window, char *buffer)
{
    MPI_Request request[WINDOW];
    double start = tess_bench_start(bench);
    int last = bench->n_ranks - 1, other = bench->rank == 0 ? last : 0;

    for (int i = 0; i < n && (bench->rank == 0 || bench->rank == last); i++) {
        for (int k = 0; k < window; k++)
            if (bench->rank == 0)
                MPI_Isend(buffer + 8 * k, 8, MPI_BYTE, other, 0, bench->comm, &request[k]);
            else
                MPI_Irecv(buffer + 8 * k, 8, MPI_BYTE, other, 0, bench->comm, &request[k]);
        MPI_Waitall(window, request, MPI_STATUSES_IGNORE);
        if (bench->rank == 0)
            MPI_Recv(buffer, 8, MPI_BYTE, other, 1, bench->comm, MPI_STATUS_IGNORE);
        else
            MPI_Send(buffer, 8, MPI_BYTE, other, 1, bench->comm);
    }
    return tess_bench_stop(bench, start);
}

/* Everybody sends to the next rank at once. */
static double shift(const struct bench *bench, int n, char *buffer)
{
    int next = (bench->rank + 1) % bench->n_ranks;
    int before = (bench->rank + bench->n_ranks - 1) % bench->n_ranks;
    double start = tess_bench_start(bench);

    for (int i = 0; i < n; i++)
        MPI_Sendrecv(buffer, MESSAGE, MPI_BYTE, next, 2, buffer + MESSAGE, MESSAGE, MPI_BYTE,
                     before, 2, bench->comm, MPI_STATUS_IGNORE);
    return tess_bench_stop(bench, start);
}

/* As many doubles as the pulse of a step has with 16 lanes: 2 a lane, and 3 (trainer.h). */
static double reduce(const struct bench *bench, int n, char *buffer)
{
    double start = tess_bench_start(bench);

    for (int i = 0; i < n; i++)
        MPI_Allreduce(MPI_IN_PLACE, buffer, 35, MPI_DOUBLE, MPI_SUM, bench->comm);
    return tess_bench_stop(bench, start);
}

/* One exchange before the clock starts: MPI opens connections with the first message. */
void tess_bench_messages(struct bench *bench)
{
    double latency[BENCH_MOST], rate[BENCH_MOST], width[BENCH_MOST], pulse[BENCH_MOST];
    char *buffer = TESS_NEW(char, 2 * MESSAGE);
    int n = bench->options->quick ? 50 : 500;

    if (bench->n_ranks == 1) {
        tess_free(buffer);
        return;
    }
    tess_bench_section(bench, "messages", "Messages between ranks");
    talk(bench, n, 1, buffer);
    for (int r = 0; r < bench->repeat; r++) {
        latency[r] = talk(bench, n, 1, buffer) / n / 2;
        rate[r] = WINDOW * n / talk(bench, n, WINDOW, buffer);
        width[r] = (double)MESSAGE * (n / 25) / shift(bench, n / 25, buffer);
        memset(buffer, 0, MESSAGE);
        pulse[r] = reduce(bench, n, buffer) / n;
    }
    tess_bench_say(bench, "latency, first to last rank",
                   tess_bench_median(bench->repeat, latency) * 1e6, "µs", NAN, NULL);
    tess_bench_say(bench, "messages of 8 bytes", tess_bench_median(bench->repeat, rate) * 1e-6,
                   "million/s", NAN, NULL);
    tess_bench_say(bench, "bandwidth, all to the next rank, each",
                   tess_bench_median(bench->repeat, width) * 1e-9, "GB/s", NAN, NULL);
    tess_bench_say(bench, "allreduce of a pulse (280 bytes)",
                   tess_bench_median(bench->repeat, pulse) * 1e6, "µs", NAN, NULL);
    tess_free(buffer);
}

void tess_bench_link(MPI_Comm comm, double *latency, double *bandwidth)
{
    enum { TIMES = 5, EACH = 50 };
    struct bench bench = {.comm = comm};
    double seconds[TIMES], width[TIMES];
    char *buffer = TESS_NEW(char, 2 * MESSAGE);

    MPI_Comm_rank(comm, &bench.rank);
    MPI_Comm_size(comm, &bench.n_ranks);
    talk(&bench, EACH, 1, buffer);
    for (int r = 0; r < TIMES; r++) {
        seconds[r] = talk(&bench, EACH, 1, buffer) / EACH / 2;
        width[r] = MESSAGE / shift(&bench, 1, buffer);
    }
    *latency = tess_bench_median(TIMES, seconds);
    *bandwidth = tess_bench_median(TIMES, width);
    tess_free(buffer);
}
