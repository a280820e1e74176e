/* tile.c -- the tile's outputs and gradients against PyTorch's (tests/data/make_gradients.py) and
 * against finite differences of itself. */
#include "../reference.h"

#include "tessera/bfloat16.h"
#include "tessera/config.h"
#include "tessera/encoder.h"
#include "tessera/tile.h"

#include <cblas.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define MOST 4 /* dense blocks */

/* A dense block of left rows u[e] and right ones v[t]; y (E, T + 2): its targets. All own. */
struct block {
    int E, T;
    int32_t *u, *v, *column; /* column: NULL, or (T) below T + 2 */
    float *y;
    const float **row;
};

/* One network with its observations, as the JSON has it; all arrays own. */
struct problem {
    const json_t *json;
    struct tess_shape shape;
    struct tess_packed *packed; /* NULL: float32 */
    double tolerance; /* of gradients, relative to the largest */
    int rule, n_component, n_p;
    int64_t n_mlp;
    float *parameter, *component, *r, *c, *y, *weight;
    int64_t *member_first, *member;
    struct tess_tile tile; /* as pairs */
    int n_dense;
    struct block block[MOST]; /* the same observations */
    struct tess_dropout dropout;
    struct tess_workspace work;
    float *p, *d_mlp, *d_component, *d_p, *d_r, *d_c;
    double loss;
    int64_t n_measured;
};

static int rows_of(const json_t *json, const char *key, int dim)
{
    return (int)json_array_size(json_object_get(json, key)) / dim;
}

static struct tess_shape shape_of(const json_t *json)
{
    static const char *const kind[] = {"mlp", "dot", "cp"}, *const activation[] = {"relu", "silu"};
    int dim = reference_int(json, "dim");
    struct tess_config config;

    tess_config_init(&config);
    config.model.kind = reference_named(json, "kind", kind);
    config.model.activation = reference_named(json, "activation", activation);
    config.model.embedding_dim = dim;
    config.model.hidden_dim = reference_int(json, "hidden");
    config.model.layers = reference_int(json, "layers");
    config.model.noise = json_object_get(json, "noise") != NULL;
    return tess_shape_of(&config, rows_of(json, "r", dim));
}

static void block_init(struct block *block, int E, int T, int32_t *column)
{
    *block = (struct block){E,
                            T,
                            TESS_NEW(int32_t, E),
                            TESS_NEW(int32_t, T),
                            column,
                            TESS_NEW(float, E *(T + 2)),
                            TESS_NEW(const float *, E)};
    for (int e = 0; e < E; e++)
        block->row[e] = block->y + e * (T + 2);
}

static void block_release(struct block *block)
{
    tess_free(block->u);
    tess_free(block->v);
    tess_free(block->column);
    tess_free(block->y);
    tess_free((void *)(uintptr_t)block->row);
}

/* Its observations are the pairs from `first` on. Targets that no column points to are large:
 * nobody may look at them. */
static struct tess_dense block_fill(struct block *block, const struct tess_tile *pairs,
                                    int64_t first)
{
    for (int i = 0; i < block->E * (block->T + 2); i++)
        block->y[i] = 1e30f;
    for (int e = 0; e < block->E; e++)
        for (int t = 0; t < block->T; t++) {
            int64_t i = first + e * block->T + t;

            block->u[e] = pairs->u[i];
            block->v[t] = pairs->v[i];
            block->y[e * (block->T + 2) + (block->column ? block->column[t] : t)] = pairs->y[i];
        }
    return (struct tess_dense){block->E, block->T, block->u, block->v, block->row, block->column};
}

static void make_blocks(struct problem *q)
{
    const json_t *all = json_object_get(q->json, "dense");

    q->n_dense = (int)json_array_size(all);
    assert_true(q->n_dense <= MOST);
    for (int i = 0; i < q->n_dense; i++) {
        const json_t *one = json_array_get(all, (size_t)i);

        block_init(&q->block[i], reference_int(one, "E"), reference_int(one, "T"),
                   rows_of(one, "column", 1) ? reference_ints(one, "column") : NULL);
    }
}

static void make_room(struct problem *q)
{
    int dim = q->shape.dim;

    tess_workspace_init(&q->work, q->shape);
    q->d_mlp = TESS_NEW(float, q->n_mlp);
    q->d_component = TESS_NEW(float, q->n_component *dim);
    q->d_p = TESS_NEW(float, q->n_p *dim);
    q->d_r = TESS_NEW(float, q->tile.n_r *dim);
    q->d_c = TESS_NEW(float, q->tile.n_c *dim);
}

static void problem_init(struct problem *q, const json_t *json)
{
    static const char *const rule[] = {"mean", "sum", "max"};
    static const char *const precision[] = {"float32", "bfloat16"};
    int dim = reference_int(json, "dim");

    *q = (struct problem){
        .json = json, .shape = shape_of(json), .rule = reference_named(json, "rule", rule)};
    q->n_mlp = tess_shape_size(q->shape);
    assert_int_equal(q->n_mlp, json_array_size(json_object_get(json, "mlp")));
    q->n_component = rows_of(json, "component", dim);
    q->n_p = rows_of(json, "member_first", 1) - 1;
    q->tolerance = 1e-5;
    if (reference_named(json, "precision", precision)) {
        q->packed = tess_packed_make(q->shape.layers - 1, q->shape.hidden);
        q->tolerance = 1e-4; /* a number between two may be rounded to the other one */
    }
    q->parameter = reference_floats(json, "mlp");
    q->component = reference_floats(json, "component");
    q->r = reference_floats(json, "r");
    q->c = reference_floats(json, "c");
    q->y = reference_floats(json, "y");
    q->weight = json_object_get(json, "weight") ? reference_floats(json, "weight") : NULL;
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
                                 .u_c = reference_ints(json, "u_c"),
                                 .weight = q->weight};
    q->dropout.rate = reference_number(json, "rate");
    q->dropout.lane = (uint64_t)reference_int(json, "lane");
    for (int k = 0; k < 2; k++)
        q->dropout.stream.key[k] =
            (uint32_t)json_integer_value(json_array_get(json_object_get(json, "key"), (size_t)k));
    make_blocks(q);
    make_room(q);
}

static void problem_release(struct problem *q)
{
    const void *const block[] = {q->parameter,    q->component, q->r,     q->c,      q->y,
                                 q->member_first, q->member,    q->p,     q->d_mlp,  q->d_component,
                                 q->d_p,          q->d_r,       q->d_c,   q->tile.u, q->tile.v,
                                 q->tile.u_p,     q->tile.u_c,  q->weight};

    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++)
        tess_free((void *)(uintptr_t)block[i]);
    for (int i = 0; i < q->n_dense; i++)
        block_release(&q->block[i]);
    tess_workspace_release(&q->work);
    tess_packed_release(q->packed);
}

static void mlp_of(struct problem *q, struct tess_mlp *mlp)
{
    tess_mlp_point(mlp, q->shape, q->parameter);
    if (q->packed)
        tess_packed_set(q->packed, mlp->w);
    mlp->packed = q->packed;
}

/* Forward and backward of everything, by pairs or by dense blocks. */
static void train_by(struct problem *q, int n_dense)
{
    const struct tess_encoder encoder = {q->shape.dim, q->rule};
    const struct tess_perturbations perturbations = {q->n_p, q->member_first, q->member, NULL};
    struct tess_tile_grad grad = {.dp = q->d_p, .dr = q->d_r, .dc = q->d_c};
    struct tess_dense dense[MOST];
    struct tess_tile tile = q->tile;
    struct tess_mlp mlp;
    int64_t first = 0;

    for (int i = 0; i < n_dense; first += (int64_t)dense[i].E * dense[i].T, i++)
        dense[i] = block_fill(&q->block[i], &q->tile, first);
    if (n_dense > 0) {
        assert_int_equal(first, q->tile.n);
        tile.n_dense = n_dense;
        tile.dense = dense;
        tile.u = tile.v = NULL;
        tile.y = NULL;
    }
    mlp_of(q, &mlp);
    tess_mlp_point(&grad.mlp, q->shape, q->d_mlp);
    memset(q->d_mlp, 0x7f, (size_t)q->n_mlp * sizeof(float)); /* must be written */
    memset(q->d_p, 0x7f, (size_t)(q->n_p * q->shape.dim) * sizeof(float));
    memset(q->d_r, 0x7f, (size_t)(q->tile.n_r * q->shape.dim) * sizeof(float));
    memset(q->d_c, 0x7f, (size_t)(q->tile.n_c * q->shape.dim) * sizeof(float));
    tess_encoder_forward(&encoder, &perturbations, q->component, q->p);
    tess_tile_train(&mlp, &tile, &q->dropout, &q->work, &grad);
    tess_encoder_backward(&encoder, &perturbations, q->component, q->d_p, q->n_component,
                          q->d_component);
    q->loss = grad.loss;
    q->n_measured = grad.n_measured;
}

static void train(struct problem *q)
{
    train_by(q, q->n_dense);
}

static void compare(const struct problem *q, const char *key, int64_t n, const float *got)
{
    double *want = reference_doubles(q->json, key), error;

    assert_int_equal(n, json_array_size(json_object_get(q->json, key)));
    error = reference_error(n, got, want, 1e-3);
    if (error > q->tolerance)
        fail_msg("kind %d, D %d, H %d, L %d, rule %d, dropout %g, %d readouts, %d dense blocks: %s "
                 "differs from PyTorch's by %.3g of its largest entry",
                 q->shape.kind, q->shape.dim, q->shape.hidden, q->shape.layers, q->rule,
                 q->dropout.rate, q->tile.n_r, q->n_dense, key, error);
    tess_free(want);
}

static void compare_all(const struct problem *q)
{
    double loss = reference_number(q->json, "loss");

    assert_true(fabs(q->loss - loss) <= q->tolerance * loss);
    assert_int_equal(q->n_measured, reference_int(q->json, "n_measured"));
    compare(q, "d_mlp", q->n_mlp, q->d_mlp);
    compare(q, "d_component", q->n_component * q->shape.dim, q->d_component);
    compare(q, "d_r", q->tile.n_r * q->shape.dim, q->d_r);
    compare(q, "d_c", q->tile.n_c * q->shape.dim, q->d_c);
}

/* The last block's outputs are still there. */
static void compare_outputs(const struct problem *q)
{
    double *out = reference_doubles(q->json, "out");
    int64_t rows = tess_tile_rows(&q->work, q->tile.n), last = (q->tile.n - 1) / rows * rows;

    assert_true(reference_error(q->tile.n - last, q->work.out, out + last, 0.1) < q->tolerance);
    tess_free(out);
}

static void tile__gradients_are_pytorchs(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;

        problem_init(&q, json_array_get(all, i));
        for (int k = 0; k < 4; k++) {
            train_by(&q, k % 2 ? 0 : q.n_dense); /* a used workspace gives the same */
            compare_all(&q);
        }
        if (q.shape.kind == TESS_KIND_MLP)
            compare_outputs(&q);
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
        /* With one readout there are other left and right rows. */
        if (q.tile.n_r == 1 || q.shape.kind != TESS_KIND_MLP) {
            problem_release(&q);
            continue;
        }
        train(&q); /* leaves the projected rows */
        mlp_of(&q, &mlp);
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
            assert_true(reference_error(q.tile.n, out, want, 0.1) < q.tolerance);
        tess_free(out);
        tess_free(left);
        tess_free(right);
        tess_free(want);
        problem_release(&q);
    }
    json_decref(all);
}

/* Parameters of the output for the noise, which come last and are no part of the loss. */
static int noise_of(struct tess_shape shape)
{
    return shape.noise ? tess_shape_width(shape) + 1 + shape.factors : 0;
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
            fail_msg("kind %d, D %d, H %d, L %d, rule %d, dropout %g: the difference by %s, entry "
                     "%lld, is off by %.3g of the largest",
                     q->shape.kind, q->shape.dim, q->shape.hidden, q->shape.layers, q->rule,
                     q->dropout.rate, what, (long long)i, error / (double)largest);
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
        if (q.packed) { /* a step function */
            problem_release(&q);
            continue;
        }
        train(&q);
        check_differences(&q, "the MLP", q.n_mlp - noise_of(q.shape), q.parameter, q.d_mlp);
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
        struct tess_mlp mlp;
        float *at[6];
        int first = 0; /* measured observation */

        problem_init(&q, json_array_get(all, i));
        while (isnan(q.y[first]))
            first++;
        tess_mlp_point(&mlp, q.shape, q.parameter);
        at[0] = &q.component[q.member[q.member_first[q.tile.u_p[q.tile.u[first]]]] * q.shape.dim];
        at[1] = &q.c[q.tile.u_c[q.tile.u[first]] * q.shape.dim];
        at[2] = q.shape.right == TESS_TABLE_C ? at[1] : &q.r[q.tile.v[first] * q.shape.dim];
        at[3] = mlp.wp;
        at[4] = q.shape.kind == TESS_KIND_CP ? mlp.wg : mlp.b1;
        at[5] = &q.parameter[q.n_mlp - noise_of(q.shape) - 1];
        /* The one NaN unit may be dropped. */
        for (size_t k = 0; k < (q.tile.n < 20 || q.dropout.rate > 0 ? 0 : 6); k++) {
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

static void assert_nothing(const struct problem *q)
{
    assert_true(q->loss == 0 && q->n_measured == 0);
    for (int64_t i = 0; i < q->n_mlp; i++)
        assert_true(q->d_mlp[i] == 0);
    for (int64_t i = 0; i < q->n_component * q->shape.dim; i++)
        assert_true(q->d_component[i] == 0);
    for (int64_t i = 0; i < q->tile.n_r * q->shape.dim; i++)
        assert_true(q->d_r[i] == 0);
    for (int64_t i = 0; i < q->tile.n_c * q->shape.dim; i++)
        assert_true(q->d_c[i] == 0);
}

/* Targets that are all NaN: nothing is added to anything. Nor is it without any observation, or any
 * row. */
static void tile__unmeasured_counts_nothing(void **state)
{
    json_t *all = reference_load("gradients.json");

    (void)state;
    for (size_t i = 0; i < json_array_size(all); i++) {
        struct problem q;

        problem_init(&q, json_array_get(all, i));
        for (int64_t k = 0; k < q.tile.n; k++)
            q.y[k] = NAN;
        train(&q);
        assert_nothing(&q);
        q.tile.n = 0;
        train_by(&q, 0);
        assert_nothing(&q);
        q.tile.n_u = q.tile.n_p = q.tile.n_r = q.tile.n_c = 0;
        q.n_p = q.n_component = 0;
        train_by(&q, 0);
        assert_nothing(&q);
        problem_release(&q);
    }
    json_decref(all);
}

static float *made_up(int64_t n, uint64_t which)
{
    struct tess_random stream = tess_random_stream(3, TESS_RANDOM_TEST, which);
    float *x = TESS_NEW(float, n);

    for (int64_t i = 0; i < n; i++)
        x[i] = (float)tess_random_normal(stream, (uint64_t)i);
    return x;
}

/* One dense block of E × T, columns and right rows in mixed order, with made-up numbers. */
static void large_init(struct problem *q, int kind, int E, int T)
{
    int32_t *u = TESS_NEW(int32_t, E * T), *v = TESS_NEW(int32_t, E * T), *column;
    int32_t *u_p = TESS_NEW(int32_t, E), *u_c = TESS_NEW(int32_t, E);
    static const int64_t one_each[] = {0, 1, 2, 3, 4};
    struct tess_config config;

    tess_config_init(&config);
    config.model.kind = kind;
    config.model.embedding_dim = 3;
    config.model.hidden_dim = 5;
    *q = (struct problem){.shape = tess_shape_of(&config, T), .n_component = 4, .n_p = 4};
    q->n_mlp = tess_shape_size(q->shape);
    q->parameter = made_up(q->n_mlp, 1);
    q->component = made_up(12, 2);
    q->r = made_up(3 * T, 3);
    q->c = made_up(6, 4);
    q->y = made_up(E * T, 5);
    q->p = TESS_NEW(float, 12);
    q->member_first = memcpy(TESS_NEW(int64_t, 5), one_each, sizeof one_each);
    q->member = memcpy(TESS_NEW(int64_t, 4), one_each, 4 * sizeof one_each[0]);
    column = TESS_NEW(int32_t, T);
    for (int t = 0; t < T; t++)
        column[t] = (int32_t)(13L * t % T);
    for (int e = 0; e < E; e++) {
        u_p[e] = e * 7 % 4;
        u_c[e] = e * 5 % 2;
    }
    for (int i = 0; i < E * T; i++) {
        u[i] = i / T;
        v[i] = (int32_t)(11L * (i % T) % T);
        q->y[i] = i % 5 == 3 ? NAN : q->y[i];
    }
    q->tile = (struct tess_tile){E * T, u,    v, q->y, 4,   T, 2,    q->p,
                                 q->r,  q->c, E, u_p,  u_c, 0, NULL, NULL};
    q->n_dense = 1;
    block_init(&q->block[0], E, T, column);
    make_room(q);
}

static void same(const char *what, int64_t n, const float *got, const float *want)
{
    double *wide = TESS_NEW(double, n), error;

    for (int64_t i = 0; i < n; i++)
        wide[i] = (double)want[i];
    error = reference_error(n, got, wide, 1e-3);
    if (error > 1e-4)
        fail_msg("%s: a block's gradients and those of its pairs are %.3g of the largest apart",
                 what, error);
    tess_free(wide);
}

/* Blocks that are too large to be worked on at once, and such of which a row is: the same as pair
 * by pair, but for rounding. */
static void tile__large_blocks_are_pairs(void **state)
{
    static const int size[][2] = {{40, 5000}, {7, 65536}, {3, 70000}, {300, 219}};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof size / sizeof size[0]; i++) {
        struct problem pairs, block;
        int kind = i % 2 ? TESS_KIND_CP : TESS_KIND_DOT, E = size[i / 2][0], T = size[i / 2][1];

        large_init(&pairs, kind, E, T);
        large_init(&block, kind, E, T);
        train_by(&pairs, 0);
        train_by(&block, 1);
        assert_int_equal(block.n_measured, pairs.n_measured);
        assert_true(fabs(block.loss - pairs.loss) <= 1e-5 * pairs.loss);
        same("network", block.n_mlp, block.d_mlp, pairs.d_mlp);
        same("components", 12, block.d_component, pairs.d_component);
        same("readouts", 3L * T, block.d_r, pairs.d_r);
        same("contexts", 6, block.d_c, pairs.d_c);
        problem_release(&pairs);
        problem_release(&block);
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
        cmocka_unit_test(tile__large_blocks_are_pairs),
    };

    openblas_set_num_threads(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tess_unit_use(TESS_UNIT_SGEMM); /* in the place of the processor's unit, if it has one */
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
