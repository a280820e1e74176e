/* schedule.c -- lanes, their order, and the work of a step. */
#include "tessera/schedule.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <math.h>
#include <string.h>

/* Experiments order[first .. first + E) against T shuffled readouts from `column` on. */
struct tess_cut {
    int64_t first;
    int32_t E, T, column;
    int64_t readouts; /* where its group's shuffled columns begin */
};

/* Small screens need steps to learn, large ones wide batches to be fast: docs/accuracy.md. */
#define EPOCH_STEPS    256
#define SMALLEST_BATCH 512
#define LARGEST_BATCH  16384

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
    while (batch < LARGEST_BATCH && 2 * batch * EPOCH_STEPS <= places)
        batch *= 2;
    return batch > config->train.lanes ? batch : config->train.lanes;
}

void tess_schedule_init(struct tess_schedule *schedule, const struct tess_config *config,
                        const struct tess_dataset *dataset)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t lanes = config->train.lanes, total = 0, sum = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        total += index->split[e] == TESS_TRAIN ? index->n_observed[e] : 0;
    *schedule = (struct tess_schedule){.config = config,
                                       .dataset = dataset,
                                       .batch = config->train.batch ? config->train.batch
                                                                    : choose_batch(config, dataset),
                                       .lane_first = TESS_NEW(int64_t, lanes + 1)};
    for (int64_t e = 0, lane = 1; e < index->n_experiments; e++) {
        sum += index->split[e] == TESS_TRAIN ? index->n_observed[e] : 0;
        /* the first cut at or past each lane's exact share */
        while (lane < lanes && (double)sum >= (double)total * (double)lane / (double)lanes)
            schedule->lane_first[lane++] = e + 1;
    }
    schedule->lane_first[lanes] = index->n_experiments;
}

void tess_schedule_release(struct tess_schedule *schedule)
{
    tess_free(schedule->lane_first);
    *schedule = (struct tess_schedule){0};
}

/* Places of single values are kept in 32 bits, which halves the memory of an epoch's order. */
int tess_lane_init(struct tess_lane *lane, const struct tess_schedule *schedule, int number,
                   struct tess_error *error)
{
    const int64_t *first = schedule->lane_first + number;

    *lane = (struct tess_lane){
        .number = number, .epoch = -1, .share = tess_schedule_share(schedule, number)};
    if (tess_dataset_load(schedule->dataset,
                          (struct tess_wanted){first[0], first[1], TESS_TRAIN, 1}, &lane->loaded,
                          error) != TESS_OK)
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

void tess_lane_release(struct tess_lane *lane)
{
    tess_loaded_release(&lane->loaded);
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

/* Fisher-Yates; swap i takes random number i, here and below, so that an order is a function of the
 * stream alone. */
static void shuffle_picks(struct tess_lane *lane, struct tess_random stream)
{
    int64_t n_values = lane->loaded.value_first[lane->loaded.n];

    if (!lane->pick)
        lane->pick = TESS_NEW(uint32_t, n_values);
    lane->n_picks = 0;
    for (int64_t i = 0; i < n_values; i++)
        if (!isnan(lane->loaded.value[i]))
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
    int64_t lanes = schedule->config->train.lanes, batch = schedule->batch;
    int64_t l = lane;

    return (l + 1) * batch / lanes - l * batch / lanes;
}

/* Largest tile of a panel: T readouts, and as many experiments as make up the lane's share. */
static void tile_shape(const struct tess_schedule *schedule, int64_t share, int64_t width,
                       int64_t *E, int64_t *T)
{
    share = share > 0 ? share : 1;
    *T = schedule->config->train.tile_readouts ? schedule->config->train.tile_readouts : 32;
    *T = *T < width ? *T : width;
    *T = *T < share ? *T : share;
    *E = schedule->config->train.tile_experiments ? schedule->config->train.tile_experiments
                                                  : share / *T;
    *E = *E > 0 ? *E : 1;
}

/* Goes through the experiments as shuffle_tiles and cut_panel do, which take memory by it: a run of
 * experiments of one panel gives a group for every E of them, and each group ceil(width / T) tiles.
 */
void tess_schedule_sizes(const struct tess_schedule *schedule, int lane,
                         struct tess_lane_sizes *sizes)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t share = tess_schedule_share(schedule, lane), run = 0, panel = -1;
    int tiles = schedule->config->train.sampling == TESS_SAMPLING_TILES;

    *sizes = (struct tess_lane_sizes){.left = tiles ? 0 : share, .right = tiles ? 0 : share};
    for (int64_t e = schedule->lane_first[lane]; e < schedule->lane_first[lane + 1]; e++) {
        int64_t width = tess_dataset_width(schedule->dataset, index->panel[e]), E, T, at_once;

        if (index->split[e] != TESS_TRAIN)
            continue;
        sizes->experiments++;
        sizes->values += width;
        run = index->panel[e] == panel ? run + 1 : 1;
        panel = index->panel[e];
        if (width == 0 || !tiles)
            continue;
        tile_shape(schedule, share, width, &E, &T);
        if (run % E == 1 || E == 1) {
            sizes->tiles += (width + T - 1) / T;
            sizes->readouts += width;
        }
        at_once = (share + E * T - 1) / (E * T);
        sizes->left = at_once * E > sizes->left ? at_once * E : sizes->left;
        sizes->right = at_once * T > sizes->right ? at_once * T : sizes->right;
    }
    if (sizes->left > sizes->experiments)
        sizes->left = sizes->experiments;
    if (sizes->right > schedule->dataset->readout.n)
        sizes->right = schedule->dataset->readout.n;
    sizes->order_bytes = tiles ? 8 * sizes->experiments + 4 * sizes->readouts +
                                     (int64_t)(sizeof(struct tess_cut) + 8) * sizes->tiles
                               : 4 * sizes->values;
}

/* The columns of the panel in an order that all tiles of a group of experiments share. */
static void shuffle_columns(struct tess_lane *lane, const struct tess_schedule *schedule,
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
}

/* Tiles over experiments order[first .. end), which share one panel: alike in size, so that lanes
 * have alike much to do. */
static void cut_panel(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t first,
                      int64_t end, struct tess_random stream)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t width, E, T;

    width = tess_dataset_width(schedule->dataset,
                               index->panel[lane->loaded.experiment[lane->order[first]]]);
    if (width == 0)
        return;
    tile_shape(schedule, lane->share, width, &E, &T);
    for (int64_t i = end - first - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)(first + i), i + 1);
        int64_t x = lane->order[first + i];

        lane->order[first + i] = lane->order[first + j];
        lane->order[first + j] = x;
    }
    for (int64_t i = 0, rows = end - first, I = (rows + E - 1) / E; i < I; i++) {
        int64_t e = rows * i / I;

        shuffle_columns(lane, schedule, width, tess_int(first + e));
        for (int64_t k = 0, K = (width + T - 1) / T; k < K; k++) {
            int64_t column = width * k / K;

            lane->tile[lane->n_tiles++] = (struct tess_cut){
                first + e, (int32_t)(rows * (i + 1) / I - e),
                (int32_t)(width * (k + 1) / K - column), (int32_t)column, lane->n_readouts};
        }
        lane->n_readouts += width;
    }
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

void tess_marks_init(struct tess_marks *marks, const struct tess_dataset *dataset,
                     int64_t n_experiments)
{
    const struct tess_index *index = &dataset->store->index;
    int32_t **array[] = {&marks->experiment, &marks->combination, &marks->component,
                         &marks->readout, &marks->context};
    int64_t n[] = {n_experiments, index->n_combinations, index->perturbation.n, dataset->readout.n,
                   index->context.n};

    for (int i = 0; i < 5; i++) {
        *array[i] = TESS_NEW(int32_t, n[i]);
        memset(*array[i], -1, (size_t)n[i] * sizeof **array[i]);
    }
}

void tess_marks_release(struct tess_marks *marks)
{
    tess_free(marks->experiment);
    tess_free(marks->combination);
    tess_free(marks->component);
    tess_free(marks->readout);
    tess_free(marks->context);
    *marks = (struct tess_marks){0};
}

void tess_work_release(struct tess_work *work)
{
    tess_free(work->u);
    tess_free(work->v);
    tess_free(work->y);
    tess_free(work->u_p);
    tess_free(work->u_c);
    tess_free(work->experiment);
    tess_free(work->member_first);
    tess_free(work->member);
    tess_free(work->combination);
    tess_free(work->component);
    tess_free(work->readout);
    tess_free(work->context);
    *work = (struct tess_work){0};
}

/* Room for one more in arrays that grow together. */
static int32_t more(int32_t n, int32_t room)
{
    return n < room ? room : 2 * room + 64;
}

/* The place of a number in a list without repeats: mark[number], or a new one at its end. */
static int32_t row_of(int32_t *mark, int64_t number, int32_t *n, int32_t *room, int64_t **list)
{
    if (mark[number] >= 0)
        return mark[number];
    if (*n == *room) {
        int32_t now = more(*n, *room);

        *list = tess_realloc(*list, (size_t)*n, (size_t)now, sizeof **list);
        *room = now;
    }
    (*list)[*n] = number;
    return mark[number] = (*n)++;
}

/* The row of a combination at this step; its components get rows of their own, and it lists them.
 */
static int32_t combination_row(struct tess_work *work, struct tess_marks *marks,
                               const struct tess_index *index, int64_t q)
{
    int64_t first = index->combination_first[q], n = index->combination_first[q + 1] - first;
    int32_t at = work->n_p, room = work->room_p;
    int64_t used;

    if (marks->combination[q] >= 0)
        return marks->combination[q];
    row_of(marks->combination, q, &work->n_p, &work->room_p, &work->combination);
    if (work->room_p != room)
        work->member_first = tess_realloc(work->member_first, (size_t)(room ? room + 1 : 0),
                                          (size_t)work->room_p + 1, sizeof(int64_t));
    used = work->member_first[at];
    if (used + n > work->room_member) {
        int64_t now = 2 * (used + n) + 64;

        work->member = tess_realloc(work->member, (size_t)used, (size_t)now, sizeof(int64_t));
        work->room_member = now;
    }
    for (int64_t k = 0; k < n; k++)
        work->member[used + k] =
            row_of(marks->component, index->combination_member[first + k], &work->n_component,
                   &work->room_component, &work->component);
    work->member_first[at + 1] = used + n;
    return at;
}

/* The left row of an experiment: its combination in its context. Two experiments of one
 * (combination, context) have a row each: marks are by experiment. */
static int32_t left_row(struct tess_work *work, struct tess_marks *marks,
                        const struct tess_index *index, const struct tess_lane *lane, int64_t i)
{
    int64_t e = lane->loaded.experiment[i];
    int32_t room = work->room_u, at;

    if (marks->experiment[i] >= 0)
        return marks->experiment[i];
    at = row_of(marks->experiment, i, &work->n_u, &work->room_u, &work->experiment);
    if (work->room_u != room) {
        work->u_p = tess_realloc(work->u_p, (size_t)room, (size_t)work->room_u, sizeof(int32_t));
        work->u_c = tess_realloc(work->u_c, (size_t)room, (size_t)work->room_u, sizeof(int32_t));
    }
    work->u_p[at] = combination_row(work, marks, index, index->combination[e]);
    work->u_c[at] =
        row_of(marks->context, index->context_of[e], &work->n_c, &work->room_c, &work->context);
    return at;
}

static void reserve(struct tess_work *work, int64_t n)
{
    if (n <= work->room)
        return;
    work->u = tess_realloc(work->u, (size_t)work->n, (size_t)n, sizeof *work->u);
    work->v = tess_realloc(work->v, (size_t)work->n, (size_t)n, sizeof *work->v);
    work->y = tess_realloc(work->y, (size_t)work->n, (size_t)n, sizeof *work->y);
    work->room = n;
}

static void observe(struct tess_work *work, int32_t u, int32_t v, float y)
{
    work->u[work->n] = u;
    work->v[work->n] = v;
    work->y[work->n++] = y;
}

/* Missing values (NaN) are taken along: they have their places in the tile, and no loss. */
static void work_tile(struct tess_work *work, struct tess_marks *marks,
                      const struct tess_lane *lane, const struct tess_schedule *schedule,
                      const struct tess_cut *cut)
{
    const struct tess_dataset *dataset = schedule->dataset;
    const struct tess_index *index = &dataset->store->index;
    int64_t panel = index->panel[lane->loaded.experiment[lane->order[cut->first]]];
    const int32_t *column = lane->readouts + cut->readouts + cut->column;
    int32_t *v = TESS_NEW(int32_t, cut->T);

    reserve(work, work->n + (int64_t)cut->E * cut->T);
    for (int t = 0; t < cut->T; t++)
        v[t] =
            row_of(marks->readout, dataset->panel_readout[dataset->panel_first[panel] + column[t]],
                   &work->n_r, &work->room_r, &work->readout);
    for (int64_t k = cut->first; k < cut->first + cut->E; k++) {
        int64_t i = lane->order[k];
        const float *row = lane->loaded.value + lane->loaded.value_first[i];
        int32_t u = left_row(work, marks, index, lane, i);

        for (int t = 0; t < cut->T; t++)
            observe(work, u, v[t], row[column[t]]);
    }
    tess_free(v);
}

/* The last experiment that begins at or before a place: those without values begin there, too. */
static int64_t experiment_of(const struct tess_loaded *loaded, int64_t place)
{
    int64_t low = 0, high = loaded->n - 1;

    while (low < high) {
        int64_t middle = (low + high + 1) / 2;

        if (loaded->value_first[middle] <= place)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void work_picks(struct tess_work *work, struct tess_marks *marks,
                       const struct tess_lane *lane, const struct tess_schedule *schedule,
                       int64_t step)
{
    const struct tess_dataset *dataset = schedule->dataset;
    const struct tess_index *index = &dataset->store->index;
    int64_t first = step * lane->share, end = first + lane->share;

    end = end < lane->n_picks ? end : lane->n_picks;
    reserve(work, end - first);
    for (int64_t k = first; k < end; k++) {
        int64_t place = lane->pick[k], i = experiment_of(&lane->loaded, place);
        int64_t panel = index->panel[lane->loaded.experiment[i]];
        int64_t column = dataset->panel_first[panel] + place - lane->loaded.value_first[i];
        int32_t u = left_row(work, marks, index, lane, i);
        int32_t v = row_of(marks->readout, dataset->panel_readout[column], &work->n_r,
                           &work->room_r, &work->readout);

        observe(work, u, v, lane->loaded.value[place]);
    }
}

/* Marks are set back one by one: clearing whole arrays would cost more than a step. */
static void forget(struct tess_marks *marks, const struct tess_work *work)
{
    for (int32_t i = 0; i < work->n_u; i++)
        marks->experiment[work->experiment[i]] = -1;
    for (int32_t i = 0; i < work->n_p; i++)
        marks->combination[work->combination[i]] = -1;
    for (int32_t i = 0; i < work->n_component; i++)
        marks->component[work->component[i]] = -1;
    for (int32_t i = 0; i < work->n_r; i++)
        marks->readout[work->readout[i]] = -1;
    for (int32_t i = 0; i < work->n_c; i++)
        marks->context[work->context[i]] = -1;
}

void tess_lane_work(const struct tess_lane *lane, const struct tess_schedule *schedule,
                    int64_t step, struct tess_marks *marks, struct tess_work *work)
{
    work->n = 0;
    work->n_u = work->n_p = work->n_component = work->n_r = work->n_c = 0;
    if (step >= lane->n_steps)
        return;
    if (schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS)
        work_picks(work, marks, lane, schedule, step);
    else
        for (int64_t i = lane->step_first[step]; i < lane->step_first[step + 1]; i++)
            work_tile(work, marks, lane, schedule, &lane->tile[i]);
    forget(marks, work);
}
