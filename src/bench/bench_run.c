/* bench_run.c -- the order of a benchmark. */
#include "bench.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/platform.h"

#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The published recipes (docs/accuracy.md names the paper), and data of their shape. */
struct recipe {
    const char *name, *title;
    int dim, hidden;
    double dropout, rate, decay;
    int batch;
    struct tess_bench_data data;
};
static const struct recipe recipes[] = {
    {"lincs",
     "LINCS recipe: L1000, D = 128, H = 256, dropout 0.1",
     128,
     256,
     0.1,
     0.002,
     0.97,
     1000,
     {25000, 978, 2, 0.5}},
    {"replogle",
     "Replogle recipe: Perturb-seq, D = 32, H = 512, no dropout",
     32,
     512,
     0,
     0.002,
     0.99,
     5000,
     {2000, 2000, 2, 0}},
};
#define N_RECIPES ((int)(sizeof recipes / sizeof recipes[0]))
const char *const tess_bench_recipes[] = {"lincs", "replogle", NULL};

/* A new folder that all ranks know. Collective. */
static int make_directory(struct bench *bench, struct tess_error *error)
{
    const char *base = bench->options->directory;

    if (bench->rank == 0) {
        if (!base)
            base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
        snprintf(bench->directory, sizeof bench->directory, "%s/tessera-bench-XXXXXX", base);
        if (!mkdtemp(bench->directory))
            tess_error_set(error, TESS_ECREATE,
                           "%s: cannot create a temporary folder there: %s; name another with "
                           "--directory",
                           base, strerror(errno));
    }
    if (tess_agree(bench->comm, error) == TESS_OK)
        MPI_Bcast(bench->directory, sizeof bench->directory, MPI_CHAR, 0, bench->comm);
    return error->code;
}

/* In the precision that the settings choose; where there is a unit for bfloat16 in float32 and
 * bfloat16. */
static int run_precisions(struct bench *bench, const struct tess_config *config, const char *label,
                          int impute, struct tess_error *error)
{
    int asked = tess_precision_is_low(config->train.precision);
    struct tess_config one = *config;

    for (int low = 0; low < 2 && error->code == TESS_OK; low++) {
        one.train.precision = low ? TESS_PRECISION_BFLOAT16 : TESS_PRECISION_FLOAT32;
        if (low == asked || tess_unit() != TESS_UNIT_SGEMM)
            tess_bench_training(bench, &one, label, impute, error);
    }
    return error->code;
}

/* The mlp both ways of sampling, then factorised models at the same width; imputation once for each
 * kind. All on the same data. */
static int run_kinds(struct bench *bench, const struct recipe *recipe, struct tess_config *config,
                     struct tess_error *error)
{
    struct tess_config dot = *config;

    dot.model.kind = TESS_KIND_DOT;
    dot.model.embedding_dim = 64;
    dot.train.lanes = 4; /* a lane costs a gradient: two cores need no more */
    if (run_precisions(bench, config, "tiles", 1, error) != TESS_OK)
        return error->code;
    config->train.sampling = TESS_SAMPLING_OBSERVATIONS;
    config->train.batch = recipe->batch;
    if (run_precisions(bench, config, "observations", 0, error) == TESS_OK &&
        run_precisions(bench, &dot, "dot", 1, error) == TESS_OK) {
        dot.train.lanes = 0;
        dot.train.batch = 262144;
        run_precisions(bench, &dot, "dot, wide", 0, error);
    }
    return error->code;
}

static int run_recipe(struct bench *bench, const struct recipe *recipe, struct tess_error *error)
{
    struct tess_bench_data data = recipe->data;
    struct tess_config config;

    tess_bench_section(bench, recipe->name, recipe->title);
    tess_bench_settings(bench, &config);
    config.model.embedding_dim = recipe->dim;
    config.model.hidden_dim = recipe->hidden;
    config.model.dropout = recipe->dropout;
    config.train.learning_rate = recipe->rate;
    config.train.decay = recipe->decay;
    data.perturbations /= bench->options->quick ? 10 : 1;
    if (bench->options->store)
        snprintf(config.data.store, sizeof config.data.store, "%s", bench->options->store);
    else
        tess_bench_simulate(bench, &data, &config, error);
    if (error->code == TESS_OK)
        run_kinds(bench, recipe, &config, error);
    if (!bench->options->store)
        tess_bench_forget(bench, config.data.store);
    return error->code;
}

/* Shapes that factorised models are for, with the default recipe's sizes: a single readout in many
 * contexts, and whole genomes. */
static int run_factorised(struct bench *bench, struct tess_error *error)
{
    struct tess_bench_data one = {2000, 1, 1000, 0.3}, wide = {2000, 20000, 10, 0.85};
    struct tess_config config;

    tess_bench_settings(bench, &config);
    config.model.embedding_dim = 64;
    config.model.hidden_dim = 192;
    config.model.activation = TESS_ACTIVATION_SILU;
    tess_bench_section(bench, "one readout", "A single readout in 1000 contexts, D = 64, H = 192");
    one.perturbations /= bench->options->quick ? 10 : 1;
    wide.perturbations /= bench->options->quick ? 10 : 1;
    if (tess_bench_simulate(bench, &one, &config, error) == TESS_OK &&
        run_precisions(bench, &config, "mlp", 0, error) == TESS_OK) {
        config.model.kind = TESS_KIND_DOT;
        run_precisions(bench, &config, "dot", 0, error);
    }
    tess_bench_forget(bench, config.data.store);
    if (error->code != TESS_OK)
        return error->code;
    tess_bench_section(bench, "genomes", "20000 readouts, D = 64, H = 192");
    config.train.lanes = 0;
    if (tess_bench_simulate(bench, &wide, &config, error) == TESS_OK)
        run_precisions(bench, &config, "dot", 1, error);
    tess_bench_forget(bench, config.data.store);
    return error->code;
}

static const struct recipe *find_recipe(const char *name, struct tess_error *error)
{
    for (int i = 0; i < N_RECIPES; i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    tess_error_set(error, TESS_EUSAGE, "no recipe '%s': there are lincs and replogle", name);
    return NULL;
}

/* A configuration of one's own, or one recipe, takes the place of all recipes. */
static void run_all(struct bench *bench, const struct recipe *only, struct tess_error *error)
{
    const struct tess_config *own = bench->options->config;
    int width[] = {256, 512}, n = 2;
    struct tess_config config;

    if (own || only) {
        width[0] = own ? tess_int(own->model.hidden_dim) : only->hidden;
        n = 1;
    }
    if (!bench->options->rates) {
        tess_bench_machine(bench, n, width);
        tess_bench_messages(bench);
        tess_bench_dense(bench, error);
    }
    if (own && error->code == TESS_OK) {
        tess_bench_section(bench, "own", "The configuration's own run");
        config = *own;
        config.train.threads = bench->n_threads;
        run_precisions(bench, &config, "own", 1, error);
    }
    for (int i = 0; i < N_RECIPES && error->code == TESS_OK; i++)
        if (only ? only == &recipes[i] : !own)
            run_recipe(bench, &recipes[i], error);
    if (error->code == TESS_OK && !own && !only)
        run_factorised(bench, error);
    if (error->code == TESS_OK && !own && !bench->options->rates)
        tess_bench_growth(bench, error);
}

static int write_json(const struct bench *bench, struct tess_error *error)
{
    if (bench->rank == 0 && bench->options->json) {
        char *text = json_dumps(bench->report, JSON_INDENT(2));

        tess_commit_text(bench->options->json, text, error);
        free(text);
    }
    return tess_agree(bench->comm, error);
}

static void start_report(struct bench *bench)
{
    if (bench->rank != 0)
        return;
    bench->report = json_pack("{s:s, s:i, s:i, s:i, s:b, s:s, s:s}", "version", TESS_VERSION,
                              "ranks", bench->n_ranks, "threads", bench->n_threads, "repeat",
                              bench->repeat, "quick", bench->options->quick, "kernels",
                              tess_platform_blas_core(), "unit", tess_unit_name(tess_unit()));
    printf("%d rank%s × %d thread%s, %s kernels; %s %d\n", bench->n_ranks,
           bench->n_ranks == 1 ? "" : "s", bench->n_threads, bench->n_threads == 1 ? "" : "s",
           tess_platform_blas_core(), "medians of", bench->repeat);
    if (tess_unit() == TESS_UNIT_SGEMM)
        printf("no unit for bfloat16 that is faster than sgemm: float32 alone\n");
    else
        printf("unit for bfloat16: %s\n", tess_unit_name(tess_unit()));
}

int tess_bench_run(const struct tess_bench *options, MPI_Comm comm, struct tess_error *error)
{
    struct bench bench = {.options = options, .comm = comm, .repeat = tess_int(options->repeat)};
    const struct recipe *only = options->recipe ? find_recipe(options->recipe, error) : NULL;
    enum tess_log_level level = tess_log_level;

    MPI_Comm_rank(comm, &bench.rank);
    MPI_Comm_size(comm, &bench.n_ranks);
    if (error->code != TESS_OK || make_directory(&bench, error) != TESS_OK)
        return error->code;
    omp_set_num_threads(tess_int(options->threads));
    bench.n_threads = tess_int(options->threads);
    start_report(&bench);
    if (tess_log_level == TESS_LOG_INFO) /* the table is enough */
        tess_log_level = TESS_LOG_WARN;
    run_all(&bench, only, error);
    tess_log_level = level;
    if (error->code == TESS_OK)
        write_json(&bench, error);
    if (bench.rank == 0)
        rmdir(bench.directory);
    json_decref(bench.report);
    return error->code;
}

int tess_bench_measure(const struct tess_config *config, const struct tess_bench_data *data,
                       const char *directory, struct tess_bench_step *step,
                       struct tess_error *error)
{
    const struct tess_bench options = {.directory = directory, .quick = 1};
    struct bench bench = {.options = &options, .comm = MPI_COMM_SELF, .n_ranks = 1, .repeat = 3};
    enum tess_log_level level = tess_log_level;
    struct tess_config own = *config;

    if (make_directory(&bench, error) != TESS_OK)
        return error->code;
    bench.n_threads = tess_int(config->train.threads);
    if (tess_log_level == TESS_LOG_INFO)
        tess_log_level = TESS_LOG_WARN;
    if (!data || tess_bench_simulate(&bench, data, &own, error) == TESS_OK)
        tess_bench_stages(&bench, &own, step, error);
    tess_log_level = level;
    if (data)
        tess_bench_forget(&bench, own.data.store);
    rmdir(bench.directory);
    return error->code;
}
