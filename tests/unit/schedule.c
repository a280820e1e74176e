/* schedule.c -- an epoch takes every training value once, whatever the lanes, the batch and the
 * shape of tiles; each with its own rows; in another order every epoch, and the same order when
 * asked again. */
#include "tessera/schedule.h"

#include "../sample.h"

#include "tessera/error.h"
#include "tessera/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define READOUTS 30
#define N        90 /* experiments: 3 contexts x 2 panels x 15 combinations of 12 components */

static char path[64];
static struct tess_store store;
static int64_t n_values;
static float *value; /* what the store holds */

/* Combinations of one component each, and of three beginning with every third. */
static void fill_index(struct tess_index *index)
{
    static char name[READOUTS][4];
    const char *symbol[READOUTS];
    int64_t n = 0, e = 0;

    *index = (struct tess_index){.n_combinations = 15, .n_panels = 2, .n_experiments = N};
    for (int i = 0; i < READOUTS; i++)
        snprintf(name[i], sizeof name[i], "s%02d", i), symbol[i] = name[i];
    tess_vocab_init(&index->perturbation, 12, symbol, NULL);
    tess_vocab_init(&index->readout, READOUTS, symbol, NULL);
    tess_vocab_init(&index->context, 3, symbol, NULL);
    index->combination_first = TESS_NEW(int64_t, 16);
    index->combination_member = TESS_NEW(int64_t, 60);
    for (int64_t p = 0, q = 0; p < 12 && q < 15; p++)
        for (int64_t m = 1; m <= (p % 3 == 0 ? 3 : 1) && q < 15; m += 2) {
            for (int64_t k = 0; k < m && p + k < 12; k++)
                index->combination_member[n++] = p + k;
            index->combination_first[++q] = n;
        }
    index->panel_first = SAMPLE(0, READOUTS, READOUTS + 4);
    index->panel_readout = TESS_NEW(int64_t, READOUTS + 4);
    for (int64_t k = 0; k < READOUTS; k++)
        index->panel_readout[k] = k;
    for (int64_t k = 0; k < 4; k++)
        index->panel_readout[READOUTS + k] = 1 + 7 * k;
    index->combination = TESS_NEW(int64_t, N);
    index->context_of = TESS_NEW(int64_t, N);
    index->panel = TESS_NEW(int64_t, N);
    index->split = (int8_t *)tess_alloc(N, 1);
    index->n_replicates = TESS_NEW(int64_t, N);
    index->n_observed = TESS_NEW(int64_t, N);
    index->fold_first = TESS_NEW(int64_t, N + 1);
    index->fold_replicates = TESS_NEW(int64_t, 1);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t p = 0; p < 2; p++)
            for (int64_t q = 0; q < 15; q++, e++) {
                index->context_of[e] = c;
                index->panel[e] = p;
                index->combination[e] = q;
                index->n_replicates[e] = 1;
                index->split[e] = (int8_t)(e % 7 == 3 ? TESS_VAL : e % 11 == 5 ? TESS_TEST : 0);
            }
    tess_index_finish(index);
}

static void make_store(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_index index;

    fill_index(&index);
    assert_int_equal(tess_index_check(&index, "made", &error), TESS_OK);
    n_values = index.value_first[N];
    value = TESS_NEW(float, n_values);
    for (int64_t i = 0; i < n_values; i++)
        value[i] = i % 6 == 1 ? NAN : (float)i; /* each value tells its place */
    assert_int_equal(tess_store_create(&store, path, MPI_COMM_SELF, &index, &error), TESS_OK);
    assert_int_equal(tess_store_write_values(&store, 0, N, value, &error), TESS_OK);
    assert_int_equal(tess_store_write_folds(&store, 0, 0, NULL, &error), TESS_OK);
    assert_int_equal(tess_store_finish(&store, &error), TESS_OK);
    tess_store_release(&store);
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_OK);
}

/* A left row is its experiment's, with its components and context. */
static void check_left(const struct tess_lane *lane, const struct tess_work *work, int32_t u)
{
    const struct tess_index *index = &store.index;
    int64_t e = lane->loaded.experiment[work->experiment[u]], q = index->combination[e];
    int32_t p = work->u_p[u];
    const struct tess_gathered *made = &work->gathered[TESS_TABLE_P];
    int64_t first = made->mix.first[p];

    assert_true(u >= 0 && u < work->n_u && p < work->n_p);
    assert_int_equal(work->combination[p], q);
    assert_int_equal(work->context[work->u_c[u]], index->context_of[e]);
    assert_int_equal(made->mix.first[p + 1] - first,
                     index->combination_first[q + 1] - index->combination_first[q]);
    for (int64_t k = first; k < made->mix.first[p + 1]; k++)
        assert_int_equal(made->row[made->mix.row[k]],
                         index->combination_member[index->combination_first[q] + k - first]);
}

/* What is the same for a whole lane's epoch. */
struct counting {
    const struct tess_lane *lane;
    const struct tess_schedule *schedule;
    int *seen; /* (n_values) how often each was taken */
    double order; /* depends on the order of all observations */
};

/* Counts a value that a step takes as its i-th; its rows must be its own. */
static void take_one(struct counting *counting, const struct tess_work *work, int64_t i, int32_t u,
                     int32_t v, float y)
{
    const struct tess_dataset *dataset = counting->schedule->dataset;
    const struct tess_index *index = &store.index;
    int64_t e = counting->lane->loaded.experiment[work->experiment[u]], place = -1;
    int64_t panel = index->panel[e];

    assert_int_equal(index->split[e], TESS_TRAIN);
    assert_true(v >= 0 && v < work->n_r);
    for (int64_t k = 0; k < tess_dataset_width(dataset, panel); k++)
        if (dataset->panel_readout[dataset->panel_first[panel] + k] == work->readout[v])
            place = index->value_first[e] + dataset->panel_column[dataset->panel_first[panel] + k];
    assert_true(place >= 0);
    assert_true(isnan(value[place]) ? isnan(y) : y == value[place]);
    counting->seen[place]++;
    counting->order += isnan(y) ? 0 : (double)(y + 1) * sin((double)i);
}

/* A dense block has no row twice. */
static void take_dense(struct counting *counting, const struct tess_work *work,
                       const struct tess_dense *dense, int64_t first)
{
    for (int i = 1; i < dense->E; i++)
        for (int k = 0; k < i; k++)
            assert_true(dense->u[i] != dense->u[k]);
    for (int i = 1; i < dense->T; i++)
        for (int k = 0; k < i; k++)
            assert_true(dense->v[i] != dense->v[k]);
    for (int e = 0; e < dense->E; e++)
        for (int t = 0; t < dense->T; t++)
            take_one(counting, work, first + e * dense->T + t, dense->u[e], dense->v[t],
                     dense->y[e][dense->column ? dense->column[t] : t]);
}

/* All values of a step, as pairs or as dense blocks. */
static void take(struct counting *counting, const struct tess_work *work, int64_t step)
{
    int64_t first = 1000 * step, n = 0;

    for (int32_t u = 0; u < work->n_u; u++)
        check_left(counting->lane, work, u);
    for (int64_t i = 0; i < work->n && work->n_dense == 0; i++)
        take_one(counting, work, first + i, work->u[i], work->v[i], work->y[i]);
    for (int i = 0; i < work->n_dense; i++) {
        take_dense(counting, work, &work->dense[i], first + n);
        n += (int64_t)work->dense[i].E * work->dense[i].T;
    }
    assert_true(work->n_dense == 0 || n == work->n);
}

static void assert_unmarked(const int32_t *mark, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(mark[i], -1);
}

static void check_marks(const struct tess_marks *marks, const struct tess_dataset *dataset,
                        int64_t n_experiments)
{
    assert_unmarked(marks->experiment, n_experiments);
    assert_unmarked(marks->combination, store.index.n_combinations);
    assert_unmarked(marks->row[TESS_TABLE_P], store.index.perturbation.n);
    assert_null(marks->row[TESS_TABLE_R]);
    assert_null(marks->row[TESS_TABLE_C]);
    assert_unmarked(marks->readout, dataset->readout.n);
    assert_unmarked(marks->context, store.index.context.n);
}

/* Where contexts stand right of the dot product a tile is of one perturbation. */
static void check_tiles(const struct tess_lane *lane, const struct tess_schedule *schedule)
{
    const int64_t *combination = store.index.combination;
    struct tess_lane_sizes sizes;

    tess_schedule_sizes(schedule, lane->number, &sizes);
    assert_true(lane->n_tiles <= sizes.tiles);
    if (schedule->config->model.kind != TESS_KIND_DOT || schedule->dataset->readout.n > 1)
        return;
    for (int64_t i = 0; i < lane->n_tiles; i++)
        for (int64_t k = 1; k < lane->tile[i].E; k++) {
            const int64_t *order = lane->order + lane->tile[i].first;

            assert_int_equal(combination[lane->loaded.experiment[order[k]]],
                             combination[lane->loaded.experiment[order[0]]]);
        }
}

/* What a step has not got yet is read. */
static void read_targets(struct tess_ahead *ahead, const struct tess_work *work)
{
    struct tess_error error = TESS_ERROR_INIT;

    tess_ahead_add(ahead, &work->reads);
    tess_ahead_start(ahead, 1);
    assert_int_equal(tess_ahead_finish(ahead, &error), TESS_OK);
}

/* One lane's epoch; returns a sum that depends on the order. */
static double run_lane(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t epoch,
                       int *seen)
{
    const struct tess_config *config = schedule->config;
    int tiles = config->train.sampling == TESS_SAMPLING_TILES;
    int dense = tiles && config->model.kind != TESS_KIND_MLP &&
                (config->model.kind == TESS_KIND_CP || schedule->dataset->readout.n > 1);
    struct counting counting = {lane, schedule, seen, 0};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_ahead *ahead = NULL;
    struct tess_work work = {0};
    struct tess_marks marks;

    assert_true((lane->loaded.value == NULL) == (config->data.streaming != 0));
    if (config->data.streaming)
        ahead = tess_ahead_open(schedule->dataset, &error);
    assert_int_equal(error.code, TESS_OK);

    tess_marks_init(&marks, schedule->dataset, lane->loaded.n);
    tess_lane_shuffle(lane, schedule, epoch);
    if (tiles)
        check_tiles(lane, schedule);
    for (int64_t s = 0; s <= lane->n_steps; s++) {
        tess_lane_work(lane, schedule, s, &marks, &work);
        check_marks(&marks, schedule->dataset, lane->loaded.n);
        assert_true((work.n > 0) == (s < lane->n_steps));
        assert_true((work.n_dense > 0) == (dense && work.n > 0));
        if (!tiles && s + 1 < lane->n_steps)
            assert_int_equal(work.n, lane->share);
        if (config->train.tile_experiments == 0)
            assert_true(2 * work.n <= 3 * lane->share);
        if (ahead)
            read_targets(ahead, &work);
        take(&counting, &work, s);
    }
    tess_ahead_release(ahead);
    tess_work_release(&work);
    tess_marks_release(&marks);
    return counting.order;
}

/* A training that is resumed comes to an epoch with another lane, which has seen none before. */
static void check_lane(const struct tess_schedule *schedule, int number, int *seen)
{
    struct tess_error error = TESS_ERROR_INIT;
    int *ignored = TESS_NEW(int, n_values);
    struct tess_lane lane, resumed;
    double first, next;

    assert_int_equal(tess_lane_init(&lane, schedule, number, &error), TESS_OK);
    assert_int_equal(tess_lane_init(&resumed, schedule, number, &error), TESS_OK);
    first = run_lane(&lane, schedule, 4, seen);
    next = run_lane(&lane, schedule, 5, ignored);
    /* Few experiments with all of their columns may come in the same order by chance. */
    if (lane.loaded.value_first[lane.loaded.n] > 40 && lane.loaded.n > 5)
        assert_true(first != next);
    assert_true(run_lane(&lane, schedule, 4, ignored) == first);
    assert_true(run_lane(&resumed, schedule, 5, ignored) == next);
    tess_lane_release(&lane);
    tess_lane_release(&resumed);
    tess_free(ignored);
}

static void check_epochs(const struct tess_config *config, const struct tess_dataset *dataset)
{
    struct tess_schedule schedule;
    int64_t shares = 0, kept = 0, taken = 0;
    int *seen = TESS_NEW(int, n_values), tiles = config->train.sampling == TESS_SAMPLING_TILES;

    tess_schedule_init(&schedule, config, dataset);
    for (int l = 0; l < schedule.lanes; l++) {
        assert_true(schedule.lane_first[l] <= schedule.lane_first[l + 1]);
        shares += tess_schedule_share(&schedule, l);
        check_lane(&schedule, l, seen);
    }
    assert_int_equal(shares, config->train.batch);
    for (int64_t e = 0; e < N; e++)
        for (int64_t k = dataset->panel_first[store.index.panel[e]];
             k < dataset->panel_first[store.index.panel[e] + 1]; k++) {
            int64_t i = store.index.value_first[e] + dataset->panel_column[k];

            if (store.index.split[e] == TESS_TRAIN && (tiles || !isnan(value[i]))) {
                assert_int_equal(seen[i], 1);
                kept++;
            }
        }
    for (int64_t i = 0; i < n_values; i++)
        taken += seen[i];
    assert_true(kept > 0 && taken == kept); /* and nothing else */
    tess_schedule_release(&schedule);
    tess_free(seen);
}

static void schedule__takes_everything_once(void **state)
{
    static const int64_t lanes[] = {1, 3, 0, 64}, batch[] = {64, 150, 1000, 100000};
    static const int64_t most[] = {0, 11, 1}; /* readouts: all, some, a single one */

    (void)state;
    for (int i = 0; i < 96; i++) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_dataset dataset;
        struct tess_config config;

        tess_config_init(&config);
        config.train.lanes = lanes[i % 4];
        config.train.batch = batch[i / 4 % 4];
        config.train.sampling = i / 16 % 2;
        config.model.kind = i / 32;
        config.data.scale = 0; /* values are recognised in the lanes */
        config.data.top_variable = most[i % 3];
        assert_int_equal(tess_dataset_init(&dataset, &store, &config, NULL, MPI_COMM_SELF, &error),
                         TESS_OK);
        check_epochs(&config, &dataset);
        config.train.tile_experiments = 1 + i % 5;
        config.train.tile_readouts = 1 + i % 7;
        check_epochs(&config, &dataset);
        config.data.streaming = 1;
        check_epochs(&config, &dataset);
        tess_dataset_release(&dataset);
    }
}

/* A batch that is left to the program: a power of two, 256 here, but one observation a lane at
 * least. */
static void schedule__chooses_the_batch(void **state)
{
    static const int64_t lanes[] = {1, 16, 700}, expected[] = {256, 256, 700};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_dataset dataset;
        struct tess_config config;
        struct tess_schedule schedule;

        tess_config_init(&config);
        config.train.lanes = lanes[i];
        assert_int_equal(config.train.batch, 0);
        assert_int_equal(tess_dataset_init(&dataset, &store, &config, NULL, MPI_COMM_SELF, &error),
                         TESS_OK);
        tess_schedule_init(&schedule, &config, &dataset);
        assert_int_equal(schedule.batch, expected[i]);
        tess_schedule_release(&schedule);
        tess_dataset_release(&dataset);
    }
}

/* What counts is what is trained on: kept columns; places of tiles, or measured values. */
static void schedule__counts_what_is_kept(void **state)
{
    enum { ALL = 448 };
    static const int64_t kept[] = {4000, 40, 4000}, expected[] = {4096, 256, 1024};
    static int64_t panel[ALL], observed[ALL], width[2] = {0, 4000};
    static int8_t split[ALL];

    (void)state;
    for (int i = 0; i < ALL; i++) {
        observed[i] = 1000;
        split[i] = TESS_TRAIN;
    }
    for (int i = 0; i < 3; i++) {
        struct tess_store large = {.index = {.n_experiments = ALL,
                                             .n_panels = 1,
                                             .panel_first = width,
                                             .panel = panel,
                                             .n_observed = observed,
                                             .split = split}};
        struct tess_dataset dataset = {
            .store = &large, .each = 1, .panel_first = (int64_t[]){0, kept[i]}};
        struct tess_config config;
        struct tess_schedule schedule;

        tess_config_init(&config);
        config.train.sampling = i < 2 ? TESS_SAMPLING_TILES : TESS_SAMPLING_OBSERVATIONS;
        tess_schedule_init(&schedule, &config, &dataset);
        assert_int_equal(schedule.batch, expected[i]);
        tess_schedule_release(&schedule);
    }
}

/* Lanes have equal shares of the observations, but for an experiment at each end. */
static void schedule__lanes_are_equally_long(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_dataset dataset;
    struct tess_config config;
    struct tess_schedule schedule;
    int64_t total = 0;

    (void)state;
    tess_config_init(&config);
    config.train.lanes = 7;
    assert_int_equal(tess_dataset_init(&dataset, &store, &config, NULL, MPI_COMM_SELF, &error),
                     TESS_OK);
    tess_schedule_init(&schedule, &config, &dataset);
    for (int64_t e = 0; e < N; e++)
        total += store.index.split[e] == TESS_TRAIN ? store.index.n_observed[e] : 0;
    assert_int_equal(schedule.lane_first[7], N);
    for (int l = 0; l < 7; l++) {
        int64_t sum = 0;

        for (int64_t e = schedule.lane_first[l]; e < schedule.lane_first[l + 1]; e++)
            sum += store.index.split[e] == TESS_TRAIN ? store.index.n_observed[e] : 0;
        assert_true(llabs(sum - total / 7) <= 2 * READOUTS);
    }
    tess_schedule_release(&schedule);
    tess_dataset_release(&dataset);
}

/* Means and deviations are those of the training rows; scaled values come back by shift and scale.
 */
static void dataset__scales_by_training_rows(void **state)
{
    const struct tess_index *index = &store.index;
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_dataset dataset;
    struct tess_config config;
    struct tess_loaded loaded;

    (void)state;
    tess_config_init(&config);
    config.data.normalize = TESS_NORMALIZE_ZSCORE;
    config.data.scale = 0;
    assert_int_equal(tess_dataset_init(&dataset, &store, &config, NULL, MPI_COMM_SELF, &error),
                     TESS_OK);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t r = 0; r < READOUTS; r++) {
            double n = 0, sum = 0, square = 0, mean;

            for (int64_t e = 0; e < N; e++)
                for (int64_t k = index->panel_first[index->panel[e]];
                     k < index->panel_first[index->panel[e] + 1]; k++) {
                    float x =
                        value[index->value_first[e] + k - index->panel_first[index->panel[e]]];

                    if (index->split[e] != TESS_TRAIN || index->context_of[e] != c ||
                        index->panel_readout[k] != r || isnan(x))
                        continue;
                    n++;
                    sum += (double)x;
                    square += (double)x * (double)x;
                }
            mean = n > 0 ? sum / n : 0;
            assert_true(fabs((double)dataset.scaling.shift[c * READOUTS + r] - mean) <=
                        1e-6 * fabs(mean));
            if (n > 1)
                assert_true(fabs((double)dataset.scaling.scale[c * READOUTS + r] -
                                 sqrt((square - n * mean * mean) / (n - 1))) <= 1e-3);
        }
    assert_int_equal(
        tess_dataset_load(&dataset, (struct tess_wanted){10, 40, TESS_VAL, 1}, &loaded, &error),
        TESS_OK);
    for (int64_t i = 0; i < loaded.n; i++)
        for (int64_t k = loaded.value_first[i]; k < loaded.value_first[i + 1]; k++) {
            int64_t e = loaded.experiment[i], column = k - loaded.value_first[i];
            int64_t at = index->context_of[e] * READOUTS +
                         index->panel_readout[index->panel_first[index->panel[e]] + column];
            float x = value[index->value_first[e] + column];

            assert_int_equal(index->split[e], TESS_VAL);
            assert_true(isnan(x) == isnan(loaded.value[k]));
            if (!isnan(x))
                assert_true(fabsf(dataset.scaling.shift[at] +
                                  dataset.scaling.scale[at] * loaded.value[k] - x) <=
                            1e-5f * fabsf(x) + 1e-3f);
        }
    tess_loaded_release(&loaded);
    tess_dataset_release(&dataset);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule__takes_everything_once),
        cmocka_unit_test(schedule__chooses_the_batch),
        cmocka_unit_test(schedule__counts_what_is_kept),
        cmocka_unit_test(schedule__lanes_are_equally_long),
        cmocka_unit_test(dataset__scales_by_training_rows),
    };
    int failed;

    MPI_Init(&argc, &argv);
    tess_h5_init();
    snprintf(path, sizeof path, "/tmp/tessera_schedule_%d.prc.h5", (int)getpid());
    make_store();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tess_store_release(&store);
    tess_free(value);
    unlink(path);
    MPI_Finalize();
    return failed;
}
