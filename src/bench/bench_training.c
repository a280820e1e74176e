/* bench_training.c -- rates of training: a stretch of steps from the beginning of an epoch, the
 * same one over and over. */
#include "bench.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/gemm.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* A training on `comm` (all ranks', or one for each rank alone). */
struct training {
    struct bench *bench;
    struct tess_trainer trainer;
    int64_t epoch; /* whose steps a stretch takes */
    int64_t shuffled; /* the epoch that the lanes are in */
    int64_t steps; /* of a stretch */
    double measured; /* observations of a stretch */
    double mine; /* this rank's seconds of the last stretch */
    double begun; /* seconds of an epoch's beginning, of a step */
};

/* The epoch from its beginning: shuffled if it is another one. Collective. */
static void rewind_epoch(struct training *t)
{
    struct tess_trainer *trainer = &t->trainer;
    double start = tess_bench_start(t->bench);

    if (trainer->window_n == 0 || t->epoch != t->shuffled) {
        tess_trainer_begin_epoch(trainer, t->epoch);
        t->begun = tess_bench_stop(t->bench, start) / (double)trainer->steps_per_epoch;
        t->shuffled = t->epoch;
    }
    trainer->window_first = -1;
    trainer->window_n = 0;
}

/* Seconds of a stretch, with its share of what an epoch's beginning costs. Collective over the
 * benchmark's ranks. */
static double run_stretch(struct training *t, struct tess_error *error)
{
    struct tess_trainer *trainer = &t->trainer;
    double start, before, share;

    rewind_epoch(t);
    before = trainer->progress.epoch_measured;
    share = t->begun * (double)t->steps;
    start = tess_bench_start(t->bench);
    for (int64_t step = 0; step < t->steps; step++)
        if (tess_trainer_step(trainer, step, error) != TESS_OK)
            break;
    t->measured = trainer->progress.epoch_measured - before;
    t->mine = tess_clock() - start + share;
    return tess_bench_stop(t->bench, start) + share;
}

#define LONG_AGO 20000 /* steps: a training well under way */

/* As if the training had gone on for long: moments, and rows that were last touched as many steps
 * ago as they are when each is touched as often as the others. */
static void age(struct tess_trainer *trainer, int64_t gap)
{
    while (trainer->optimizer.step < LONG_AGO)
        tess_optimizer_begin(&trainer->optimizer, trainer->config.train.learning_rate);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        struct tess_shard *shard = &trainer->shard[t];

        for (int64_t i = 0; i < shard->n_local * shard->dim && shard->rows.v[i] == 0; i++) {
            shard->rows.m[i] = 1e-4f;
            shard->rows.v[i] = 1e-6f;
        }
        for (int64_t i = 0; i < shard->n_local; i++)
            shard->rows.last[i] = trainer->optimizer.step - (t == TESS_TABLE_P ? i % gap : 0);
    }
}

/* Opens, warms up, and chooses a stretch: whole windows of steps, for about `seconds`. */
static int begin(struct training *t, struct bench *bench, const struct tess_config *config,
                 MPI_Comm comm, struct tess_error *error)
{
    double took, wanted = bench->options->quick ? 0.3 : 0.6;
    int64_t most, windows;

    *t = (struct training){.bench = bench};
    tess_trainer_init(&t->trainer, config, comm, error);
    if (tess_agree(bench->comm, error) != TESS_OK)
        return error->code;
    age(&t->trainer, 1);
    rewind_epoch(t);
    most = t->trainer.steps_per_epoch;
    t->steps = most < TESS_WINDOW ? most : TESS_WINDOW;
    took = run_stretch(t, error);
    if (most > TESS_WINDOW) {
        windows = (int64_t)ceil(wanted / took);
        t->steps = windows * TESS_WINDOW < most ? windows * TESS_WINDOW : most;
    }
    return error->code;
}

static void watch(struct training *t, struct tess_probe *probe)
{
    for (int i = 0; i < t->bench->n_threads; i++)
        t->trainer.workspace[i].probe = probe ? &probe[i] : NULL;
}

/* The memory that products work in: `place` has room for all of it. Has any moved since the last
 * time, on any rank? Collective. */
static int have_moved(const struct training *t, const float **place)
{
    const struct tess_trainer *trainer = &t->trainer;
    int moved = 0, n = t->bench->n_threads;

    for (int i = 0; i < n + trainer->n_local; i++) {
        const float *now = i < n ? trainer->workspace[i].block : trainer->buffer[i - n].block;

        moved |= place[i] != now;
        place[i] = now;
    }
    MPI_Allreduce(MPI_IN_PLACE, &moved, 1, MPI_INT, MPI_MAX, t->bench->comm);
    return moved;
}

/* Records the products of a stretch: once more if buffers had to grow meanwhile. */
static void record(struct training *t, struct tess_probe *probe, const float **place,
                   struct tess_error *error)
{
    watch(t, probe);
    do {
        for (int i = 0; i < t->bench->n_threads; i++) {
            probe[i].n = 0;
            probe[i].recording = 1;
        }
        run_stretch(t, error);
    } while (have_moved(t, place) && error->code == TESS_OK);
    watch(t, NULL);
}

/* Where the time of a step goes: shares of it, averaged over ranks. A stretch of its own, as
 * reading the clock between all phases costs time. */
static void break_down(struct training *t, struct tess_probe *probe, struct tess_error *error)
{
    static const char *const stages[] = {
        "  preparing steps", "  reading values",     "  gathering rows", "  lanes, all in all",
        "  waiting",         "  reducing gradients", "  optimiser",      "  sharing results"};
    static const char *const phases[] = {"    projections", "    hidden layers' products",
                                         "    fused passes"};
    struct bench *bench = t->bench;
    struct tess_times *times = &t->trainer.times;
    double total, ranks = bench->n_ranks, scale;

    *times = (struct tess_times){.last = 0};
    watch(t, probe);
    for (int i = 0; i < bench->n_threads; i++)
        probe[i] = (struct tess_probe){.timing = 1};
    total = run_stretch(t, error) - t->begun * (double)t->steps;
    watch(t, NULL);
    scale = 1e3 / (double)t->steps;
    tess_bench_say(bench, "a step", total * scale, "ms", NAN, NULL);
    for (int s = 0; s < TESS_N_STAGES; s++) {
        double seconds = tess_bench_sum(bench, times->stage[s]) / ranks;

        if (s == TESS_STAGE_READ && !t->trainer.ahead)
            continue;
        tess_bench_say(bench, stages[s], seconds * scale, "ms", seconds / total, "of a step");
        for (int p = 0; s == TESS_STAGE_LANES && p < TESS_N_PHASES; p++) {
            double phase = 0;

            for (int i = 0; i < bench->n_threads; i++)
                phase += probe[i].seconds[p] / bench->n_threads;
            phase = tess_bench_sum(bench, phase) / ranks;
            tess_bench_say(bench, phases[p], phase * scale, "ms", phase / total, "of a step");
        }
    }
}

/* The same training on every rank by itself, all at once: what the ranks could do at most. */
static void run_alone(struct bench *bench, const struct tess_config *config, double together,
                      struct tess_error *error)
{
    struct training alone;
    double rate[BENCH_MOST], most;

    if (bench->n_ranks == 1)
        return;
    if (begin(&alone, bench, config, MPI_COMM_SELF, error) == TESS_OK) {
        for (int r = 0; r < bench->repeat; r++) {
            run_stretch(&alone, error);
            rate[r] = tess_bench_sum(bench, alone.measured / alone.mine);
        }
        most = tess_bench_median(bench->repeat, rate);
        tess_bench_say(bench, "as many runs side by side", most / 1e3, "k obs/s", together / most,
                       "of it are reached together");
    }
    tess_trainer_release(&alone.trainer);
}

static void describe(struct bench *bench, const struct training *t, const char *label)
{
    static const char *const kinds[] = {"mlp", "dot", "cp"};
    const struct tess_config *config = &t->trainer.config;
    int low = config->train.precision == TESS_PRECISION_BFLOAT16;
    char title[200], name[64];

    snprintf(name, sizeof name, "%s%s", label, low ? ", bfloat16" : "");
    snprintf(title, sizeof title,
             "%s, %s, %s, %lld observations a step, %lld lanes; %lld perturbations",
             kinds[config->model.kind], low ? "bfloat16" : "float32",
             config->train.sampling == TESS_SAMPLING_TILES ? "tiles" : "single observations",
             (long long)t->trainer.schedule.batch, (long long)t->trainer.schedule.lanes,
             (long long)t->trainer.store.index.perturbation.n);
    tess_bench_part(bench, name, title);
}

/* bfloat16 against float32; factorised models against the mlp, in the same precision; all of them
 * on the same data. */
static void compare(struct bench *bench, const struct tess_config *config, double rate)
{
    struct bench_rates *mine = &bench->rate[config->train.precision], *float32 = &bench->rate[0];

    mine->training = rate;
    if (mine != float32)
        tess_bench_compare(bench, "training, beside float32", rate, float32->training);
    if (config->model.kind == TESS_KIND_MLP && config->train.sampling == TESS_SAMPLING_TILES)
        mine->mlp = rate;
    else if (config->model.kind != TESS_KIND_MLP && mine->mlp > 0)
        tess_bench_say(bench, "beside the mlp's tiles", rate / mine->mlp, "times", NAN, NULL);
}

/* The rate of the recorded products by themselves, which took so many seconds: those of the first
 * layer, which are float32 in both precisions, included. */
static void say_products(const struct training *t, const struct tess_probe *probe, double seconds)
{
    struct bench *bench = t->bench;
    int64_t precision = t->trainer.config.train.precision;
    double operations = 0, peak = bench->peak[precision], rate;

    for (int i = 0; i < bench->n_threads; i++)
        for (size_t k = 0; k < probe[i].n; k++) {
            const struct tess_gemm *call = &probe[i].call[k];

            operations += 2.0 * call->m * call->n * call->k;
        }
    rate = tess_bench_sum(bench, operations) / seconds / (bench->n_ranks * bench->n_threads);
    tess_bench_say(bench, "  its products alone", rate * 1e-9, "GFLOP/s a core",
                   peak > 0 ? rate / peak : NAN,
                   precision == TESS_PRECISION_BFLOAT16 ? "of the unit's peak" : "of the peak");
}

/* A stretch and its products alone, in turns, so that a processor that changes its clock changes
 * both; the share is taken turn by turn before the median. Returns the rate. */
static double against_products(struct training *t, struct tess_probe *probe,
                               struct tess_error *error)
{
    struct bench *bench = t->bench;
    double seconds[BENCH_MOST], share[BENCH_MOST], alone[BENCH_MOST], rate;
    const float **place = TESS_NEW(const float *, bench->n_threads + t->trainer.n_local);

    have_moved(t, place);
    record(t, probe, place, error);
    for (int r = 0; r < bench->repeat; r++) {
        alone[r] = tess_bench_replay(bench, probe);
        seconds[r] = run_stretch(t, error);
        share[r] = alone[r] / seconds[r];
        if (have_moved(t, place)) /* another thread took a larger lane */
            record(t, probe, place, error);
    }
    tess_free(place);
    rate = t->measured / tess_bench_median(bench->repeat, seconds);
    if (error->code == TESS_OK) {
        tess_bench_say(bench, "training", rate / 1e3, "k obs/s",
                       tess_bench_median(bench->repeat, share),
                       tess_bench_alone(t->trainer.config.train.precision));
        say_products(t, probe, tess_bench_median(bench->repeat, alone));
    }
    return rate;
}

int tess_bench_training(struct bench *bench, const struct tess_config *config, const char *label,
                        int impute, struct tess_error *error)
{
    struct tess_probe *probe = TESS_NEW(struct tess_probe, bench->n_threads);
    struct training t;

    if (begin(&t, bench, config, bench->comm, error) == TESS_OK) {
        double rate;

        describe(bench, &t, label);
        rate = against_products(&t, probe, error);
        if (error->code == TESS_OK)
            compare(bench, &t.trainer.config, rate);
        if (!bench->options->rates)
            break_down(&t, probe, error);
        if (error->code == TESS_OK && !bench->options->rates)
            run_alone(bench, config, rate, error);
    }
    for (int i = 0; i < bench->n_threads; i++)
        tess_probe_release(&probe[i]);
    tess_free(probe);
    if (impute && error->code == TESS_OK)
        tess_bench_imputation(bench, &t.trainer, error);
    tess_trainer_release(&t.trainer);
    return error->code;
}

/* Seconds a value that validation predicts; 0: there is none. */
static double time_validation(struct training *t, struct tess_error *error)
{
    const struct tess_loaded *loaded = &t->trainer.validation;
    double start = tess_bench_start(t->bench), score;

    if (loaded->n == 0)
        return 0;
    tess_trainer_validate(&t->trainer, &score, NULL, error);
    return tess_bench_stop(t->bench, start) / fmax((double)loaded->value_first[loaded->n], 1);
}

int tess_bench_stages(struct bench *bench, const struct tess_config *config,
                      struct tess_bench_step *step, struct tess_error *error)
{
    struct training t;
    double best = INFINITY;

    *step = (struct tess_bench_step){.lanes = 0};
    begin(&t, bench, config, bench->comm, error);
    for (int r = 0; r < bench->repeat && error->code == TESS_OK; r++) {
        double steps = (double)t.steps, seconds;

        t.trainer.times = (struct tess_times){.last = 0};
        seconds = run_stretch(&t, error);
        if (seconds >= best)
            continue;
        best = seconds;
        for (int s = 0; s < TESS_N_STAGES; s++)
            step->stage[s] = t.trainer.times.stage[s] / steps;
        step->observations = t.measured / steps;
    }
    if (error->code == TESS_OK) {
        step->begun = t.begun;
        step->lanes = t.trainer.schedule.lanes;
        step->parameters = (double)t.trainer.n_parameters;
        for (int64_t i = 0; i < t.trainer.window_n; i++)
            step->rows += (double)t.trainer.routes.step[i].n_want / (double)t.trainer.window_n;
        step->validation = time_validation(&t, error);
    }
    tess_trainer_release(&t.trainer);
    return error->code;
}

#define SIZES 3
static const int64_t growth_rows[SIZES] = {1000, 30000, 1000000};
static const int64_t growth_contexts[SIZES] = {60, 2, 1}; /* experiments enough for an epoch */

static int begin_grown(struct training *t, struct bench *bench, int size, struct tess_error *error)
{
    struct tess_bench_data data = {growth_rows[size], BENCH_GROWTH_READOUTS, growth_contexts[size],
                                   0};
    struct tess_config config;

    tess_bench_settings(bench, &config);
    if (tess_bench_simulate(bench, &data, &config, error) == TESS_OK)
        begin(t, bench, &config, bench->comm, error);
    if (t->trainer.steps_per_epoch > TESS_WINDOW)
        t->steps = TESS_WINDOW;
    tess_bench_forget(bench, config.data.store);
    return error->code;
}

int tess_bench_growth(struct bench *bench, struct tess_error *error)
{
    int n = bench->options->quick ? SIZES - 1 : SIZES;
    struct training *t = TESS_NEW(struct training, n);
    double seconds[SIZES][BENCH_MOST], ratio[BENCH_MOST];

    tess_bench_section(
        bench, "growth",
        "A step of 512 experiments × 32 readouts, as the table of perturbations grows");
    for (int i = 0; i < n && error->code == TESS_OK; i++)
        begin_grown(&t[i], bench, i, error);
    for (int r = 0; r < bench->repeat && error->code == TESS_OK; r++)
        for (int i = 0; i < n; i++) {
            struct tess_trainer *trainer = &t[i].trainer;

            age(trainer, growth_rows[i] * BENCH_GROWTH_READOUTS / trainer->schedule.batch + 1);
            t[i].epoch = r + 1; /* other rows */
            seconds[i][r] = run_stretch(&t[i], error) / (double)t[i].steps - t[i].begun;
        }
    for (int i = 0; i < n && error->code == TESS_OK; i++) {
        char name[64];

        for (int r = 0; r < bench->repeat; r++)
            ratio[r] = seconds[i][r] / seconds[0][r];
        snprintf(name, sizeof name, "%lld rows", (long long)growth_rows[i]);
        tess_bench_say(bench, name, tess_bench_median(bench->repeat, seconds[i]) * 1e3, "ms",
                       tess_bench_median(bench->repeat, ratio), "of the first");
    }
    for (int i = 0; i < n; i++)
        tess_trainer_release(&t[i].trainer);
    tess_free(t);
    return error->code;
}
