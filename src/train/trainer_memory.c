/* trainer_memory.c -- what a training will do and the memory that each rank needs for it, said
 * beforehand. */
#include "tessera/trainer.h"

#include "tessera/bfloat16.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/platform.h"

#include <math.h>

/* What libraries take once they work: messages, writing files, buffers of products. */
#define LIBRARY_BYTES 1.2e7
#define THREAD_BYTES  2e6
#define LANE_BYTES    4096 /* steps in preparation, small allocations */

#define EXACT   3000 /* readouts up to which `linear` has the products of all */
#define FACTORS 10 /* of the baseline `linear` (baseline_linear.h) */

#define SPARSE 0.3 /* measured share below which tiles hardly pay */

double tess_trainer_memory_sum(const struct tess_trainer_memory *m)
{
    return m->data + m->model + m->lanes + m->index + m->libraries;
}

/* Experiments and observations of a split, and places that they have in tiles. */
static void count(const struct tess_dataset *dataset, int split, int64_t sum[3])
{
    const struct tess_index *index = &dataset->store->index;

    sum[0] = sum[1] = sum[2] = 0;
    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == split) {
            sum[0]++;
            sum[1] += tess_dataset_observations(dataset, e);
            sum[2] += tess_dataset_width(dataset, index->panel[e]);
        }
}

/* What scoring `rows` experiments of this rank takes, while it lasts. */
static double validation_bytes(const struct tess_trainer *trainer, double rows)
{
    double D = trainer->shape.dim, H = tess_shape_width(trainer->shape);
    double readouts = (double)trainer->dataset.readout.n;
    double tables = readouts + (double)trainer->store.index.context.n;
    double batch = fmin(rows, TESS_VALIDATION_ROWS);
    double values = fmin(batch * readouts, TESS_VALIDATION_VALUES);

    /* rows, projected; what is predicted, and places; tables, projected; activations */
    return rows > 0
               ? 4 * (batch + tables) * (D + H) + 13 * values +
                     trainer->n_threads * 4 * TESS_TILE_ROWS * (D + H * (trainer->shape.layers + 3))
               : 0;
}

/* data.streaming: values of the steps that come, the lists of what is read, and neighbours that are
 * read together; of validation the values that are predicted at a time. */
static double streaming_bytes(const struct tess_trainer *trainer)
{
    const struct tess_config *config = &trainer->config;
    const int *lane = trainer->lanes.first + trainer->rank;
    double bytes = (TESS_AHEAD_THREADS + 1) *
                   (double)(TESS_AHEAD_VALUES + 3 * trainer->store.index.readout.n) * sizeof(float);

    for (int l = lane[0]; l < lane[1]; l++) {
        struct tess_lane_sizes sizes;
        double share = (double)tess_schedule_share(&trainer->schedule, l), reads;

        tess_schedule_sizes(&trainer->schedule, l, &sizes);
        reads = config->train.sampling == TESS_SAMPLING_OBSERVATIONS
                    ? share
                    : fmin(share, (double)sizes.left);
        bytes += TESS_WINDOW * (12 * share + TESS_AHEAD_READ_BYTES * reads);
        if (config->train.sampling == TESS_SAMPLING_OBSERVATIONS)
            bytes += (double)sizes.values / 8;
    }
    return bytes + 4 * TESS_VALIDATION_VALUES + TESS_AHEAD_READ_BYTES * TESS_VALIDATION_ROWS;
}

/* Values of lanes and validation, and their order in an epoch; or what the statistics before them
 * take, if that is more. */
static double data_bytes(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_dataset *dataset = &trainer->dataset;
    const int *lane = trainer->lanes.first + trainer->rank;
    int streams = trainer->config.data.streaming != 0;
    double bytes = streams ? streaming_bytes(trainer) : 0, rows = 0;
    double contexts = (double)index->context.n;
    int64_t first, end;

    for (int l = lane[0]; l < lane[1]; l++) {
        struct tess_lane_sizes sizes;

        tess_schedule_sizes(&trainer->schedule, l, &sizes);
        bytes += LANE_BYTES + dataset->each * (double)((streams ? 0 : 4 * sizes.values) +
                                                       16 * sizes.experiments + sizes.order_bytes);
    }
    tess_trainer_validation(trainer, &first, &end);
    for (int64_t e = first; e < end; e++)
        if (index->split[e] == TESS_VAL) {
            bytes += dataset->each *
                     (streams ? 16 : 4 * (double)tess_dataset_width(dataset, index->panel[e]));
            rows += dataset->each;
        }
    /* scores and places; rows asked for, and sent */
    bytes += rows * 64 + 8 * (double)index->perturbation.n +
             8.0 * trainer->shape.dim * fmin(rows, (double)index->perturbation.n);
    bytes += validation_bytes(trainer, rows);
    return TESS_STORE_READ_BYTES + fmax(bytes, dataset->statistics_bytes) +
           16.0 * (double)dataset->panel_first[index->n_panels] +
           (dataset->scaling.shift ? 8 * contexts * (double)dataset->readout.n : 0);
}

/* The MLP and its moments, this rank's gradient, the copy of the best state, and the tables' rows.
 */
static double model_bytes(const struct tess_trainer *trainer)
{
    struct tess_state state = tess_trainer_state(trainer);
    double gradient = sizeof(float) * (double)tess_shape_size(state.shape) / trainer->n_ranks;
    double bytes = (double)tess_state_moving_bytes(&state, TESS_STATE_MLP, trainer->n_ranks) +
                   gradient + (double)trainer->kept_bytes;

    for (int t = 0; t < TESS_N_TABLES; t++)
        bytes +=
            (double)tess_shard_bytes(tess_state_rows(&state, t), state.shape.dim, trainer->n_ranks);
    return bytes;
}

double tess_trainer_model_bytes(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    double readouts = (double)trainer->dataset.readout.n, contexts = (double)index->context.n;
    double columns = trainer->shape.dim, width = tess_shape_width(trainer->shape);

    return 4 * (columns * ((double)index->perturbation.n + readouts + contexts) +
                width * (readouts + 2 * contexts) + (double)tess_shape_size(trainer->shape)) +
           (trainer->dataset.scaling.shift ? 8 * readouts * contexts : 0);
}

/* A thread's activations, projected rows, and marks of what it met. Factorised models have the
 * activations of all left rows, their vectors, and outputs of a block. */
static double thread_bytes(const struct tess_trainer *trainer, double left, double right,
                           double experiments)
{
    const struct tess_index *index = &trainer->store.index;
    double H = tess_shape_width(trainer->shape), K = trainer->shape.factors;
    double rows = K > 0 ? left : TESS_TILE_ROWS, L = trainer->shape.layers;
    double low = tess_precision_is_low(trainer->config.train.precision) ? 2 : 0;

    return 4 * H * (3 * left + 2 * right + (L + 2 + (trainer->shape.silu ? L : 0)) * rows) +
           low * H * rows * L + (K > 0 ? 4 * K * (3 * left + 2 * right) + 4 * (65536 + right) : 0) +
           4 * (experiments + trainer->dataset.each * (double)index->n_combinations +
                (double)(index->perturbation.n + index->context.n + trainer->dataset.readout.n));
}

/* Matrices of the hidden layers in bfloat16, for steps or for validation: two forms of two bytes,
 * or one of four. */
static double packed_bytes(const struct tess_trainer *trainer, int64_t precision)
{
    double H = trainer->shape.hidden, L = trainer->shape.layers;

    return tess_precision_is_low(precision) && L > 1 ? 4 * H * H * (L - 1) : 0;
}

/* What lanes at work take: gradients of the MLP, rows and theirs, prepared steps, messages. */
static double lanes_bytes(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const int *lane = trainer->lanes.first + trainer->rank;
    double D = trainer->shape.dim, left = 0, right = 0, experiments = 0, bytes = 0;
    double members = (double)index->combination_first[index->n_combinations] /
                     fmax(1, (double)index->n_combinations);
    double buffers = tess_lanes_buffers(lane[1] - lane[0], trainer->n_threads) +
                     (double)(trainer->lanes.n_roots) / trainer->n_ranks;

    for (int l = lane[0]; l < lane[1]; l++) {
        struct tess_lane_sizes sizes;
        double share = (double)tess_schedule_share(&trainer->schedule, l), P, R, C, fetched;

        tess_schedule_sizes(&trainer->schedule, l, &sizes);
        P = (double)sizes.left;
        R = (double)sizes.right;
        C = fmin(P, (double)index->context.n);
        fetched = members * P + R + C;
        /* rows, combined rows and room to grow; messages, and gradients at the owner */
        bytes += 4 * D * (3 * (fetched + P) + 4 * fetched);
        /* observations; numbers of rows, and who has them */
        bytes += TESS_WINDOW *
                 (12 * share + 1.5 * (trainer->dataset.weight ? 36 : 32) * P + 1.5 * 40 * fetched);
        left = fmax(left, P);
        right = fmax(right, R);
        experiments = fmax(experiments, trainer->dataset.each * (double)sizes.experiments);
    }
    return bytes + 4 * buffers * (double)tess_shape_size(trainer->shape) +
           packed_bytes(trainer, trainer->config.train.precision) +
           packed_bytes(trainer, TESS_PRECISION_AUTO) +
           trainer->n_threads * thread_bytes(trainer, left, right, experiments);
}

/* Of symbols, and of others that could be asked for. */
static double features_bytes(const struct tess_features *features)
{
    return 4.0 * (double)features->k * (double)(features->n + features->name.n) +
           (double)features->name.n * (features->name.width + 1.0 + sizeof(char *));
}

/* What every rank knows of all experiments. */
static double index_bytes(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_vocab *vocab[] = {&index->perturbation, &index->readout, &index->context,
                                        &trainer->dataset.readout};
    double each = trainer->dataset.each;
    double bytes =
        (65.0 + (index->weight ? 8 : 0) + (trainer->dataset.weight ? 4 : 0)) * each *
            (double)index->n_experiments +
        8.0 * each *
            (double)(index->n_combinations + index->combination_first[index->n_combinations] +
                     2 * index->fold_first[index->n_experiments]) +
        8.0 * (double)index->panel_first[index->n_panels];

    for (int i = 0; i < 4; i++)
        bytes += (double)vocab[i]->n * (vocab[i]->width + 10);
    for (int t = 0; t < TESS_N_TABLES; t++)
        bytes += tess_composition_bytes(&trainer->dataset.composition[t]) +
                 features_bytes(&trainer->dataset.features[t]);
    return bytes;
}

/* What the baselines take once the training is over: of each unit (an experiment), combination and
 * (context, readout) some numbers, the products of readouts, all values or none of them, sums of
 * changes of what is validated; sums of validation experiments, which rank 0 has of all. */
static double baselines_bytes(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    double values = 0, validated = 0, readouts = (double)index->readout.n;
    double most = (double)TESS_COMPARISON_BYTES, each = trainer->dataset.each;
    double units = each * (double)index->n_experiments;
    double combinations = each * (double)index->n_combinations, contexts = (double)index->context.n;
    double factors = fmin(FACTORS, readouts);
    /* the sum, a rank's part of it, and another's or what finding the factors takes */
    double products = (readouts <= EXACT ? 24 * readouts : 2000) * readouts;

    for (int64_t e = 0; e < index->n_experiments; e++) {
        values += each * (double)(index->value_first[e + 1] - index->value_first[e]);
        validated += index->split[e] == TESS_VAL ? each : 0;
    }
    return tess_features_baseline_bytes(&(struct tess_features_scale){
               contexts, units, units, factors, trainer->dataset.features[TESS_TABLE_P].k}) +
           units * (50 + 16 * factors) + combinations * (32 + 8 * factors) +
           40 * contexts * readouts + products + (4 * values <= most ? 4 * values : 0) +
           fmin(12 * readouts * fmin(validated, combinations), most) + 400 * validated;
}

/* The comparison with the baselines, for which steps' part of the memory is given back, and the
 * whole model is opened: what it takes beyond that part. */
static double afterwards(const struct tess_trainer *trainer,
                         const struct tess_trainer_memory *memory)
{
    double values = 0, bytes;

    if (tess_index_observed(&trainer->store.index, TESS_VAL) == 0)
        return 0;
    for (int64_t e = 0; e < trainer->store.index.n_experiments; e++)
        if (!trainer->config.data.streaming && trainer->store.index.split[e] == TESS_VAL)
            values += trainer->dataset.each * (double)(trainer->store.index.value_first[e + 1] -
                                                       trainer->store.index.value_first[e]);
    bytes = 4 * values + tess_trainer_model_bytes(trainer) + baselines_bytes(trainer) +
            TESS_STORE_READ_BYTES - (memory->data + memory->model + memory->lanes);
    return bytes > 0 ? bytes : 0;
}

struct tess_trainer_memory tess_trainer_memory(const struct tess_trainer *trainer)
{
    struct tess_trainer_memory memory = {data_bytes(trainer), model_bytes(trainer),
                                         lanes_bytes(trainer), index_bytes(trainer),
                                         trainer->libraries};

    memory.data += afterwards(trainer, &memory);
    memory.libraries += LIBRARY_BYTES + THREAD_BYTES * trainer->n_threads;
    return memory;
}

/* Of the rank that needs most. Collective. */
static struct tess_trainer_memory measure(const struct tess_trainer *trainer)
{
    struct tess_trainer_memory memory = tess_trainer_memory(trainer);
    struct {
        double bytes;
        int rank;
    } mine = {tess_trainer_memory_sum(&memory), trainer->rank}, most;

    MPI_Allreduce(&mine, &most, 1, MPI_DOUBLE_INT, MPI_MAXLOC, trainer->comm);
    MPI_Bcast(&memory, (int)(sizeof memory / sizeof(double)), MPI_DOUBLE, most.rank, trainer->comm);
    return memory;
}

double tess_trainer_most_bytes(const struct tess_trainer *trainer)
{
    struct tess_trainer_memory memory = measure(trainer);

    return tess_trainer_memory_sum(&memory);
}

/* Before values are loaded and parameters made: who asks for too much sees it at once. */
void tess_trainer_announce(struct tess_trainer *trainer)
{
    const struct tess_config *config = &trainer->config;
    const struct tess_index *index = &trainer->store.index;
    int64_t rows[] = {index->perturbation.n, trainer->dataset.readout.n, index->context.n};
    int64_t mlp = tess_shape_size(trainer->shape), train[3], validation[3];
    struct tess_state state = tess_trainer_state(trainer);
    struct tess_trainer_memory memory = measure(trainer);
    static const char *const kinds[] = {"MLP", "dot product", "tensor decomposition"};

    trainer->announced = tess_trainer_memory_sum(&memory);
    count(&trainer->dataset, TESS_TRAIN, train);
    count(&trainer->dataset, TESS_VAL, validation);
    tess_info("%s: %lld perturbations, %lld readouts, %lld contexts", trainer->store.h5.path,
              (long long)rows[0], (long long)rows[1], (long long)rows[2]);
    tess_info("training on %lld experiments, %lld observations, %lld a step; validating on %lld, "
              "%lld",
              (long long)train[0], (long long)train[1], (long long)trainer->schedule.batch,
              (long long)validation[0], (long long)validation[1]);
    if (config->train.sampling == TESS_SAMPLING_TILES &&
        (double)train[1] < SPARSE * (double)train[2])
        tess_warn("only %.0f %% of the values in a tile are measured: the rest is computed for "
                  "nothing; train.sampling=observations may be faster",
                  100 * (double)train[1] / (double)train[2]);
    tess_info(
        "%d rank%s × %d thread%s, %lld lanes, %s kernels; %s of 3×%d, %d hidden layer%s of %d, "
        "%.3g million parameters in all",
        trainer->n_ranks, trainer->n_ranks == 1 ? "" : "s", trainer->n_threads,
        trainer->n_threads == 1 ? "" : "s", (long long)trainer->schedule.lanes,
        tess_platform_blas_core(), kinds[trainer->shape.kind], trainer->shape.dim,
        trainer->shape.layers, trainer->shape.layers == 1 ? "" : "s", trainer->shape.hidden,
        (double)(mlp + (rows[0] + rows[1] + rows[2]) * trainer->shape.dim) / 1e6);
    if (tess_precision_is_low(config->train.precision) && trainer->shape.layers > 1)
        tess_info("train.precision: bfloat16, %s",
                  tess_unit() == TESS_UNIT_SGEMM
                      ? "by sgemm with rounded operands: no faster than float32, as this processor "
                        "has no unit for it, or the program no oneDNN"
                      : tess_unit_name(tess_unit()));
    tess_info("memory of each rank: %.1f MB (data %.1f, model %.1f, lanes %.1f, index %.1f, "
              "libraries %.1f)",
              trainer->announced / 1e6, memory.data / 1e6, memory.model / 1e6, memory.lanes / 1e6,
              memory.index / 1e6, memory.libraries / 1e6);
    tess_info("checkpoint: %.1f MB in %s",
              (double)(tess_state_moving_bytes(&state, TESS_STATE_TABLES, 1) +
                       tess_state_moving_bytes(&state, TESS_STATE_MLP, 1)) /
                  1e6,
              config->run.directory[0] ? config->run.directory : "(run.directory is not set)");
}

void tess_trainer_say_memory(const struct tess_trainer *trainer)
{
    double peak = tess_platform_memory(1);

    MPI_Allreduce(MPI_IN_PLACE, &peak, 1, MPI_DOUBLE, MPI_MAX, trainer->comm);
    if (peak > 0)
        tess_debug("peak memory of a rank: %.1f MB of %.1f announced", peak / 1e6,
                   trainer->announced / 1e6);
}
