/* tile.c -- the tile's outputs and gradients against PyTorch's (tests/data/make_gradients.py) and
 * against finite differences of itself; the random numbers of dropout against Random123. */
#include "../reference.h"
#include "kernel/fused.h"

#include "tessera/config.h"
#include "tessera/encoder.h"
#include "tessera/tile.h"

#include <Random123/philox.h>
#include <cblas.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* One network with its observations, as the JSON has it; all arrays own. */
struct problem {
    const json_t *json;
    struct tess_shape shape;
    int rule, n_component, n_p;
    int64_t n_mlp;
    float *parameter, *component, *r, *c, *y;
    int64_t *member_first, *member;
    struct tess_tile tile;
    struct tess_dropout dropout;
    struct tess_workspace work;
    /* results */
    float *p, *d_mlp, *d_component, *d_p, *d_r, *d_c;
    double loss;
    int64_t n_measured;
};

static int rows_of(const json_t *json, const char *key, int dim)
{
    return (int)json_array_size(json_object_get(json, key)) / dim;
}

static void problem_init(struct problem *q, const json_t *json)
{
    static const char *const rule[] = {"mean", "sum", "max"};
    int dim = reference_int(json, "dim");

    *q = (struct problem){.json = json,
                          .shape = {.dim = dim,
                                    .hidden = reference_int(json, "hidden"),
                                    .layers = reference_int(json, "layers")}};
    while (strcmp(rule[q->rule], json_string_value(json_object_get(json, "rule"))) != 0)
        q->rule++;
    q->n_mlp = tess_shape_size(q->shape);
    assert_int_equal(q->n_mlp, json_array_size(json_object_get(json, "mlp")));
    q->n_component = rows_of(json, "component", dim);
    q->n_p = rows_of(json, "member_first", 1) - 1;
    q->parameter = reference_floats(json, "mlp");
    q->component = reference_floats(json, "component");
    q->r = reference_floats(json, "r");
    q->c = reference_floats(json, "c");
    q->y = reference_floats(json, "y");
    q->member_first = reference_int64s(json, "member_first");
    q->member = reference_int64s(json, "member");
    q->p = TESS_NEW(float, q->n_p *dim);
    q->tile = (struct tess_tile){.n = reference_int(json, "n"),
                                 .u = reference_ints(json, "u"),
                                 .v = reference_ints(json, "v"),
                                 .y = q->y,
                                 .n_p = q->n_p,
                                 .n_r = rows_of(json, "r", dim),
                                 .n_c = rows_of(json, "c", dim),
                                 .p = q->p,
                                 .r = q->r,
                                 .c = q->c,
                                 .n_u = rows_of(json, "u_p", 1),
                                 .u_p = reference_ints(json, "u_p"),
                                 .u_c = reference_ints(json, "u_c")};
    q->dropout.rate = reference_number(json, "rate");
    q->dropout.lane = (uint64_t)reference_int(json, "lane");
    for (int k = 0; k < 2; k++)
        q->dropout.stream.key[k] =
            (uint32_t)json_integer_value(json_array_get(json_object_get(json, "key"), (size_t)k));
    tess_workspace_init(&q->work, q->shape);
    q->d_mlp = TESS_NEW(float, q->n_mlp);
    q->d_component = TESS_NEW(float, q->n_component *dim);
    q->d_p = TESS_NEW(float, q->n_p *dim);
    q->d_r = TESS_NEW(float, q->tile.n_r *dim);
    q->d_c = TESS_NEW(float, q->tile.n_c *dim);
}

static void problem_release(struct problem *q)
{
    const void *const block[] = {q->parameter,    q->component, q->r,   q->c,      q->y,
                                 q->member_first, q->member,    q->p,   q->d_mlp,  q->d_component,
                                 q->d_p,          q->d_r,       q->d_c, q->tile.u, q->tile.v,
                                 q->tile.u_p,     q->tile.u_c};

    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++)
        tess_free((void *)(uintptr_t)block[i]);
    tess_workspace_release(&q->work);
}

/* Forward and backward of everything. */
static void train(struct problem *q)
{
    const struct tess_encoder encoder = {q->shape.dim, q->rule};
    const struct tess_perturbations perturbations = {q->n_p, q->member_first, q->member};
    struct tess_tile_grad grad = {.dp = q->d_p, .dr = q->d_r, .dc = q->d_c};
    struct tess_mlp mlp;

    tess_mlp_point(&mlp, q->shape, q->parameter);
    tess_mlp_point(&grad.mlp, q->shape, q->d_mlp);
    memset(q->d_mlp, 0x7f, (size_t)q->n_mlp * sizeof(float)); /* must be written */
    memset(q->d_p, 0x7f, (size_t)(q->n_p * q->shape.dim) * sizeof(float));
    tess_encoder_forward(&encoder, &perturbations, q->component, q->p);
    tess_tile_train(&mlp, &q->tile, &q->dropout, &q->work, &grad);
    tess_encoder_backward(&encoder, &perturbations, q->component, q->d_p, q->n_component,
                          q->d_component);
    q->loss = grad.loss;
    q->n_measured = grad.n_measured;
}

static void compare(const struct problem *q, const char *key, int64_t n, const float *got)
{
    double *want = reference_doubles(q->json, key), error;

    assert_int_equal(n, json_array_size(json_object_get(q->json, key)));
    error = reference_error(n, got, want, 1e-3);
    if (error > 1e-5)
        fail_msg("D %d, H %d, L %d, rule %d, dropout %g: %s differs from PyTorch's by %.3g of its "
                 "largest entry",
                 q->shape.dim, q->shape.hidden, q->shape.layers, q->rule, q->dropout.rate, key,
                 error);
    tess_free(want);
}

static void tile__gradients_are_pytorchs(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;
        double *out, loss;
        int64_t last, rows;

        problem_init(&q, json_array_get(all, i));
        train(&q);
        train(&q); /* a used workspace gives the same */
        loss = reference_number(q.json, "loss");
        assert_true(fabs(q.loss - loss) <= 1e-5 * loss);
        assert_int_equal(q.n_measured, reference_int(q.json, "n_measured"));
        compare(&q, "d_mlp", q.n_mlp, q.d_mlp);
        compare(&q, "d_component", q.n_component * q.shape.dim, q.d_component);
        compare(&q, "d_r", q.tile.n_r * q.shape.dim, q.d_r);
        compare(&q, "d_c", q.tile.n_c * q.shape.dim, q.d_c);
        out = reference_doubles(q.json, "out"); /* the last block's outputs are still there */
        rows = tess_tile_rows(&q.work, q.tile.n);
        last = (q.tile.n - 1) / rows * rows;
        assert_true(reference_error(q.tile.n - last, q.work.out, out + last, 0.1) < 1e-5);
        tess_free(out);
        problem_release(&q);
    }
    json_decref(all);
}

static void tile__forward_is_pytorchs(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;
        struct tess_mlp mlp;
        double *want;
        float *out, *left, *right;

        problem_init(&q, json_array_get(all, i));
        q.tile.n = q.tile.n < TESS_TILE_ROWS ? q.tile.n : TESS_TILE_ROWS;
        if (q.tile.n_r == 1) { /* has other left and right rows */
            problem_release(&q);
            continue;
        }
        train(&q); /* leaves the projected rows */
        tess_mlp_point(&mlp, q.shape, q.parameter);
        left = TESS_NEW(float, q.tile.n_u *(q.shape.layers ? q.shape.hidden : 1));
        right = TESS_NEW(float, q.tile.n_r *(q.shape.layers ? q.shape.hidden : 1));
        memcpy(left, q.work.left,
               (size_t)(q.tile.n_u * (q.shape.layers ? q.shape.hidden : 1)) * sizeof *left);
        memcpy(right, q.work.right,
               (size_t)(q.tile.n_r * (q.shape.layers ? q.shape.hidden : 1)) * sizeof *right);
        out = TESS_NEW(float, q.tile.n);
        tess_tile_forward(&mlp, &(struct tess_pairs){(int)q.tile.n, 0, q.tile.u, q.tile.v}, left,
                          right, &q.work, out);
        want = reference_doubles(q.json, "out");
        if (q.dropout.rate == 0 || q.shape.layers == 0)
            assert_true(reference_error(q.tile.n, out, want, 0.1) < 1e-5);
        tess_free(out);
        tess_free(left);
        tess_free(right);
        tess_free(want);
        problem_release(&q);
    }
    json_decref(all);
}

/* Central difference of the loss by *x. */
static double slope(struct problem *q, float *x, float h)
{
    float keep = *x, high = keep + h, low = keep - h;
    double above;

    *x = high;
    train(q);
    above = q->loss;
    *x = low;
    train(q);
    *x = keep;
    return (above - q->loss) / ((double)high - (double)low);
}

/* Three errors add up in a difference with step h. Rounding: the outputs have a relative error of
 * some 2e-7, the loss one of some 1e-6, and it is divided by 2h: 1e-2 of the gradient for the
 * smallest step. Curvature: h² of it. Kinks: a hidden unit that switches within h counts one
 * observation by half; such a kink is left behind by a smaller step. So an entry is right if it is
 * within 1 % of the largest for one of three steps. (PyTorch's, above, is the sharp test.) */
static void check_differences(struct problem *q, const char *what, int64_t n, float *x,
                              const float *gradient)
{
    static const float step[] = {0x1p-10f, 0x1p-12f, 0x1p-14f};
    float *g = TESS_NEW(float, n), largest = 1e-3f;

    memcpy(g, gradient, (size_t)n * sizeof *g);
    for (int64_t i = 0; i < n; i++)
        largest = fabsf(g[i]) > largest ? fabsf(g[i]) : largest;
    for (int64_t i = 0; i < n; i++) {
        double error = INFINITY;

        for (int k = 0; k < 3 && error > 1e-2 * (double)largest; k++)
            error = fabs(slope(q, &x[i], step[k]) - (double)g[i]);
        if (error > 1e-2 * (double)largest)
            fail_msg("D %d, H %d, L %d, rule %d, dropout %g: the difference by %s, entry %lld, is "
                     "off by %.3g of the largest",
                     q->shape.dim, q->shape.hidden, q->shape.layers, q->rule, q->dropout.rate, what,
                     (long long)i, error / (double)largest);
    }
    tess_free(g);
}

static void tile__gradients_are_finite_differences(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;

        problem_init(&q, json_array_get(all, i));
        train(&q);
        check_differences(&q, "the MLP", q.n_mlp, q.parameter, q.d_mlp);
        train(&q);
        check_differences(&q, "components", q.n_component * q.shape.dim, q.component,
                          q.d_component);
        train(&q);
        check_differences(&q, "readouts", q.tile.n_r * q.shape.dim, q.r, q.d_r);
        train(&q);
        check_differences(&q, "contexts", q.tile.n_c * q.shape.dim, q.c, q.d_c);
        problem_release(&q);
    }
    json_decref(all);
}

/* A row of NaN, wherever it comes in, must be seen in the loss: it stops the training. */
static void tile__nan_is_not_swallowed(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;
        float *at[4];
        int first = 0; /* measured observation */

        problem_init(&q, json_array_get(all, i));
        if (q.tile.n < 20 || q.dropout.rate > 0) { /* the one NaN unit may be dropped */
            problem_release(&q);
            continue;
        }
        while (isnan(q.y[first]))
            first++;
        at[0] = &q.component[q.member[q.member_first[q.tile.u_p[q.tile.u[first]]]] * q.shape.dim];
        at[1] = &q.parameter[0];
        at[2] = &q.parameter[3 * q.shape.dim * (q.shape.layers ? q.shape.hidden : 1)];
        at[3] = &q.parameter[q.n_mlp - 1];
        for (int k = 0; k < 4; k++) {
            float keep = *at[k];

            *at[k] = NAN;
            train(&q);
            assert_true(isnan(q.loss));
            *at[k] = keep;
        }
        problem_release(&q);
    }
    json_decref(all);
}

/* Targets that are all NaN: nothing is added to anything. */
static void tile__unmeasured_counts_nothing(void **state)
{
    json_t *all = reference_load("gradients.json");
    struct problem q;

    (void)state;
    problem_init(&q, json_array_get(all, 6));
    for (int64_t i = 0; i < q.tile.n; i++)
        q.y[i] = NAN;
    train(&q);
    assert_true(q.loss == 0 && q.n_measured == 0);
    for (int64_t i = 0; i < q.n_mlp; i++)
        assert_true(q.d_mlp[i] == 0);
    for (int64_t i = 0; i < q.n_component * q.shape.dim; i++)
        assert_true(q.d_component[i] == 0);
    problem_release(&q);
    json_decref(all);
}

/* Half s of word w of counter (16 q + k, which) belongs to entry 128 q + 32 w + 16 s + k. */
static uint32_t random_number(struct tess_random stream, uint64_t which, uint64_t f)
{
    uint64_t i = f / 128 * 16 + f % 16;
    philox4x32_ctr_t counter = {
        {(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)which, (uint32_t)(which >> 32)}};
    philox4x32_key_t key = {{stream.key[0], stream.key[1]}};

    return philox4x32_R(7, counter, key).v[f / 32 % 4] >> 16 * (f / 16 % 2) & 0xFFFF;
}

static void fused__drop_is_random123s(void **state)
{
    static const uint32_t threshold[] = {1, 6554, 32768, 65535};
    struct tess_fused_dropout dropout = {
        {{0x12345678, 0x9abcdef0}}, 0xABCDEF0123ULL << 20, 0, 1.25f};
    uint64_t first = ((uint64_t)1 << 35) - 256; /* the counter carries into its second word */
    float a[1001];

    (void)state;
    for (size_t k = 0; k < sizeof threshold / sizeof threshold[0]; k++)
        for (int n = 1; n <= 1000; n += n < 140 ? 1 : 137) {
            dropout.threshold = threshold[k];
            for (int i = 0; i <= n; i++)
                a[i] = (float)(i + 1);
            tess_fused_drop(&dropout, first, n, a);
            for (int i = 0; i < n; i++)
                assert_true(a[i] == (random_number(dropout.stream, dropout.which,
                                                   first + (uint64_t)i) < threshold[k]
                                         ? 0.0f
                                         : 1.25f * (float)(i + 1)));
            assert_true(a[n] == (float)(n + 1)); /* not one too many */
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tile__gradients_are_pytorchs),
        cmocka_unit_test(tile__forward_is_pytorchs),
        cmocka_unit_test(tile__gradients_are_finite_differences),
        cmocka_unit_test(tile__nan_is_not_swallowed),
        cmocka_unit_test(tile__unmeasured_counts_nothing),
        cmocka_unit_test(fused__drop_is_random123s),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
