/* forecast.c -- a training is opened, not loaded; its schedule is followed for some steps; then it
 * is every layout of ranks and threads in turn. */
#include "forecast.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <time.h>

/* Of a link that nobody measured or named. */
#define WITHIN_LATENCY    1e-6 /* shared memory */
#define WITHIN_BANDWIDTH  4e9
#define BETWEEN_LATENCY   2e-6 /* 100 Gbit/s, without the operating system in between */
#define BETWEEN_BANDWIDTH 1.25e10

#define RANKS_LOOKED_AT 8 /* for the one that needs most memory */
#define MEASURED_VALUES 2e7 /* of simulated data */
#define MEASURED_LANES  16
#define MEASURED_BYTES  2e9 /* a store whose values take more is not loaded to measure */
#define LOG_LINE        400.0 /* bytes, and of each context: */
#define LOG_CONTEXT     40.0
#define AS_GOOD         1.03 /* fewer cores are better if they take no longer than that */

int tess_forecast_check(const struct tess_forecast *forecast, struct tess_error *error)
{
    const struct tess_forecast_shape *shape = &forecast->shape;
    int given = (shape->perturbations > 0) + (shape->readouts > 0) + (shape->contexts > 0);

    if (given != 0 && given != 3)
        return tess_error_set(error, TESS_EUSAGE,
                              "data that are not there need --perturbations, --readouts and "
                              "--contexts, all three");
    if (given == 0 && (shape->experiments > 0 || shape->missing > 0))
        return tess_error_set(error, TESS_EUSAGE,
                              "--experiments and --missing belong to data that are not there: give "
                              "--perturbations, --readouts and --contexts too");
    if ((double)shape->experiments > (double)shape->perturbations * (double)shape->contexts)
        return tess_error_set(
            error, TESS_EUSAGE, "--experiments: %lld are more than perturbations × contexts, %.0f",
            (long long)shape->experiments, (double)shape->perturbations * (double)shape->contexts);
    if (forecast->nodes > forecast->ranks)
        return tess_error_set(error, TESS_EUSAGE,
                              "--nodes: %lld nodes for %lld ranks: each node has a rank at least; "
                              "raise --ranks or lower --nodes",
                              (long long)forecast->nodes, (long long)forecast->ranks);
    return TESS_OK;
}

static int open_trainer(struct forecast *f, struct tess_error *error)
{
    struct tess_forecast_shape shape = f->options->shape;
    struct tess_config config = *f->options->config;
    struct tess_index index;
    double each;

    config.train.threads = 1;
    if (shape.perturbations == 0)
        return tess_trainer_open(&f->trainer, &config, MPI_COMM_SELF, error);
    if (config.data.top_variable > 0 && config.data.top_variable < shape.readouts)
        shape.readouts = config.data.top_variable; /* which ones does not matter */
    tess_forecast_index(&shape, config.train.lanes, &index, &each);
    snprintf(config.data.store, sizeof config.data.store, "data of that shape");
    return tess_trainer_open_index(&f->trainer, &config, &index, each, error);
}

/* What is learned from and validated on in an epoch. */
static void count_values(struct forecast *f)
{
    const struct tess_index *index = &f->trainer.store.index;
    const struct tess_dataset *dataset = &f->trainer.dataset;

    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == TESS_TRAIN)
            f->basis.observations += dataset->each * (double)tess_dataset_observations(dataset, e);
        else if (index->split[e] == TESS_VAL)
            f->basis.values += dataset->each * (double)tess_dataset_width(dataset, index->panel[e]);
}

/* The settings that the trainer decided upon; of many lanes some, and their share of the batch. */
static struct tess_config measured_config(const struct tess_trainer *trainer, int simulated)
{
    struct tess_config config = trainer->config;
    int64_t lanes = trainer->schedule.lanes, batch = trainer->schedule.batch;

    config.train.lanes = lanes < MEASURED_LANES ? lanes : MEASURED_LANES;
    config.train.batch = batch * config.train.lanes / lanes;
    if (simulated) {
        config.data.scale = 0;
        config.data.normalize = TESS_NORMALIZE_NONE;
        config.data.top_variable = 0;
    }
    return config;
}

/* As many perturbations of the same readouts and contexts as can be simulated in a moment. */
static struct tess_bench_data data_like(const struct tess_trainer *trainer, double missing)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t contexts = index->context.n < 100 ? index->context.n : 100;
    double row = (double)trainer->dataset.readout.n * (double)contexts;
    double most = fmax(MEASURED_VALUES / row, 64);

    return (struct tess_bench_data){.perturbations =
                                        (int64_t)fmin((double)index->perturbation.n, most),
                                    .readouts = trainer->dataset.readout.n,
                                    .contexts = contexts,
                                    .sparsity = missing};
}

/* A step with one thread, and with as many as this machine and the plan have. */
static int measure(struct forecast *f, struct tess_error *error)
{
    int cores = omp_get_num_procs();
    int64_t wanted = f->options->ranks * f->options->threads;
    int simulated =
        f->options->shape.perturbations > 0 || 4 * f->basis.observations > MEASURED_BYTES;
    struct tess_config config = measured_config(&f->trainer, simulated);
    struct tess_bench_data data = data_like(&f->trainer, f->options->shape.missing);

    f->basis.n_many = tess_int(wanted < cores ? wanted : cores);
    if (f->basis.n_many > config.train.lanes)
        f->basis.n_many = tess_int(config.train.lanes);
    for (int many = 0; many < 2 && error->code == TESS_OK; many++) {
        config.train.threads = many ? f->basis.n_many : 1;
        tess_bench_measure(&config, simulated ? &data : NULL, f->options->directory,
                           many ? &f->basis.many : &f->basis.one, error);
    }
    if (simulated && error->code == TESS_OK) /* forward alone, a third of the products */
        f->basis.one.validation =
            f->basis.one.stage[TESS_STAGE_LANES] / (3 * f->basis.one.observations);
    return error->code;
}

/* Of a few ranks, the first and the last among them, the one that needs most. */
static int look_at_memory(struct forecast *f, struct estimate *e, struct tess_error *error)
{
    int most = f->n == 0 ? RANKS_LOOKED_AT : 2; /* of the layout that is asked about */
    int n = e->ranks < most ? e->ranks : most;

    for (int i = 0; i < n; i++) {
        int rank = n > 1 ? tess_int((int64_t)i * (e->ranks - 1) / (n - 1)) : 0;
        struct tess_trainer_memory memory;
        double bytes;

        if (tess_trainer_pretend(&f->trainer, rank, e->ranks, e->threads, error) != TESS_OK)
            return error->code;
        memory = tess_trainer_memory(&f->trainer);
        bytes = tess_trainer_memory_sum(&memory);
        if (bytes > e->memory) {
            e->memory = bytes;
            e->most = memory;
        }
    }
    return TESS_OK;
}

/* A line of the table; the traffic of the layout that is asked about is kept. */
static int try_layout(struct forecast *f, int64_t ranks, int64_t threads, struct tess_error *error)
{
    struct estimate *e = &f->layout[f->n];
    struct traffic traffic;

    *e = (struct estimate){.ranks = tess_int(ranks), .threads = tess_int(threads)};
    if (look_at_memory(f, e, error) != TESS_OK)
        return error->code;
    tess_traffic_init(&traffic, &f->trainer, &f->demand);
    tess_estimate_times(e, &f->basis, &f->trainer, &traffic);
    e->hours *= (double)f->turns;
    if (ranks == f->options->ranks / f->members_at_once && threads == f->options->threads) {
        f->asked = f->n;
        f->traffic = traffic;
    } else
        tess_traffic_release(&traffic);
    f->n++;
    return TESS_OK;
}

/* Ranks that share the given cores with each number of threads; then fewer ranks of as many
 * threads. Numbers are powers of two, and those that are asked about. */
static int try_all(struct forecast *f, struct tess_error *error)
{
    int64_t ranks = f->options->ranks / f->members_at_once, threads = f->options->threads;
    int64_t cores = ranks * threads, lanes = f->trainer.schedule.lanes;

    if (try_layout(f, ranks, threads, error) != TESS_OK)
        return error->code;
    for (int64_t t = 1; t <= cores && error->code == TESS_OK && f->n < MOST_LAYOUTS; t *= 2)
        if (cores % t == 0 && t != threads && cores / t <= lanes)
            try_layout(f, cores / t, t, error);
    for (int64_t r = 1; r < ranks && error->code == TESS_OK && f->n < MOST_LAYOUTS; r *= 2)
        try_layout(f, r, threads, error);
    return error->code;
}

/* The fastest; or fewer cores if they are as good; or less memory. */
static void choose_best(struct forecast *f)
{
    double fastest = INFINITY;

    for (int i = 0; i < f->n; i++)
        fastest = fmin(fastest, f->layout[i].hours);
    f->best = -1;
    for (int i = 0; i < f->n; i++) {
        const struct estimate *e = &f->layout[i], *best = &f->layout[f->best < 0 ? 0 : f->best];
        int64_t cores = (int64_t)e->ranks * e->threads;
        int64_t least = (int64_t)best->ranks * best->threads;

        if (e->hours <= AS_GOOD * fastest &&
            (f->best < 0 || cores < least || (cores == least && e->hours < best->hours)))
            f->best = i;
    }
}

static void count_disk(struct forecast *f)
{
    const struct tess_config *config = &f->trainer.config;
    double members = (double)config->train.members;

    f->checkpoint = tess_trainer_save_bytes(&f->trainer);
    /* those that are kept, the best one, and the one that is being written */
    f->disk = members * f->checkpoint * (double)(config->checkpoint.keep + 2);
    f->log = members * (double)config->train.epochs *
             (LOG_LINE + LOG_CONTEXT * (double)f->trainer.store.index.context.n);
}

static int divide_members(struct forecast *f, struct tess_error *error)
{
    const struct tess_config *config = f->options->config;
    int64_t groups = config->train.groups, members = config->train.members;

    if (groups > f->options->ranks)
        return tess_error_set(error, TESS_ECONFIG,
                              "train.groups is %lld, but there are only %lld ranks: a group is of "
                              "one rank at least; lower train.groups or raise --ranks",
                              (long long)groups, (long long)f->options->ranks);
    f->members_at_once = tess_int(groups);
    f->turns = (members + groups - 1) / groups;
    return TESS_OK;
}

static int work_out(struct forecast *f, struct tess_error *error)
{
    int64_t lanes;

    if (divide_members(f, error) != TESS_OK || open_trainer(f, error) != TESS_OK)
        return error->code;
    lanes = f->trainer.schedule.lanes;
    if (f->options->ranks / f->members_at_once > lanes)
        return tess_error_set(error, TESS_ECONFIG,
                              "--ranks: %lld ranks share %lld lanes: ask about at most %lld, or "
                              "raise train.lanes (which changes the result's bits)",
                              (long long)f->options->ranks / f->members_at_once, (long long)lanes,
                              (long long)lanes);
    count_values(f);
    count_disk(f);
    if (tess_demand_init(&f->demand, &f->trainer, f->options->steps, error) != TESS_OK)
        return error->code;
    f->basis.steps = (double)f->demand.steps_per_epoch;
    f->basis.epochs = (double)f->trainer.config.train.epochs;
    /* A group's ranks are neighbours. */
    f->basis.nodes = tess_int((f->options->nodes + f->members_at_once - 1) / f->members_at_once);
    f->basis.sharing = (double)f->members_at_once * f->basis.nodes / (double)f->options->nodes;
    if (f->options->rate > 0)
        tess_estimate_given(&f->basis, &f->trainer, f->options->rate);
    else if (measure(f, error) != TESS_OK)
        return error->code;
    if (try_all(f, error) == TESS_OK)
        choose_best(f);
    return error->code;
}

/* What the user says, what is measured, or what is usual. */
static void choose_links(struct forecast *f, MPI_Comm comm)
{
    const struct tess_link *given = &f->options->network;
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    f->basis.within = (struct tess_link){WITHIN_LATENCY, WITHIN_BANDWIDTH, 0};
    f->basis.between = (struct tess_link){BETWEEN_LATENCY, BETWEEN_BANDWIDTH, 0};
    if (n_ranks > 1) {
        struct tess_link *link = f->options->nodes > 1 ? &f->basis.between : &f->basis.within;

        tess_bench_link(comm, &link->latency, &link->bandwidth);
        link->given = 2;
    }
    if (given->latency > 0)
        f->basis.between = *given;
}

static void release(struct forecast *f)
{
    tess_traffic_release(&f->traffic);
    tess_demand_release(&f->demand);
    tess_trainer_release(&f->trainer);
}

void tess_forecast_meet(MPI_Comm comm)
{
    const struct timespec moment = {0, 10000000};
    MPI_Request request;
    int here = 0;

    MPI_Ibarrier(comm, &request);
    for (MPI_Test(&request, &here, MPI_STATUS_IGNORE); !here;
         MPI_Test(&request, &here, MPI_STATUS_IGNORE))
        nanosleep(&moment, NULL);
}

int tess_forecast_run(const struct tess_forecast *options, MPI_Comm comm, struct tess_error *error)
{
    struct forecast f = {.options = options};
    int rank;

    MPI_Comm_rank(comm, &rank);
    choose_links(&f, comm);
    if (rank == 0) {
        if (work_out(&f, error) == TESS_OK) {
            tess_forecast_print(&f);
            if (options->json)
                tess_forecast_write(&f, options->json, error);
        }
        release(&f);
    }
    tess_forecast_meet(comm);
    return tess_agree(comm, error);
}
