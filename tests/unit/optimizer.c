/* optimizer.c -- the optimisers against PyTorch's (tests/data/make_optimizer.py), and the lazy
 * update of rows against the dense one. */
#include "../reference.h"

#include "tessera/error.h"
#include "tessera/optimizer.h"
#include "tessera/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define N 24 /* parameters of a row: one vector register and a tail */

static struct tess_config config_of(int64_t kind, double weight_decay, double momentum)
{
    struct tess_config config;

    tess_config_init(&config);
    config.train.optimizer = kind;
    config.train.weight_decay = weight_decay;
    config.train.momentum = momentum;
    return config;
}

static void optimizer__is_pytorchs(void **state)
{
    static const char *const kinds[] = {"adam", "adamw", "sgd"};
    json_t *all = reference_load("optimizer.json"), *runs = json_object_get(all, "runs");

    (void)state;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        int n = reference_int(run, "n"), kind = 0;
        float *x = reference_floats(run, "x0"), *g = reference_floats(run, "gradient");
        float *m = TESS_NEW(float, n), *v = TESS_NEW(float, n);
        double *want = reference_doubles(run, "x"), *rate = reference_doubles(run, "rate");
        struct tess_optimizer optimizer;
        struct tess_config config;

        while (strcmp(kinds[kind], json_string_value(json_object_get(run, "case"))) != 0)
            kind++;
        config = config_of(kind, reference_number(run, "weight_decay"),
                           reference_number(run, "momentum"));
        tess_optimizer_init(&optimizer, &config);
        for (int t = 0; t < reference_int(run, "steps"); t++) {
            tess_optimizer_begin(&optimizer, rate[t]);
            tess_optimizer_update(&optimizer, n, g + t * n, (float)reference_number(run, "scale"),
                                  (struct tess_parameters){x, m, v});
            if (reference_error(n, x, want + t * n, 1) > 3e-6)
                fail_msg("%s, run %zu, step %d: off by %.3g", kinds[kind], i, t,
                         reference_error(n, x, want + t * n, 1));
        }
        tess_optimizer_release(&optimizer);
        tess_optimizer_release(&optimizer);
        tess_free(x);
        tess_free(g);
        tess_free(m);
        tess_free(v);
        tess_free(want);
        tess_free(rate);
    }
    json_decref(all);
}

static void compare_rates(const json_t *all, const char *name, const struct tess_config *config)
{
    int epochs = reference_int(all, "epochs"), steps = reference_int(all, "steps");
    double *want = reference_doubles(all, name);

    for (int e = 0; e < epochs; e++)
        for (int s = 0; s < steps; s++)
            if (fabs(tess_optimizer_rate(config, e, s, steps) - want[e * steps + s]) >
                1e-9 * config->train.learning_rate)
                fail_msg("%s, epoch %d, step %d: %.12g, not %.12g", name, e, s,
                         tess_optimizer_rate(config, e, s, steps), want[e * steps + s]);
    tess_free(want);
}

static void optimizer__schedules_are_pytorchs(void **state)
{
    json_t *all = reference_load("optimizer.json");
    struct tess_config config = config_of(TESS_OPTIMIZER_ADAMW, 0, 0);

    (void)state;
    config.train.learning_rate = reference_number(all, "base");
    config.train.epochs = reference_int(all, "epochs");
    config.train.schedule = TESS_SCHEDULE_EXPONENTIAL;
    config.train.decay = 0.9;
    compare_rates(all, "exponential", &config);
    config.train.schedule = TESS_SCHEDULE_COSINE;
    config.train.decay = 0.1;
    compare_rates(all, "cosine", &config);
    config.train.schedule = TESS_SCHEDULE_CONSTANT;
    config.train.warmup = 2;
    compare_rates(all, "warmup", &config);
    json_decref(all);
}

/* Warm-up before another schedule: rises without a step down, ends at most at the base. */
static void optimizer__warmup_stays_below_the_base(void **state)
{
    struct tess_config config = config_of(TESS_OPTIMIZER_ADAMW, 0, 0);

    (void)state;
    config.train.learning_rate = 0.1;
    config.train.decay = 0.97;
    config.train.epochs = 10;
    for (int kind = TESS_SCHEDULE_CONSTANT; kind <= TESS_SCHEDULE_COSINE; kind++)
        for (double warmup = 0; warmup < 12; warmup += 0.7) {
            double before = 0;

            config.train.schedule = kind;
            config.train.warmup = warmup;
            for (int s = 0; s < 70; s++) {
                double rate = tess_optimizer_rate(&config, s / 7, s % 7, 7);

                assert_true(rate > 0 && rate <= config.train.learning_rate);
                if (s / 7.0 < warmup)
                    assert_true(rate >= before);
                before = rate;
            }
        }
}

struct row {
    float x[N], m[N], v[N];
};

struct rule {
    int64_t kind;
    double weight_decay, momentum;
};
static const struct rule rules[] = {
    {TESS_OPTIMIZER_ADAMW, 0.01, 0}, {TESS_OPTIMIZER_ADAMW, 0, 0}, {TESS_OPTIMIZER_ADAM, 0.01, 0},
    {TESS_OPTIMIZER_ADAM, 0, 0},     {TESS_OPTIMIZER_SGD, 0, 0.9}, {TESS_OPTIMIZER_SGD, 0.01, 0.9},
    {TESS_OPTIMIZER_SGD, 0, 0.99},   {TESS_OPTIMIZER_SGD, 0, 0},   {TESS_OPTIMIZER_ADAMW, 1, 0},
};
#define N_RULES ((int)(sizeof rules / sizeof rules[0]))

static float normal(uint64_t i)
{
    return (float)tess_random_normal(tess_random_stream(3, TESS_RANDOM_TEST, 0), i);
}

/* Both through the same steps; gap[k] steps without a gradient before each with one. */
static void run_both(const struct rule *rule, double rate, int n_gaps, const int *gap,
                     struct row *dense, struct row *lazy)
{
    struct tess_config config = config_of(rule->kind, rule->weight_decay, rule->momentum);
    struct tess_optimizer o;
    static const float zero[N];
    int64_t last = 0;
    float g[N];

    tess_optimizer_init(&o, &config);
    memset(dense, 0, sizeof *dense);
    for (int i = 0; i < N; i++)
        dense->x[i] = normal((uint64_t)i);
    *lazy = *dense;
    for (int k = 0; k < n_gaps; k++) {
        for (int s = 0; s < gap[k]; s++) {
            tess_optimizer_begin(&o, rate * pow(0.9999, (double)o.step));
            tess_optimizer_update(&o, N, zero, 1,
                                  (struct tess_parameters){dense->x, dense->m, dense->v});
        }
        tess_optimizer_begin(&o, rate * pow(0.9999, (double)o.step));
        for (int i = 0; i < N; i++)
            g[i] = normal((uint64_t)((k + 1) * N + i));
        tess_optimizer_update(&o, N, g, 0.5f,
                              (struct tess_parameters){dense->x, dense->m, dense->v});
        tess_optimizer_catch_up(&o, N, last, o.step - 1,
                                (struct tess_parameters){lazy->x, lazy->m, lazy->v});
        tess_optimizer_update(&o, N, g, 0.5f, (struct tess_parameters){lazy->x, lazy->m, lazy->v});
        last = o.step;
    }
    tess_optimizer_release(&o);
}

/* Where steps are replayed, which is Adam's first TESS_REPLAY_UNTIL and every rule's with coupled
 * decay. */
static void optimizer__lazy_is_dense_to_the_bit(void **state)
{
    static const int gap[] = {0, 1, 2, 7, 0, 150, 199, 200, 3};

    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        struct row dense, lazy;

        if (rules[r].kind == TESS_OPTIMIZER_SGD && rules[r].weight_decay == 0)
            continue;
        run_both(&rules[r], 0.002, 9, gap, &dense, &lazy);
        assert_memory_equal(&dense, &lazy, sizeof dense);
    }
}

/* One step in double precision, with the factors as floats have them: what the float way would come
 * to without rounding. (That way itself drifts by up to 3e-5 in 9000 steps, since a step hardly
 * differs from the one before it and the errors add up.) */
static void step_exactly(const struct tess_optimizer *o, const float *g, double (*state)[3])
{
    double t = (double)o->step, decay = o->weight_decay, rate = o->rate[o->step];
    double b1 = (double)(float)o->beta1, b2 = (double)(float)o->beta2;
    double keep = (double)(float)(1 - rate * decay), mu = (double)(float)o->momentum;

    for (int i = 0; i < N; i++) {
        double *x = &state[i][0], *m = &state[i][1], *v = &state[i][2];
        double gradient = g ? 0.5 * (double)g[i] : 0;

        if (o->kind != TESS_OPTIMIZER_ADAMW)
            gradient += decay * *x;
        if (o->kind == TESS_OPTIMIZER_SGD) {
            *m = mu * *m + gradient;
            *x -= rate * *m;
            continue;
        }
        *m = b1 * *m + (1 - o->beta1) * gradient;
        *v = b2 * *v + (1 - o->beta2) * gradient * gradient;
        *x = (o->kind == TESS_OPTIMIZER_ADAMW ? keep : 1) * *x -
             rate / (1 - pow(o->beta1, t)) * *m / (sqrt(*v / (1 - pow(o->beta2, t))) + o->epsilon);
    }
}

/* Gaps taken at once, short and long, after the first TESS_REPLAY_UNTIL steps. Where every step is
 * replayed, it is the rounding of these that is seen. */
static void optimizer__lazy_is_exact(void **state)
{
    static const int gaps[2][18] = {
        {0, 2, 3, 1, 5, 9, 0, 17, 33, 2, 60, 120, 199, 200, 201, 400, 2, 2},
        {1, 201, 5000, 300, 1000, 250, 2000, 10}};

    (void)state;
    for (int k = 0; k < 2 * N_RULES; k++) {
        const struct rule *rule = &rules[k / 2];
        struct tess_config config = config_of(rule->kind, rule->weight_decay, rule->momentum);
        double exact[N][3] = {{0}};
        struct tess_optimizer o;
        struct row lazy = {.m = {0}};
        int64_t last = TESS_REPLAY_UNTIL;
        double allowed = rule->kind != TESS_OPTIMIZER_ADAMW && rule->weight_decay > 0 ? 6e-5 : 2e-6;
        float g[N];

        tess_optimizer_init(&o, &config);
        while (o.step < last)
            tess_optimizer_begin(&o, 0.002);
        for (int i = 0; i < N; i++)
            exact[i][0] = (double)(lazy.x[i] = normal((uint64_t)i));
        for (int j = 0; j < 18; j++) {
            for (int s = 0; s <= gaps[k % 2][j]; s++) {
                tess_optimizer_begin(&o, 0.002 * pow(0.9999, (double)o.step));
                for (int i = 0; i < N; i++)
                    g[i] = normal((uint64_t)((j + 1) * N + i)) * (i % 3 ? 1.0f : 1e-6f);
                step_exactly(&o, s == gaps[k % 2][j] ? g : NULL, exact);
            }
            tess_optimizer_catch_up(&o, N, last, o.step - 1,
                                    (struct tess_parameters){lazy.x, lazy.m, lazy.v});
            tess_optimizer_update(&o, N, g, 0.5f, (struct tess_parameters){lazy.x, lazy.m, lazy.v});
            last = o.step;
            for (int i = 0; i < N; i++)
                if (fabs((double)lazy.x[i] - exact[i][0]) >
                        allowed * fmax(0.1, fabs(exact[i][0])) ||
                    fabs((double)lazy.v[i] - exact[i][2]) > 1e-4 * exact[i][2])
                    fail_msg("rule %d, gap %d, entry %d: x %.9g, v %.9g; exactly %.9g, %.9g", k / 2,
                             gaps[k % 2][j], i, (double)lazy.x[i], (double)lazy.v[i], exact[i][0],
                             exact[i][2]);
        }
        tess_optimizer_release(&o);
    }
}

/* Decay alone: the product of the factors, as they are rounded, in double precision. */
static void optimizer__decay_in_closed_form(void **state)
{
    struct tess_config config = config_of(TESS_OPTIMIZER_ADAMW, 0.01, 0);
    double keep;

    (void)state;
    for (int gap = 1; gap <= 6000; gap *= 3) {
        struct tess_optimizer o;
        float x = 0.3672f, m = 0, v = 0;

        tess_optimizer_init(&o, &config);
        keep = 1;
        for (int t = 0; t < gap; t++) {
            tess_optimizer_begin(&o, 0.002 * pow(0.9999, t));
            keep *= (double)(float)(1 - o.rate[t + 1] * 0.01);
        }
        tess_optimizer_catch_up(&o, 1, 0, gap, (struct tess_parameters){&x, &m, &v});
        assert_true(fabs((double)x / (double)0.3672f / keep - 1) < 4e-6);
        tess_optimizer_release(&o);
    }
}

/* Catching up in two parts has the same bits only where steps are replayed: hence only a touch
 * writes. */
static void optimizer__catch_up_in_parts(void **state)
{
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        struct tess_config config =
            config_of(rules[r].kind, rules[r].weight_decay, rules[r].momentum);
        struct tess_optimizer o;
        struct row begin, one, two;

        tess_optimizer_init(&o, &config);
        for (int i = 0; i < N; i++) {
            begin.x[i] = normal((uint64_t)i);
            begin.m[i] = normal((uint64_t)i + 100);
            begin.v[i] = begin.m[i] * begin.m[i];
        }
        for (int t = 0; t < 900; t++)
            tess_optimizer_begin(&o, 0.01);
        one = two = begin;
        tess_optimizer_catch_up(&o, N, 5, 5, (struct tess_parameters){one.x, one.m, one.v});
        assert_memory_equal(&one, &begin, sizeof one); /* nothing missed, nothing done */
        tess_optimizer_catch_up(&o, N, 5, 150, (struct tess_parameters){one.x, one.m, one.v});
        tess_optimizer_catch_up(&o, N, 5, 90, (struct tess_parameters){two.x, two.m, two.v});
        tess_optimizer_catch_up(&o, N, 90, 150, (struct tess_parameters){two.x, two.m, two.v});
        if (rules[r].kind != TESS_OPTIMIZER_SGD || rules[r].weight_decay != 0)
            assert_memory_equal(&one, &two, sizeof one);
        one = two = begin;
        tess_optimizer_catch_up(&o, N, 5, 900, (struct tess_parameters){one.x, one.m, one.v});
        tess_optimizer_catch_up(&o, N, 5, 400, (struct tess_parameters){two.x, two.m, two.v});
        tess_optimizer_catch_up(&o, N, 400, 900, (struct tess_parameters){two.x, two.m, two.v});
        for (int i = 0; i < N; i++)
            assert_true(fabsf(one.x[i] - two.x[i]) <= 1e-5f * fmaxf(1e-3f, fabsf(one.x[i])));
        tess_optimizer_release(&o);
    }
}

/* More steps than the first block of memory holds; rates kept for replay. */
static void optimizer__keeps_all_rates(void **state)
{
    struct tess_config config = config_of(TESS_OPTIMIZER_ADAMW, 0.5, 0);
    struct tess_optimizer o;
    double sum = 0;

    (void)state;
    tess_optimizer_init(&o, &config);
    for (int t = 1; t <= 5000; t++)
        tess_optimizer_begin(&o, t * 1e-5);
    for (int t = 1; t <= 5000; t++) {
        sum += log1p(-t * 1e-5 * 0.5);
        assert_true(o.rate[t] == t * 1e-5);
        assert_true(fabs(o.log_keep[t] - sum) < 1e-7 * (double)t);
    }
    tess_optimizer_release(&o);
}

/* A row through steps with a gradient at every 300th, caught up between them; long gaps leap. */
static struct row walk(const struct tess_config *config, double rate, int part, int set_back)
{
    struct tess_optimizer o;
    struct row row = {.m = {0}};
    int64_t last = 0;
    float g[N];

    tess_optimizer_init(&o, config);
    for (int i = 0; i < N; i++)
        row.x[i] = normal((uint64_t)i);
    for (int t = 1; t <= 4000; t++) {
        const struct tess_optimizer *of;

        tess_optimizer_begin(&o, rate * pow(0.9999, (double)o.step));
        if (set_back && t % 250 == 0) /* as when the best state is looked at and left again */
            o.step--, tess_optimizer_begin(&o, rate * pow(0.9999, (double)o.step));
        if (t % 300)
            continue;
        of = tess_optimizer_of(&o, part);
        for (int i = 0; i < N; i++)
            g[i] = normal((uint64_t)(t * N + i));
        tess_optimizer_catch_up(of, N, last, o.step - 1,
                                (struct tess_parameters){row.x, row.m, row.v});
        tess_optimizer_update(of, N, g, 0.5f, (struct tess_parameters){row.x, row.m, row.v});
        last = o.step;
    }
    tess_optimizer_release(&o);
    return row;
}

/* A factor is as another rate; one of 0, and what is frozen, moves nothing; others are as before.
 */
static void optimizer__parts_have_rates_of_their_own(void **state)
{
    (void)state;
    for (int r = 0; r < N_RULES; r++) {
        struct tess_config plain =
            config_of(rules[r].kind, rules[r].weight_decay, rules[r].momentum);
        struct tess_config parts = plain;
        struct row slow = walk(&plain, 0.002, 0, 0), fast = walk(&plain, 0.004, 0, 0), begin, own;

        begin.x[0] = normal(0);
        parts.train.rate_readouts = 0.5;
        parts.train.rate_network = 0;
        snprintf(parts.train.freeze, sizeof parts.train.freeze, "perturbations");
        own = walk(&parts, 0.004, 1, 1);
        assert_memory_equal(&own, &slow, sizeof own);
        own = walk(&parts, 0.004, 2, 1);
        assert_memory_equal(&own, &fast, sizeof own);
        for (int frozen = 0; frozen <= TESS_PART_NETWORK; frozen += TESS_PART_NETWORK) {
            own = walk(&parts, 0.004, frozen, 0);
            assert_true(own.x[0] == begin.x[0] && own.m[0] == 0 && own.v[0] == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimizer__is_pytorchs),
        cmocka_unit_test(optimizer__schedules_are_pytorchs),
        cmocka_unit_test(optimizer__warmup_stays_below_the_base),
        cmocka_unit_test(optimizer__lazy_is_dense_to_the_bit),
        cmocka_unit_test(optimizer__lazy_is_exact),
        cmocka_unit_test(optimizer__decay_in_closed_form),
        cmocka_unit_test(optimizer__catch_up_in_parts),
        cmocka_unit_test(optimizer__keeps_all_rates),
        cmocka_unit_test(optimizer__parts_have_rates_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
