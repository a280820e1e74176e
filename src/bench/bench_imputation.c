/* bench_imputation.c -- rates of imputation: in memory, and into the file as 'tessera impute' does.
 */
#include "bench.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checksums.h"
#include "tessera/error.h"
#include "tessera/gemm.h"
#include "tessera/impute.h"
#include "tessera/model.h"
#include "tessera/predictor.h"

#include <fcntl.h>
#include <math.h>
#include <omp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VALUES (1 << 19) /* of a block, or 256 rows */

/* Rows of the first context, all readouts. */
struct block {
    int64_t n, n_readouts, *first, *member, *context, *readout;
    float *out;
};

/* Whole blocks of projected rows where the readouts leave room for more than one. */
static void block_init(struct block *block, const struct tess_model *model)
{
    int64_t most = VALUES / model->readout.n / TESS_PREDICT_ROWS * TESS_PREDICT_ROWS;

    most = most > 0 ? most : TESS_PREDICT_ROWS;
    *block = (struct block){.n = model->perturbation.n < most ? model->perturbation.n : most,
                            .n_readouts = model->readout.n};
    block->first = TESS_NEW(int64_t, block->n + 1);
    block->member = TESS_NEW(int64_t, block->n);
    block->context = TESS_NEW(int64_t, block->n);
    block->readout = TESS_NEW(int64_t, block->n_readouts);
    block->out = TESS_NEW(float, block->n * block->n_readouts);
    for (int64_t i = 0; i < block->n; i++) {
        block->first[i + 1] = i + 1;
        block->member[i] = i;
    }
    for (int64_t k = 0; k < block->n_readouts; k++)
        block->readout[k] = k;
}

static void block_release(struct block *block)
{
    tess_free(block->first);
    tess_free(block->member);
    tess_free(block->context);
    tess_free(block->readout);
    tess_free(block->out);
}

/* Seconds of a block, of so many turns. A checkpoint that cannot be read says so when it is imputed
 * from. Collective. */
static double predict(const struct bench *bench, const struct tess_model *model,
                      const struct block *block, int64_t turns)
{
    const struct tess_rows rows = {block->n, block->first, block->member, block->context};
    const struct tess_model_columns columns = {
        .n_readouts = block->n_readouts, .readout = block->readout, .out = block->out};
    struct tess_error ignored = TESS_ERROR_INIT;
    double start = tess_bench_start(bench);

    for (int64_t i = 0; i < turns; i++)
        tess_model_predict(model, &rows, &columns, &ignored);
    return tess_bench_stop(bench, start) / (double)turns;
}

#define LEAST 0.05 /* seconds that are measured: some blocks take a millisecond */

/* The products of one block, and the buffers that they use. */
struct products {
    struct block block;
    struct tess_probe *probe;
    double values; /* of all ranks */
    int64_t turns; /* at a time; the same on all ranks */
};

/* Seconds of a block's products alone. Collective. */
static double replay(const struct bench *bench, const struct products *products)
{
    double seconds = 0;

    for (int64_t i = 0; i < products->turns; i++)
        seconds += tess_bench_replay(bench, products->probe);
    return seconds / (double)products->turns;
}

static void products_init(struct products *products, const struct bench *bench,
                          const struct tess_model *model)
{
    products->probe = TESS_NEW(struct tess_probe, bench->n_threads);
    block_init(&products->block, model);
    products->values =
        (double)products->block.n * (double)products->block.n_readouts * bench->n_ranks;
    predict(bench, model, &products->block, 1); /* buffers find their size */
    products->turns = 1 + (int64_t)(LEAST / predict(bench, model, &products->block, 1));
    for (int i = 0; i < bench->n_threads; i++)
        products->probe[i].recording = 1;
    model->predictor->probe = products->probe;
    predict(bench, model, &products->block, 1);
    model->predictor->probe = NULL;
}

static void products_release(struct products *products, const struct bench *bench)
{
    for (int i = 0; i < bench->n_threads; i++)
        tess_probe_release(&products->probe[i]);
    tess_free(products->probe);
    block_release(&products->block);
}

/* A file that was imputed. */
struct imputed {
    double bytes, rate; /* of its values, and values a second */
    struct tess_impute_times times;
};

/* As many trained perturbations as take some seconds at that rate, in all contexts. */
static void into_file(struct bench *bench, const struct tess_trainer *trainer, char *checkpoint,
                      double rate, struct imputed *imputed, struct tess_error *error)
{
    const struct tess_vocab *vocab = &trainer->store.index.perturbation;
    double row = (double)trainer->dataset.readout.n * (double)trainer->store.index.context.n;
    double seconds = bench->options->quick ? 0.5 : bench->options->rates ? 4 : 2;
    double wanted = rate * seconds / row, start;
    struct tess_impute impute = {.n_models = 1,
                                 .model = &checkpoint,
                                 .store = trainer->config.data.store,
                                 .threads = bench->n_threads,
                                 .precision = tess_int(trainer->config.train.precision),
                                 .times = &imputed->times};
    char *output = tess_format("%s/imputed.h5ad", bench->directory);

    impute.output = output;
    for (int64_t i = 0; i < vocab->n && (double)impute.perturbation.n < wanted; i++)
        if (trainer->dataset.trained_perturbation[i])
            tess_strings_add(&impute.perturbation, vocab->symbol[i]);
    wanted = (double)impute.perturbation.n * row;
    imputed->bytes = 4 * wanted;
    start = tess_bench_start(bench);
    tess_impute_write(&impute, bench->comm, error);
    start = tess_bench_stop(bench, start);
    tess_bench_forget(bench, output);
    tess_impute_release(&impute);
    tess_free(output);
    imputed->rate = wanted / start;
}

/* As many bytes as the values have, by write(2) and fsync(2): each rank its share, to a file of its
 * own. Bytes a second. Collective. */
static double plainly(const struct bench *bench, double bytes)
{
    char *path = tess_format("%s/plain-%d", bench->directory, bench->rank);
    size_t size = (size_t)1 << 22;
    char *block = TESS_NEW(char, size);
    int64_t n = (int64_t)(bytes / bench->n_ranks / (double)size) + 1;
    double start = tess_bench_start(bench);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    memset(block, 1, size);
    for (int64_t i = 0; i < n && file >= 0; i++)
        if (write(file, block, size) != (ssize_t)size)
            break; /* the disk is full: imputation has said so, or will */
    if (file >= 0) {
        fsync(file);
        close(file);
    }
    start = tess_bench_stop(bench, start);
    unlink(path);
    tess_free(path);
    tess_free(block);
    return (double)(n * bench->n_ranks) * (double)size / start;
}

/* What is reached in each way, of one turn. */
enum { MEMORY, INTO_FILE, PLAINLY, N_WAYS };

/* Where the time of a file goes on rank 0; the last three go on meanwhile, in the thread that
 * writes. */
static const struct {
    const char *name;
    size_t offset; /* in struct tess_impute_times */
} parts[] = {
    {"  opening model and store", offsetof(struct tess_impute_times, open)},
    {"  labels", offsetof(struct tess_impute_times, labels)},
    {"  predicting", offsetof(struct tess_impute_times, predict)},
    {"  waiting for the writing", offsetof(struct tess_impute_times, wait)},
    {"  closing, all brought to the disk", offsetof(struct tess_impute_times, file.close)},
    {"  checksums and name", offsetof(struct tess_impute_times, file.commit)},
    {"  meanwhile: copying to the file system",
     offsetof(struct tess_impute_times, file.stream.write)},
    {"  meanwhile: beginning with the disk", offsetof(struct tess_impute_times, file.stream.flush)},
    {"  meanwhile: hashing", offsetof(struct tess_impute_times, file.stream.hash)},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

static void say_parts(struct bench *bench, const struct imputed *file)
{
    double seconds[BENCH_MOST], share[BENCH_MOST];

    for (size_t k = 0; k < N_PARTS; k++) {
        for (int r = 0; r < bench->repeat; r++) {
            seconds[r] = *(const double *)((const char *)&file[r].times + parts[k].offset);
            share[r] = seconds[r] / file[r].times.all;
        }
        tess_bench_say(bench, parts[k].name, 1e3 * tess_bench_median(bench->repeat, seconds), "ms",
                       tess_bench_median(bench->repeat, share), "of the file's time");
    }
}

static void say(struct bench *bench, int64_t precision, double rate[N_WAYS][BENCH_MOST],
                double share[N_WAYS][BENCH_MOST], const struct imputed *imputed)
{
    int n = bench->repeat;
    double memory = tess_bench_median(n, rate[MEMORY]),
           file = tess_bench_median(n, rate[INTO_FILE]);
    struct bench_rates *mine = &bench->rate[precision], *float32 = &bench->rate[0];

    mine->memory = memory;
    mine->file = file;
    tess_bench_say(bench, "imputation, in memory", memory / 1e3, "k values/s",
                   tess_bench_median(n, share[MEMORY]), tess_bench_alone(precision));
    if (bench->memory_rate > 0)
        tess_bench_say(bench, "  its bytes", 4 * memory / 1e9, "GB/s",
                       4 * memory / bench->memory_rate, "of memory's rate");
    tess_bench_say(bench, "imputation, into the file", file / 1e3, "k values/s",
                   tess_bench_median(n, share[INTO_FILE]), tess_bench_alone(precision));
    tess_bench_say(bench, "  bytes into the file", 4 * file / 1e9, "GB/s",
                   tess_bench_median(n, share[PLAINLY]), "of writing them alone");
    tess_bench_say(bench, "  beside the rate in memory", file / memory, "times", NAN, NULL);
    say_parts(bench, imputed);
    tess_bench_say(bench, "writing as many bytes alone", tess_bench_median(n, rate[PLAINLY]) / 1e9,
                   "GB/s", NAN, NULL);
    if (mine != float32) {
        tess_bench_compare(bench, "in memory, beside float32", memory, float32->memory);
        tess_bench_compare(bench, "into the file, beside float32", file, float32->file);
    }
}

/* In memory and into the file, the products and the writing alone, in turns. */
static int measure(struct bench *bench, struct tess_trainer *trainer,
                   const struct tess_model *model, char *path, struct tess_error *error)
{
    double rate[N_WAYS][BENCH_MOST], share[N_WAYS][BENCH_MOST];
    struct imputed file[BENCH_MOST] = {{0}};
    struct products products;

    products_init(&products, bench, model);
    for (int r = 0; r < bench->repeat && error->code == TESS_OK; r++) {
        double alone = products.values / replay(bench, &products);

        rate[MEMORY][r] = products.values / predict(bench, model, &products.block, products.turns);
        into_file(bench, trainer, path, rate[MEMORY][r], &file[r], error);
        rate[INTO_FILE][r] = file[r].rate;
        rate[PLAINLY][r] = plainly(bench, file[r].bytes);
        for (int k = 0; k < PLAINLY; k++)
            share[k][r] = rate[k][r] / alone;
        share[PLAINLY][r] = 4 * rate[INTO_FILE][r] / rate[PLAINLY][r];
    }
    if (error->code == TESS_OK)
        say(bench, trainer->config.train.precision, rate, share, file);
    products_release(&products, bench);
    return error->code;
}

int tess_bench_imputation(struct bench *bench, struct tess_trainer *trainer,
                          struct tess_error *error)
{
    char *path = tess_format("%s/model.h5", bench->directory);
    struct tess_model model;

    if (tess_trainer_save(trainer, path, error) == TESS_OK) {
        if (tess_model_open(&model, path, tess_int(trainer->config.train.precision), bench->comm,
                            error) == TESS_OK)
            measure(bench, trainer, &model, path, error);
        tess_model_release(&model);
    }
    tess_bench_forget(bench, path);
    tess_free(path);
    return error->code;
}

int tess_bench_predictions(int n_models, char *const *path, int precision, int threads,
                           double *rate, struct tess_error *error)
{
    struct bench bench = {.comm = MPI_COMM_SELF, .n_ranks = 1, .n_threads = threads};
    struct tess_model model = {.n_members = 0};
    int before = omp_get_max_threads();

    omp_set_num_threads(threads);
    if (tess_model_open_ensemble(&model, n_models, path, precision, MPI_COMM_SELF, error) ==
        TESS_OK) {
        struct block block;
        double seconds;

        block_init(&block, &model);
        predict(&bench, &model, &block, 1); /* buffers find their size */
        seconds = predict(&bench, &model, &block, 1);
        seconds = predict(&bench, &model, &block, 1 + (int64_t)(6 * LEAST / fmax(seconds, 1e-6)));
        *rate = (double)block.n * (double)block.n_readouts / seconds;
        block_release(&block);
    }
    tess_model_release(&model);
    omp_set_num_threads(before);
    return error->code;
}
