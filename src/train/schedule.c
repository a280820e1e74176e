/* schedule.c -- lanes, their order, and the work of a step. */
#include "tessera/schedule.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <math.h>
#include <string.h>

/* Small screens need steps to learn, large ones wide batches to be fast: docs/accuracy.md. */
#define EPOCH_STEPS    256
#define SMALLEST_BATCH 256
#define LARGEST_BATCH  16384

/* Lanes of factorised models: values are so cheap that lanes pay with many of them only. */
#define LANES      16
#define LANE_BATCH 16384
#define FEW_LANES  8
#define MOST_LANES 64

#define TILE_READOUTS 32
#define WIDE_ROWS     8 /* left vectors that a lane has at a step, if its share is large enough */

#define FEW_OBSERVATIONS (1 << 19)

#define NOTED_VALUES ((int64_t)1 << 20) /* that are in memory at once */

static int is_wide(const struct tess_config *config)
{
    return config->model.kind != TESS_KIND_MLP;
}

/* By data and settings alone, not by ranks or threads: the batch is part of what is computed. */
static int64_t choose_batch(const struct tess_config *config, const struct tess_dataset *dataset)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t batch = SMALLEST_BATCH, places = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == TESS_TRAIN) /* tiles have places for missing values */
            places += config->train.sampling == TESS_SAMPLING_TILES
                          ? tess_dataset_width(dataset, index->panel[e])
                          : tess_dataset_observations(dataset, e);
    places = (int64_t)((double)places * dataset->each);
    while (batch < LARGEST_BATCH && 2 * batch * EPOCH_STEPS <= places)
        batch *= 2;
    return batch > config->train.lanes ? batch : config->train.lanes;
}

int tess_schedule_is_small(const struct tess_dataset *dataset)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t observations = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == TESS_TRAIN)
            observations += tess_dataset_observations(dataset, e);
    return (double)observations * dataset->each <= FEW_OBSERVATIONS;
}

static int64_t choose_lanes(const struct tess_config *config, int64_t batch)
{
    int64_t lanes = LANES;

    if (is_wide(config)) {
        lanes = batch / LANE_BATCH > FEW_LANES ? batch / LANE_BATCH : FEW_LANES;
        lanes = lanes < MOST_LANES ? lanes : MOST_LANES;
    }
    return lanes < batch ? lanes : batch;
}

void tess_schedule_init(struct tess_schedule *schedule, const struct tess_config *config,
                        const struct tess_dataset *dataset)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t batch = config->train.batch ? config->train.batch : choose_batch(config, dataset);
    int64_t lanes = config->train.lanes ? config->train.lanes : choose_lanes(config, batch);
    int64_t total = 0, sum = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        total += index->split[e] == TESS_TRAIN ? index->n_observed[e] : 0;
    *schedule = (struct tess_schedule){.config = config,
                                       .dataset = dataset,
                                       .batch = batch,
                                       .lanes = lanes,
                                       .lane_first = TESS_NEW(int64_t, lanes + 1)};
    for (int64_t e = 0, lane = 1; e < index->n_experiments; e++) {
        sum += index->split[e] == TESS_TRAIN ? index->n_observed[e] : 0;
        /* the first cut at or past each lane's exact share */
        while (lane < lanes && (double)sum >= (double)total * (double)lane / (double)lanes)
            schedule->lane_first[lane++] = e + 1;
    }
    schedule->lane_first[lanes] = index->n_experiments;
    tess_encoder_init(&schedule->encoder, config);
}

void tess_schedule_release(struct tess_schedule *schedule)
{
    tess_free(schedule->lane_first);
    *schedule = (struct tess_schedule){0};
}

/* Marks those of `some` values that are missing; the first one is the lane's value number `at`. */
static void mark_missing(struct tess_lane *lane, int64_t at, const struct tess_loaded *some)
{
    for (int64_t i = 0; i < some->value_first[some->n]; i++)
        if (isnan(some->value[i]))
            lane->missing[(at + i) / 8] |= (uint8_t)(1 << (at + i) % 8);
}

/* Which values are missing, some experiments at a time: what is drawn one by one must be there. */
static int note_missing(struct tess_lane *lane, const struct tess_schedule *schedule,
                        struct tess_wanted wanted, struct tess_error *error)
{
    const int64_t *first = schedule->dataset->store->index.value_first;
    int64_t last = wanted.end, at = 0;

    lane->missing = tess_alloc_large((size_t)(lane->loaded.value_first[lane->loaded.n] + 7) / 8, 1,
                                     "missing values", error);
    for (int64_t e = wanted.first; e < last && error->code == TESS_OK; e = wanted.end) {
        struct tess_loaded some;

        wanted.first = e;
        for (wanted.end = e + 1; wanted.end < last; wanted.end++)
            if (first[wanted.end + 1] - first[e] > NOTED_VALUES)
                break;
        if (tess_dataset_load(schedule->dataset, wanted, &some, error) == TESS_OK)
            mark_missing(lane, at, &some);
        at += some.value_first[some.n];
        tess_loaded_release(&some);
    }
    return error->code;
}

/* Are some values of its experiments missing? */
static int misses(const struct tess_lane *lane, const struct tess_index *index)
{
    for (int64_t i = 0; i < lane->loaded.n; i++) {
        int64_t e = lane->loaded.experiment[i];

        if (index->n_observed[e] < index->value_first[e + 1] - index->value_first[e])
            return 1;
    }
    return 0;
}

static int load(struct tess_lane *lane, const struct tess_schedule *schedule,
                struct tess_wanted wanted, struct tess_error *error)
{
    const struct tess_config *config = schedule->config;

    if (!config->data.streaming)
        return tess_dataset_load(schedule->dataset, wanted, &lane->loaded, error);
    tess_dataset_list(schedule->dataset, wanted, &lane->loaded);
    if (config->train.sampling == TESS_SAMPLING_OBSERVATIONS &&
        misses(lane, &schedule->dataset->store->index))
        note_missing(lane, schedule, wanted, error);
    return error->code;
}

/* Places of single values are kept in 32 bits, which halves the memory of an epoch's order. */
int tess_lane_init(struct tess_lane *lane, const struct tess_schedule *schedule, int number,
                   struct tess_error *error)
{
    const int64_t *first = schedule->lane_first + number;

    *lane = (struct tess_lane){
        .number = number, .epoch = -1, .share = tess_schedule_share(schedule, number)};
    if (load(lane, schedule, (struct tess_wanted){first[0], first[1], TESS_TRAIN, 1}, error) !=
        TESS_OK)
        return error->code;
    if (schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS &&
        lane->loaded.value_first[lane->loaded.n] > UINT32_MAX)
        tess_error_set(
            error, TESS_ECONFIG,
            "lane %d holds %lld values, more than single observations can be drawn from: "
            "raise train.lanes, or use train.sampling: tiles",
            number, (long long)lane->loaded.value_first[lane->loaded.n]);
    return error->code;
}

/* What is drawn one by one must be known to be measured. */
int tess_lane_lay_out(struct tess_lane *lane, const struct tess_schedule *schedule, int number,
                      struct tess_error *error)
{
    const int64_t *first = schedule->lane_first + number;

    if (schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS &&
        schedule->dataset->store->block) /* there are values */
        return tess_lane_init(lane, schedule, number, error);
    *lane = (struct tess_lane){
        .number = number, .epoch = -1, .share = tess_schedule_share(schedule, number)};
    tess_dataset_list(schedule->dataset, (struct tess_wanted){first[0], first[1], TESS_TRAIN, 1},
                      &lane->loaded);
    return error->code;
}

void tess_lane_release(struct tess_lane *lane)
{
    tess_loaded_release(&lane->loaded);
    tess_free(lane->missing);
    tess_free(lane->order);
    tess_free(lane->tile);
    tess_free(lane->readouts);
    tess_free(lane->pick);
    tess_free(lane->step_first);
    *lane = (struct tess_lane){0};
}

/* A stream's number packs what must differ: epoch, lane (below 2^28), and the use (below 16). */
static struct tess_random stream_of(const struct tess_schedule *schedule,
                                    const struct tess_lane *lane, int64_t epoch, int what)
{
    return tess_random_stream((uint64_t)schedule->config->run.seed, TESS_RANDOM_SCHEDULE,
                              (uint64_t)epoch << 32 | (uint64_t)lane->number << 4 | (uint64_t)what);
}

enum { SHUFFLE_PICKS, SHUFFLE_EXPERIMENTS, SHUFFLE_READOUTS, SHUFFLE_TILES };

static int is_measured(const struct tess_lane *lane, int64_t i)
{
    if (lane->loaded.value)
        return !isnan(lane->loaded.value[i]);
    return !lane->missing || !(lane->missing[i / 8] >> i % 8 & 1);
}

/* Fisher-Yates; swap i takes random number i, here and below, so that an order is a function of the
 * stream alone. */
static void shuffle_picks(struct tess_lane *lane, struct tess_random stream)
{
    int64_t n_values = lane->loaded.value_first[lane->loaded.n];

    if (!lane->pick)
        lane->pick = TESS_NEW(uint32_t, n_values);
    lane->n_picks = 0;
    for (int64_t i = 0; i < n_values; i++)
        if (is_measured(lane, i))
            lane->pick[lane->n_picks++] = (uint32_t)i;
    for (int64_t i = lane->n_picks - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)i, i + 1);
        uint32_t x = lane->pick[i];

        lane->pick[i] = lane->pick[j];
        lane->pick[j] = x;
    }
    lane->n_steps = lane->share ? (lane->n_picks + lane->share - 1) / lane->share : 0;
}

/* Shares differ by one at most and add up to the batch exactly. */
int64_t tess_schedule_share(const struct tess_schedule *schedule, int lane)
{
    int64_t lanes = schedule->lanes, batch = schedule->batch;
    int64_t l = lane;

    return (l + 1) * batch / lanes - l * batch / lanes;
}

int tess_schedule_dense(const struct tess_schedule *schedule)
{
    return is_wide(schedule->config) && !tess_schedule_by_perturbation(schedule);
}

int tess_schedule_by_perturbation(const struct tess_schedule *schedule)
{
    return schedule->config->model.kind == TESS_KIND_DOT && schedule->dataset->readout.n == 1;
}

/* Largest tile of a panel: T readouts, and as many experiments as make up the lane's share. The
 * vectors of factorised models cost far more than the products of them, so that tiles are wide:
 * all readouts of an experiment, as long as the share has room for WIDE_ROWS of them. */
static void tile_shape(const struct tess_schedule *schedule, int64_t share, int64_t width,
                       int64_t *E, int64_t *T)
{
    const struct tess_config *config = schedule->config;
    int64_t wide = share / WIDE_ROWS;

    share = share > 0 ? share : 1;
    *T = !is_wide(config) || wide < TILE_READOUTS ? TILE_READOUTS : wide;
    *T = config->train.tile_readouts ? config->train.tile_readouts : *T;
    *T = *T < width ? *T : width;
    *T = *T < share ? *T : share;
    *E = tess_schedule_by_perturbation(schedule) ? wide : share / *T;
    *E = config->train.tile_experiments ? config->train.tile_experiments : *E;
    *E = *E > 0 ? *E : 1;
}

/* A tile of all columns needs no order of them. */
static int in_order(const struct tess_schedule *schedule, int64_t width, int64_t T)
{
    return T == width && is_wide(schedule->config);
}

/* Goes through the experiments as shuffle_tiles and cut_panel do, which take memory by it: a run of
 * experiments of one panel gives a group for every E of them, and each group ceil(width / T) tiles.
 */
void tess_schedule_sizes(const struct tess_schedule *schedule, int lane,
                         struct tess_lane_sizes *sizes)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t share = tess_schedule_share(schedule, lane), run = 0, n_runs = 0, panel = -1;
    int tiles = schedule->config->train.sampling == TESS_SAMPLING_TILES;

    *sizes = (struct tess_lane_sizes){.left = tiles ? 0 : share, .right = tiles ? 0 : share};
    for (int64_t e = schedule->lane_first[lane]; e < schedule->lane_first[lane + 1]; e++) {
        int64_t width = tess_dataset_width(schedule->dataset, index->panel[e]), E, T, at_once;

        if (index->split[e] != TESS_TRAIN)
            continue;
        sizes->experiments++;
        sizes->values += width;
        run = index->panel[e] == panel ? run + 1 : 1;
        n_runs += run == 1;
        panel = index->panel[e];
        if (width == 0 || !tiles)
            continue;
        tile_shape(schedule, share, width, &E, &T);
        if (run % E == 1 || E == 1) {
            sizes->tiles += (width + T - 1) / T;
            sizes->readouts += in_order(schedule, width, T) ? 0 : width;
        }
        at_once = (share + E * T - 1) / (E * T);
        sizes->left = at_once * E > sizes->left ? at_once * E : sizes->left;
        sizes->right = at_once * T > sizes->right ? at_once * T : sizes->right;
    }
    if (tess_schedule_by_perturbation(
            schedule)) { /* a perturbation's last tile in a run may be any size */
        sizes->tiles += n_runs * index->n_combinations;
        sizes->tiles = sizes->tiles < sizes->experiments ? sizes->tiles : sizes->experiments;
    }
    if (sizes->left > sizes->experiments)
        sizes->left = sizes->experiments;
    if (sizes->right > schedule->dataset->readout.n)
        sizes->right = schedule->dataset->readout.n;
    sizes->order_bytes = tiles ? 8 * sizes->experiments + 4 * sizes->readouts +
                                     (int64_t)(sizeof(struct tess_cut) + 8) * sizes->tiles
                               : 4 * sizes->values;
}

/* The columns of the panel in an order that all tiles of a group of experiments share. Returns
 * where they begin. */
static int64_t shuffle_columns(struct tess_lane *lane, const struct tess_schedule *schedule,
                               int64_t width, int32_t group)
{
    struct tess_random stream = stream_of(schedule, lane, lane->epoch, SHUFFLE_READOUTS);
    int32_t *column = lane->readouts + lane->n_readouts;

    for (int64_t k = 0; k < width; k++)
        column[k] = (int32_t)k;
    for (int64_t i = width - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)group << 32 | (uint64_t)i, i + 1);
        int32_t x = column[i];

        column[i] = column[j];
        column[j] = x;
    }
    lane->n_readouts += width;
    return lane->n_readouts - width;
}

/* Tiles over experiments order[first .. end), which share one panel: alike in size, so that lanes
 * have alike much to do. */
static void cut_tiles(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t first,
                      int64_t end)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t width = tess_dataset_width(schedule->dataset,
                                       index->panel[lane->loaded.experiment[lane->order[first]]]);
    int64_t E, T;

    tile_shape(schedule, lane->share, width, &E, &T);
    for (int64_t i = 0, rows = end - first, I = (rows + E - 1) / E; i < I; i++) {
        int64_t e = rows * i / I;
        int64_t readouts = in_order(schedule, width, T)
                               ? -1
                               : shuffle_columns(lane, schedule, width, tess_int(first + e));

        for (int64_t k = 0, K = (width + T - 1) / T; k < K; k++) {
            int64_t column = width * k / K;

            lane->tile[lane->n_tiles++] = (struct tess_cut){
                first + e, (int32_t)(rows * (i + 1) / I - e),
                (int32_t)(width * (k + 1) / K - column), (int32_t)column, readouts};
        }
    }
}

/* Brings experiments order[first .. end) of one combination together: combinations in the order in
 * which each is met first, the experiments of one in the order that they have. Then tiles of each.
 */
static void cut_perturbations(struct tess_lane *lane, const struct tess_schedule *schedule,
                              int64_t first, int64_t end)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t n = end - first, *group = TESS_NEW(int64_t, index->n_combinations), n_groups = 0;
    int64_t *of = TESS_NEW(int64_t, n), *begin = TESS_NEW(int64_t, n + 1);
    int64_t *order = TESS_NEW(int64_t, n);

    for (int64_t i = 0; i < n; i++) { /* groups are numbered from 1; 0: not met yet */
        int64_t q = index->combination[lane->loaded.experiment[lane->order[first + i]]];

        group[q] = group[q] ? group[q] : ++n_groups;
        of[i] = group[q] - 1;
        begin[group[q]]++;
    }
    for (int64_t g = 0; g < n_groups; g++)
        begin[g + 1] += begin[g];
    for (int64_t i = 0; i < n; i++)
        order[begin[of[i]]++] = lane->order[first + i];
    memcpy(lane->order + first, order, (size_t)n * sizeof *order);
    /* begin[g] is now where group g ends. */
    for (int64_t g = 0; g < n_groups; g++)
        cut_tiles(lane, schedule, first + (g ? begin[g - 1] : 0), first + begin[g]);
    tess_free(group);
    tess_free(of);
    tess_free(begin);
    tess_free(order);
}

/* Experiments order[first .. end) of one panel, shuffled, to tiles. */
static void cut_panel(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t first,
                      int64_t end, struct tess_random stream)
{
    const struct tess_index *index = &schedule->dataset->store->index;

    if (tess_dataset_width(schedule->dataset,
                           index->panel[lane->loaded.experiment[lane->order[first]]]) == 0)
        return;
    for (int64_t i = end - first - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)(first + i), i + 1);
        int64_t x = lane->order[first + i];

        lane->order[first + i] = lane->order[first + j];
        lane->order[first + j] = x;
    }
    if (tess_schedule_by_perturbation(schedule))
        cut_perturbations(lane, schedule, first, end);
    else
        cut_tiles(lane, schedule, first, end);
}

/* As many tiles a step as come nearest to the lane's share. */
static void plan_steps(struct tess_lane *lane)
{
    int64_t filled = 0;

    tess_free(lane->step_first);
    lane->step_first = TESS_NEW(int64_t, lane->n_tiles + 1);
    lane->n_steps = 0;
    for (int64_t i = 0; i < lane->n_tiles; i++) {
        int64_t n = (int64_t)lane->tile[i].E * lane->tile[i].T;

        /* Another tile would lead farther past the share than what is there lies below it. */
        if (filled > 0 && filled + n - lane->share > lane->share - filled) {
            lane->step_first[++lane->n_steps] = i;
            filled = 0;
        }
        filled += n;
    }
    if (filled > 0)
        lane->step_first[++lane->n_steps] = lane->n_tiles;
}

/* Always from the same order on: that of an epoch depends on its number alone, so that a resumed
 * training needs none of the orders before. */
static void shuffle_tiles(struct tess_lane *lane, const struct tess_schedule *schedule,
                          int64_t epoch)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    struct tess_random stream = stream_of(schedule, lane, epoch, SHUFFLE_EXPERIMENTS);
    const int64_t *experiment = lane->loaded.experiment;

    if (!lane->order) {
        struct tess_lane_sizes sizes;

        tess_schedule_sizes(schedule, lane->number, &sizes);
        lane->order = TESS_NEW(int64_t, lane->loaded.n);
        lane->tile = TESS_NEW(struct tess_cut, sizes.tiles);
        lane->readouts = TESS_NEW(int32_t, sizes.readouts);
    }
    for (int64_t i = 0; i < lane->loaded.n; i++)
        lane->order[i] = i;
    lane->n_tiles = lane->n_readouts = 0;
    for (int64_t first = 0, end; first < lane->loaded.n; first = end) {
        for (end = first + 1; end < lane->loaded.n; end++)
            if (index->panel[experiment[end]] != index->panel[experiment[first]])
                break;
        cut_panel(lane, schedule, first, end, stream);
    }
    stream = stream_of(schedule, lane, epoch, SHUFFLE_TILES);
    for (int64_t i = lane->n_tiles - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)i, i + 1);
        struct tess_cut x = lane->tile[i];

        lane->tile[i] = lane->tile[j];
        lane->tile[j] = x;
    }
    plan_steps(lane);
}

void tess_lane_shuffle(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t epoch)
{
    lane->epoch = epoch;
    if (lane->share == 0)
        lane->n_steps = 0;
    else if (schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS)
        shuffle_picks(lane, stream_of(schedule, lane, epoch, SHUFFLE_PICKS));
    else
        shuffle_tiles(lane, schedule, epoch);
}
