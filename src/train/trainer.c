/* trainer.c -- setting a training up: store, lanes, shards, buffers; and what that takes. */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/kept.h"
#include "tessera/log.h"
#include "tessera/platform.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define FEW_EXPERIMENTS 700 /* of training: fewer suit a dot product better */

/* Whole blocks of TESS_CHECK_FLOATS to each rank, so that checksums need only one rank's numbers.
 */
int64_t *tess_trainer_slices(int64_t n, int n_ranks)
{
    int64_t blocks = (n + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    int64_t *slice = TESS_NEW(int64_t, n_ranks + 1);

    for (int r = 0; r <= n_ranks; r++) {
        slice[r] = r * blocks / n_ranks * TESS_CHECK_FLOATS;
        slice[r] = slice[r] < n ? slice[r] : n;
    }
    return slice;
}

/* Every rank makes its own rows and the whole MLP: numbers are functions of seed and place, so that
 * nothing is sent. Moments are of the rank's slice only. */
static int init_parameters(struct tess_trainer *trainer, struct tess_error *error)
{
    uint64_t seed = (uint64_t)trainer->config.run.seed;
    int64_t n;

    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++) {
        struct tess_shard *shard = &trainer->shard[t];
        const struct tess_composition *composition = &trainer->dataset.composition[t];

        if (tess_shard_init(shard, trainer->comm, composition->n_rows, trainer->shape.dim, error) !=
            TESS_OK)
            break;
        tess_network_init_rows(seed, t, shard->dim, shard->first[shard->rank], shard->n_local,
                               shard->rows.value);
        tess_composition_start(composition, shard->dim, shard->first[shard->rank], shard->n_local,
                               shard->rows.value);
    }
    trainer->n_parameters = tess_shape_size(trainer->shape);
    trainer->parameter = TESS_NEW(float, trainer->n_parameters);
    tess_mlp_point(&trainer->mlp, trainer->shape, trainer->parameter);
    tess_network_init_mlp(seed, trainer->shape, 0, trainer->n_parameters, trainer->parameter);
    trainer->slice = tess_trainer_slices(trainer->n_parameters, trainer->n_ranks);
    n = trainer->slice[trainer->rank + 1] - trainer->slice[trainer->rank];
    trainer->m = TESS_NEW(float, n);
    trainer->v = TESS_NEW(float, n);
    trainer->slice_gradient = TESS_NEW(float, n);
    tess_optimizer_init(&trainer->optimizer, &trainer->config);
    return error->code;
}

static int load_lanes(struct tess_trainer *trainer, struct tess_error *error)
{
    int first = trainer->lanes.first[trainer->rank];
    int64_t most = 0;

    trainer->n_local = trainer->lanes.first[trainer->rank + 1] - first;
    trainer->lane = TESS_NEW(struct tess_lane, trainer->n_local);
    trainer->buffer = TESS_NEW(struct tess_lane_buffer, trainer->n_local);
    trainer->work = TESS_NEW(struct tess_work, TESS_WINDOW * trainer->n_local);
    if (trainer->ahead)
        trainer->next_work = TESS_NEW(struct tess_work, TESS_WINDOW * trainer->n_local);
    trainer->request = TESS_NEW(struct tess_request, TESS_WINDOW);
    for (int l = 0; l < trainer->n_local && error->code == TESS_OK; l++) {
        if (tess_lane_init(&trainer->lane[l], &trainer->schedule, first + l, error) != TESS_OK)
            break;
        most = trainer->lane[l].loaded.n > most ? trainer->lane[l].loaded.n : most;
    }
    if (error->code == TESS_OK)
        tess_lanes_reserve(&trainer->lanes, trainer->n_parameters, trainer->n_threads, error);
    trainer->workspace = TESS_NEW(struct tess_workspace, trainer->n_threads);
    trainer->marks = TESS_NEW(struct tess_marks, trainer->n_threads);
    for (int i = 0; i < trainer->n_threads; i++) {
        tess_workspace_init(&trainer->workspace[i], trainer->shape);
        tess_marks_init(&trainer->marks[i], &trainer->dataset, most);
    }
    return error->code;
}

/* Cut by the number of experiments, not by values: rank 0 adds up scores in the order of
 * experiments, so the cut changes no bit. */
void tess_trainer_validation(const struct tess_trainer *trainer, int64_t *first, int64_t *end)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t n = 0, seen = 0;

    *first = *end = index->n_experiments;
    for (int64_t e = 0; e < index->n_experiments; e++)
        n += index->split[e] == TESS_VAL;
    for (int64_t e = 0; e < index->n_experiments; e++) {
        if (seen == trainer->rank * n / trainer->n_ranks && *first == index->n_experiments)
            *first = e;
        if (seen == (trainer->rank + 1) * n / trainer->n_ranks && *end == index->n_experiments)
            *end = e;
        seen += index->split[e] == TESS_VAL;
    }
}

/* Who sends which rows of perturbations at each validation: told once, each row once. Collective.
 */
static void route_validation(struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_composition *composition = &trainer->dataset.composition[TESS_TABLE_P];
    int64_t *entry = TESS_NEW(int64_t, composition->n_rows), n = 0;
    struct tess_request request = {0};
    struct tess_mix mix = {.n = 0};

    memset(entry, -1, (size_t)composition->n_rows * sizeof *entry);
    for (int64_t i = 0; i < trainer->validation.n; i++) {
        int64_t q = index->combination[trainer->validation.experiment[i]];
        int64_t first = index->combination_first[q];

        tess_mix_clear(&mix);
        tess_mix_add(&mix, composition, &trainer->encoder, index->combination_first[q + 1] - first,
                     index->combination_member + first);
        for (int64_t k = 0; k < mix.first[1]; k++) {
            int64_t row = mix.row[k];

            if (entry[row] >= 0)
                continue;
            entry[row] = n++;
            tess_request_add(&request, row, tess_shard_owner(&trainer->shard[TESS_TABLE_P], row));
        }
    }
    tess_mix_release(&mix);
    trainer->validation_entry = entry;
    tess_routes_init(&trainer->validation_routes, trainer->comm, 1, &request);
    tess_request_release(&request);
}

/* All numbers of a pulse lie behind each other, so that one MPI_Allreduce takes them all. */
static void init_pulse(struct tess_trainer *trainer)
{
    int lanes = trainer->lanes.n;

    trainer->pulse.lane_loss = TESS_NEW(double, 2 * lanes + TESS_PULSE_EXTRA);
    trainer->pulse.lane_measured = trainer->pulse.lane_loss + lanes;
    trainer->pulse.trouble = trainer->pulse.lane_measured + lanes;
    trainer->pulse.stop = trainer->pulse.trouble + 1;
    trainer->pulse.save = trainer->pulse.stop + 1;
}

/* Settings that are right one by one and wrong together. */
static int check_settings(const struct tess_config *config, struct tess_error *error)
{
    if (config->data.store[0] == '\0')
        return tess_error_set(error, TESS_ECONFIG,
                              "data.store is not set: give it in the configuration or with "
                              "--set data.store=FILE");
    if (config->train.batch > 0 && config->train.batch < config->train.lanes)
        return tess_error_set(error, TESS_ECONFIG,
                              "train.batch: %lld observations for %lld lanes: some lanes would "
                              "never get any; raise train.batch or lower train.lanes",
                              (long long)config->train.batch, (long long)config->train.lanes);
    if (config->train.learning_rate * config->train.weight_decay >= 1)
        return tess_error_set(error, TESS_ECONFIG,
                              "train.learning_rate x train.weight_decay is %g: a step would decay "
                              "parameters to nothing or beyond; it must be below 1",
                              config->train.learning_rate * config->train.weight_decay);
    if (tess_rates_check(config, error) != TESS_OK)
        return error->code;
    if (config->train.schedule == TESS_SCHEDULE_EXPONENTIAL && config->train.decay <= 0)
        return tess_error_set(error, TESS_ECONFIG,
                              "train.decay is 0 and train.schedule exponential: learning would end "
                              "with the first epoch; set train.decay, to 0.97 for instance");
    return TESS_OK;
}

static void begin(struct tess_trainer *trainer, const struct tess_config *config, MPI_Comm comm)
{
    *trainer = (struct tess_trainer){.comm = comm,
                                     .config = *config,
                                     .window_first = -1,
                                     .next_first = -1,
                                     .libraries = tess_platform_memory(0)};
    tess_encoder_init(&trainer->encoder, config);
    trainer->store.h5 = (struct tess_h5)TESS_H5_INIT;
    trainer->progress.best_score = NAN;
    MPI_Comm_rank(comm, &trainer->rank);
    MPI_Comm_size(comm, &trainer->n_ranks);
    tess_platform_threads(config->train.threads);
    trainer->n_threads = omp_get_max_threads();
}

/* model.kind: auto. With few experiments of several readouts the factorised model was the better
 * one; with a single readout it is nearly as good, and where there is much to learn from the much
 * cheaper one (docs/accuracy.md). */
static void choose_kind(struct tess_trainer *trainer)
{
    int one = trainer->dataset.readout.n == 1;
    int small = one ? tess_schedule_is_small(&trainer->dataset)
                    : trainer->dataset.n_training < FEW_EXPERIMENTS;

    if (trainer->config.model.kind != TESS_KIND_AUTO)
        return;
    trainer->config.model.kind = one != small ? TESS_KIND_DOT : TESS_KIND_MLP;
    tess_info("model.kind: %s is chosen, as there are %s", one != small ? "dot" : "mlp",
              one && small ? "a single readout and few observations"
              : one        ? "a single readout and many observations"
              : small      ? "few training experiments"
                           : "several readouts and enough training experiments");
}

/* model.combination: auto. Without single perturbations neither rule is the better one
 * (docs/reach.md). */
static void choose_combination(struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    int64_t *rule = &trainer->config.model.combination, e = 0;

    for (; *rule == TESS_COMBINE_AUTO && e < index->n_experiments; e++) {
        const int64_t *first = index->combination_first + index->combination[e];

        if (index->split[e] == TESS_TRAIN && first[1] - first[0] == 1 &&
            !tess_index_is_control(index, index->combination[e]))
            *rule = TESS_COMBINE_SUM;
    }
    if (*rule == TESS_COMBINE_AUTO)
        *rule = TESS_COMBINE_MEAN;
    trainer->encoder.rule = (int)*rule;
}

/* train.precision: auto. A checkpoint that is gone on from may say otherwise (trainer_resume.c). */
static void choose_precision(struct tess_trainer *trainer)
{
    int64_t *precision = &trainer->config.train.precision;
    int many = trainer->config.model.kind == TESS_KIND_MLP && trainer->shape.layers > 1;

    trainer->precision_asked = *precision;
    if (*precision != TESS_PRECISION_AUTO)
        return;
    *precision = tess_precision_is_low(*precision) && many ? TESS_PRECISION_BFLOAT16
                                                           : TESS_PRECISION_FLOAT32;
    tess_info("train.precision: %s is chosen, as %s", tess_precision_name((int)*precision),
              !many ? "few products or none are those of hidden layers"
              : *precision == TESS_PRECISION_BFLOAT16
                  ? "the processor has a unit for bfloat16"
                  : "the processor has no unit for bfloat16 that pays");
}

/* train.sampling: auto. In small steps of single observations an mlp learns more than in tiles of
 * as many, and they cost no more (docs/accuracy.md). */
static void choose_sampling(struct tess_trainer *trainer)
{
    const struct tess_config *config = &trainer->config;
    int single = config->model.kind == TESS_KIND_MLP && config->train.tile_experiments == 0 &&
                 config->train.tile_readouts == 0 && tess_schedule_is_small(&trainer->dataset);

    if (config->train.sampling == TESS_SAMPLING_AUTO)
        trainer->config.train.sampling = single ? TESS_SAMPLING_OBSERVATIONS : TESS_SAMPLING_TILES;
}

/* With a store that is open. */
static int prepare(struct tess_trainer *trainer, double each, struct tess_feature_cache *features,
                   struct tess_error *error)
{
    if (tess_dataset_init(&trainer->dataset, &trainer->store, &trainer->config, features,
                          trainer->comm, error) != TESS_OK)
        return error->code;
    trainer->dataset.each = each;
    trainer->dataset.n_training = (int64_t)(each * (double)trainer->dataset.n_training);
    choose_kind(trainer);
    choose_combination(trainer);
    trainer->shape = tess_shape_of(&trainer->config, trainer->dataset.readout.n);
    choose_precision(trainer);
    choose_sampling(trainer);
    tess_schedule_init(&trainer->schedule, &trainer->config, &trainer->dataset);
    if (tess_lanes_init(&trainer->lanes, trainer->comm, tess_int(trainer->schedule.lanes), error) ==
        TESS_OK)
        trainer->kept_bytes = tess_kept_decide(trainer);
    return error->code;
}

int tess_trainer_open_part(struct tess_trainer *trainer, const struct tess_config *config,
                           const struct tess_trainer_part *part, MPI_Comm comm,
                           struct tess_error *error)
{
    struct tess_index *index = &trainer->store.index;

    begin(trainer, config, comm);
    if (check_settings(&trainer->config, error) != TESS_OK ||
        tess_store_open(&trainer->store, trainer->config.data.store, trainer->comm, error) !=
            TESS_OK)
        return error->code;
    if (part->context)
        tess_index_keep_context(index, tess_vocab_find(&index->context, part->context));
    return prepare(trainer, 1, part->features, error);
}

int tess_trainer_open(struct tess_trainer *trainer, const struct tess_config *config, MPI_Comm comm,
                      struct tess_error *error)
{
    return tess_trainer_open_part(trainer, config, &(struct tess_trainer_part){NULL, NULL}, comm,
                                  error);
}

/* What is estimated from values is not: there are none. */
int tess_trainer_open_index(struct tess_trainer *trainer, const struct tess_config *config,
                            struct tess_index *index, double each, struct tess_error *error)
{
    begin(trainer, config, MPI_COMM_SELF);
    trainer->store.index = *index;
    *index = (struct tess_index){.n_experiments = 0};
    trainer->store.comm = trainer->comm;
    trainer->config.data.scale = 0;
    trainer->config.data.normalize = TESS_NORMALIZE_NONE;
    trainer->config.data.top_variable = 0;
    return check_settings(&trainer->config, error) == TESS_OK ? prepare(trainer, each, NULL, error)
                                                              : error->code;
}

int tess_trainer_pretend(struct tess_trainer *trainer, int rank, int n_ranks, int n_threads,
                         struct tess_error *error)
{
    int lanes = trainer->lanes.n;

    tess_lanes_release(&trainer->lanes);
    trainer->rank = rank;
    trainer->n_ranks = n_ranks;
    trainer->n_threads = n_threads;
    if (tess_lanes_divide(&trainer->lanes, lanes, rank, n_ranks, error) == TESS_OK)
        trainer->kept_bytes = tess_kept_decide(trainer);
    return error->code;
}

/* Values are read as they are needed from what is verified now, most of it by the statistics:
 * changes of the file since it was opened are noticed. */
static int check_values(struct tess_trainer *trainer, int64_t first, int64_t end,
                        struct tess_error *error)
{
    const int *lane = trainer->lanes.first + trainer->rank;
    const int64_t *from = trainer->schedule.lane_first;

    if (tess_store_verify_some(&trainer->store, from[lane[0]], from[lane[1]], TESS_TRAIN, error) ==
        TESS_OK)
        tess_store_verify_some(&trainer->store, first, end, TESS_VAL, error);
    return error->code;
}

/* Lanes and validation. */
static int load(struct tess_trainer *trainer, struct tess_error *error)
{
    struct tess_wanted mine = {0, 0, TESS_VAL, 0};
    double started = tess_clock(), seconds, values = 0;
    int streams = trainer->config.data.streaming != 0;

    tess_trainer_validation(trainer, &mine.first, &mine.end);
    if (streams)
        trainer->ahead = tess_ahead_open(&trainer->dataset, error);
    if (error->code != TESS_OK || load_lanes(trainer, error) != TESS_OK)
        return error->code;
    if (streams) {
        tess_dataset_list(&trainer->dataset, mine, &trainer->validation);
        return check_values(trainer, mine.first, mine.end, error);
    }
    if (tess_dataset_load(&trainer->dataset, mine, &trainer->validation, error) != TESS_OK)
        return error->code;
    for (int l = 0; l < trainer->n_local; l++)
        values += (double)trainer->lane[l].loaded.value_first[trainer->lane[l].loaded.n];
    values += (double)trainer->validation.value_first[trainer->validation.n];
    seconds = tess_clock() - started;
    tess_debug("rank 0 loaded %.1f MB of values in %.2f s: %.0f MB/s", 4e-6 * values, seconds,
               4e-6 * values / fmax(seconds, 1e-9));
    return TESS_OK;
}

int tess_trainer_load(struct tess_trainer *trainer, struct tess_error *error)
{
    tess_store_share_verified(&trainer->store);
    if (init_parameters(trainer, error) == TESS_OK)
        load(trainer, error);
    init_pulse(trainer);
    if (tess_agree(trainer->comm, error) == TESS_OK)
        route_validation(trainer);
    return error->code;
}

int tess_trainer_init(struct tess_trainer *trainer, const struct tess_config *config, MPI_Comm comm,
                      struct tess_error *error)
{
    return tess_trainer_open(trainer, config, comm, error) == TESS_OK
               ? tess_trainer_load(trainer, error)
               : error->code;
}

/* What was never made is NULL or 0: also after an open or load that failed half-way, and twice. */
void tess_trainer_rest(struct tess_trainer *trainer)
{
    tess_trainer_forget_window(trainer); /* what is on its way borrows of lanes and work */
    for (int l = 0; l < trainer->n_local && trainer->lane; l++) {
        tess_lane_release(&trainer->lane[l]);
        tess_free(trainer->buffer[l].block);
    }
    for (int i = 0; trainer->work && i < TESS_WINDOW * trainer->n_local; i++)
        tess_work_release(&trainer->work[i]);
    for (int i = 0; trainer->next_work && i < TESS_WINDOW * trainer->n_local; i++)
        tess_work_release(&trainer->next_work[i]);
    for (int i = 0; trainer->workspace && i < trainer->n_threads; i++) {
        tess_workspace_release(&trainer->workspace[i]);
        tess_marks_release(&trainer->marks[i]);
    }
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_shard_release(&trainer->shard[t]);
    tess_packed_release(trainer->packed);
    trainer->packed = NULL;
    trainer->mlp.packed = NULL;
    for (int s = 0; trainer->request && s < TESS_WINDOW; s++)
        tess_request_release(&trainer->request[s]);
    tess_routes_release(&trainer->routes);
    tess_lanes_release(&trainer->lanes);
    void **block[] = {(void **)&trainer->lane,
                      (void **)&trainer->buffer,
                      (void **)&trainer->work,
                      (void **)&trainer->next_work,
                      (void **)&trainer->workspace,
                      (void **)&trainer->marks,
                      (void **)&trainer->request,
                      (void **)&trainer->parameter,
                      (void **)&trainer->m,
                      (void **)&trainer->v,
                      (void **)&trainer->serve,
                      (void **)&trainer->want,
                      (void **)&trainer->slice_gradient};
    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++) {
        tess_free(*block[i]);
        *block[i] = NULL;
    }
    trainer->n_local = 0;
}

void tess_trainer_release(struct tess_trainer *trainer)
{
    tess_trainer_rest(trainer);
    tess_routes_release(&trainer->validation_routes);
    tess_loaded_release(&trainer->validation);
    tess_ahead_release(trainer->ahead);
    tess_optimizer_release(&trainer->optimizer);
    tess_schedule_release(&trainer->schedule);
    tess_dataset_release(&trainer->dataset);
    tess_store_release(&trainer->store);
    tess_free(trainer->slice);
    tess_free(trainer->pulse.lane_loss);
    tess_free(trainer->validation_entry);
    *trainer = (struct tess_trainer){.rank = 0};
}

void tess_trainer_begin_epoch(struct tess_trainer *trainer, int64_t epoch)
{
    int64_t longest = 0;

    if (trainer->ahead)
        tess_ahead_drop(trainer->ahead); /* what is on its way borrows of the orders */
#pragma omp parallel for schedule(dynamic) reduction(max : longest)
    for (int l = 0; l < trainer->n_local; l++) {
        tess_lane_shuffle(&trainer->lane[l], &trainer->schedule, epoch);
        longest = trainer->lane[l].n_steps > longest ? trainer->lane[l].n_steps : longest;
    }
    MPI_Allreduce(MPI_IN_PLACE, &longest, 1, MPI_INT64_T, MPI_MAX, trainer->comm);
    /* Steps are collective: a lane that has run out takes part with no work. */
    trainer->steps_per_epoch = longest;
    trainer->window_first = trainer->next_first = -1;
    trainer->window_n = 0;
}
