/* predictor.c -- predictions against the training's forward pass and plain double arithmetic, and
 * to the bit whatever else is asked for with them, with whichever kernels of the BLAS. */
#include "tessera/predictor.h"

#include "tessera/bfloat16.h"
#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/random.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <cmocka.h>

#define D    7
#define H    37
#define ROWS 600 /* more than twice the slots */
#define C    5
#define MOST 600 /* readouts */

static struct {
    struct tess_shape shape;
    struct tess_mlp mlp;
    float *parameter;
    float p[ROWS * D], r[MOST * D], c[C * D];
    int64_t number[ROWS], context[ROWS];
} model;

static uint64_t drawn;

static float normal(void)
{
    return (float)tess_random_normal(tess_random_stream(5, TESS_RANDOM_TEST, 1), drawn++);
}

static int64_t below(int64_t n)
{
    return tess_random_below(tess_random_stream(5, TESS_RANDOM_TEST, 2), drawn++, n);
}

static void make_model(int kind, int layers, int n_readouts)
{
    struct tess_config config;
    int64_t n;

    tess_config_init(&config);
    config.model.kind = kind;
    config.model.embedding_dim = D;
    config.model.hidden_dim = H;
    config.model.layers = layers;
    config.model.activation = n_readouts % 2 ? TESS_ACTIVATION_SILU : TESS_ACTIVATION_RELU;
    model.shape = tess_shape_of(&config, n_readouts);
    n = tess_shape_size(model.shape);
    tess_free(model.parameter);
    model.parameter = TESS_NEW(float, n);
    tess_mlp_point(&model.mlp, model.shape, model.parameter);
    for (int64_t i = 0; i < n; i++)
        model.parameter[i] = 0.3f * normal();
    for (int i = 0; i < ROWS * D; i++)
        model.p[i] = normal();
    for (int i = 0; i < MOST * D; i++)
        model.r[i] = normal();
    for (int i = 0; i < C * D; i++)
        model.c[i] = normal();
    for (int i = 0; i < ROWS; i++) { /* sums of members' numbers: repeated, up to large ones */
        model.number[i] = i % 7 ? i / 2 : below((int64_t)1 << 40);
        model.context[i] = below(C);
    }
    for (int i = 3; i < ROWS; i += 3) { /* one perturbation again, in whatever context */
        model.number[i] = model.number[i - 3];
        memcpy(model.p + i * D, model.p + (i - 3) * D, D * sizeof *model.p);
    }
}

static double dot(int n, const float *x, const float *y)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

/* Unit h of the first layer, before the activation. */
static double plain_hidden(int row, int readout, int h)
{
    const float *p = model.p + row * D, *c = model.c + model.context[row] * D;
    const struct tess_mlp *mlp = &model.mlp;
    double z = dot(D, mlp->wp + h * D, p);

    if (model.shape.kind == TESS_KIND_CP)
        return z * (1 + dot(D, mlp->wg + h * D, c)) + dot(D, mlp->wc + h * D, c);
    z += (double)mlp->b1[h];
    if (model.shape.right != TESS_TABLE_C)
        z += dot(D, mlp->wc + h * D, c);
    return model.shape.kind == TESS_KIND_MLP ? z + dot(D, mlp->wr + h * D, model.r + readout * D)
                                             : z;
}

static double activation(double z)
{
    if (model.shape.silu)
        return z / (1 + exp(-z));
    return model.shape.kind == TESS_KIND_CP ? z : fmax(0, z);
}

/* Outputs of the layers, as many as the kind has, in double precision. */
static void plain_outputs(int row, int readout, int n, double *out)
{
    double a[H], next[H];

    for (int k = 0; k < n && model.shape.layers == 0; k++)
        out[k] = plain_hidden(row, readout, k);
    if (model.shape.layers == 0)
        return;
    for (int h = 0; h < H; h++)
        a[h] = activation(plain_hidden(row, readout, h));
    for (int l = 1; l < model.shape.layers; l++) {
        for (int h = 0; h < H; h++) {
            next[h] = (double)model.mlp.b[(l - 1) * H + h];
            for (int k = 0; k < H; k++)
                next[h] += (double)model.mlp.w[((l - 1) * H + h) * H + k] * a[k];
        }
        for (int h = 0; h < H; h++)
            a[h] = activation(next[h]);
    }
    for (int k = 0; k < n; k++) {
        out[k] = (double)model.mlp.bo[k];
        for (int h = 0; h < H; h++)
            out[k] += (double)model.mlp.wo[k * H + h] * a[h];
    }
}

/* The model in double precision, straight from its definition (network.h). */
static double plain(int row, int readout)
{
    const float *right = model.shape.right == TESS_TABLE_C ? model.c + model.context[row] * D
                                                           : model.r + readout * D;
    double out[D], sum = 0;

    if (model.shape.kind == TESS_KIND_MLP) {
        plain_outputs(row, readout, 1, out);
        return out[0];
    }
    plain_outputs(row, readout, D, out);
    for (int k = 0; k < D; k++)
        sum += out[k] * (double)right[k];
    return sum / sqrt(D);
}

/* All rows and readouts at once. */
static float *predict_all(struct tess_predictor *predictor, int n_readouts)
{
    float *out = TESS_NEW(float, ROWS *n_readouts);
    int64_t readout[MOST];

    for (int k = 0; k < n_readouts; k++)
        readout[k] = k;
    tess_predictor_init(predictor, model.shape, &model.mlp, 0,
                        (struct tess_embeddings){n_readouts, model.r},
                        (struct tess_embeddings){C, model.c});
    tess_predictor_run(predictor,
                       &(struct tess_predict_rows){ROWS, model.p, model.number, model.context},
                       n_readouts, readout, out, NULL);
    return out;
}

/* Loss of the forward pass of training against the outputs of eight rows: by pairs, or as one dense
 * block. */
static double loss_of_tile(int n_readouts, const float *out, int n_dense)
{
    enum { N = 8 };
    int32_t u_p[N], u_c[N], left[N], *u = TESS_NEW(int32_t, N * n_readouts);
    int32_t *v = TESS_NEW(int32_t, N * n_readouts);
    const float *row[N];
    float *y = TESS_NEW(float, N *n_readouts), *d = TESS_NEW(float, (ROWS + MOST + C) * D);
    float *gradient = TESS_NEW(float, tess_shape_size(model.shape));
    struct tess_tile_grad grad = {.dp = d, .dr = d + ROWS * D, .dc = d + (ROWS + MOST) * D};
    struct tess_dense dense = {N, n_readouts, left, v, row, NULL};
    struct tess_workspace work;

    for (int i = 0; i < N; i++) {
        u_p[i] = i * 70 + 3;
        u_c[i] = (int32_t)model.context[u_p[i]];
        left[i] = i;
        row[i] = y + i * n_readouts;
        for (int k = 0; k < n_readouts; k++) {
            u[i * n_readouts + k] = i;
            v[i * n_readouts + k] = k;
            y[i * n_readouts + k] = out[u_p[i] * n_readouts + k];
        }
    }
    tess_mlp_point(&grad.mlp, model.shape, gradient);
    tess_workspace_init(&work, model.shape);
    tess_tile_train(&model.mlp,
                    &(struct tess_tile){.n = N * n_readouts,
                                        .u = u,
                                        .v = v,
                                        .y = y,
                                        .n_p = ROWS,
                                        .n_r = n_readouts,
                                        .n_c = C,
                                        .p = model.p,
                                        .r = model.r,
                                        .c = model.c,
                                        .n_u = N,
                                        .u_p = u_p,
                                        .u_c = u_c,
                                        .n_dense = n_dense,
                                        .dense = &dense},
                    NULL, &work, &grad);
    assert_int_equal(grad.n_measured, N * n_readouts);
    tess_workspace_release(&work);
    tess_free(u);
    tess_free(v);
    tess_free(y);
    tess_free(d);
    tess_free(gradient);
    return grad.loss;
}

/* The forward pass of training, over the same pairs, gives the same to rounding. */
static void compare_with_tile(int n_readouts, const float *out)
{
    double size = 0;

    for (int i = 0; i < 8; i++)
        size += dot(n_readouts, out + (i * 70 + 3) * n_readouts, out + (i * 70 + 3) * n_readouts);
    assert_true(size > 0 && loss_of_tile(n_readouts, out, 0) < 1e-10 * size);
    if (model.shape.kind != TESS_KIND_MLP && model.shape.right == TESS_TABLE_R)
        assert_true(loss_of_tile(n_readouts, out, 1) < 1e-10 * size);
}

/* Kinds, layers, readouts: one for a single readout, more than a block's, not a multiple of it. */
static const struct {
    int kind, layers, readouts;
} cases[] = {
    {TESS_KIND_MLP, 0, 1},   {TESS_KIND_MLP, 0, 7},   {TESS_KIND_MLP, 0, 40},
    {TESS_KIND_MLP, 0, 100}, {TESS_KIND_MLP, 1, 1},   {TESS_KIND_MLP, 1, 7},
    {TESS_KIND_MLP, 1, 40},  {TESS_KIND_MLP, 1, 100}, {TESS_KIND_MLP, 2, 1},
    {TESS_KIND_MLP, 2, 7},   {TESS_KIND_MLP, 2, 40},  {TESS_KIND_MLP, 2, 100},
    {TESS_KIND_MLP, 3, 1},   {TESS_KIND_MLP, 3, 7},   {TESS_KIND_MLP, 3, 40},
    {TESS_KIND_MLP, 3, 100}, {TESS_KIND_DOT, 0, 1},   {TESS_KIND_DOT, 0, 7},
    {TESS_KIND_DOT, 0, 300}, {TESS_KIND_DOT, 1, 1},   {TESS_KIND_DOT, 1, 7},
    {TESS_KIND_DOT, 1, 300}, {TESS_KIND_DOT, 2, 1},   {TESS_KIND_DOT, 2, 256},
    {TESS_KIND_DOT, 2, 600}, {TESS_KIND_DOT, 3, 1},   {TESS_KIND_DOT, 3, 40},
    {TESS_KIND_CP, 1, 1},    {TESS_KIND_CP, 1, 7},    {TESS_KIND_CP, 1, 300},
};
#define CASES ((int)(sizeof cases / sizeof cases[0]))

static void predictor__is_the_network(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; k++) {
        int n_readouts = cases[k].readouts;
        struct tess_predictor predictor;
        float *out;

        make_model(cases[k].kind, cases[k].layers, n_readouts);
        out = predict_all(&predictor, n_readouts);
        for (int i = 0; i < ROWS; i += 23)
            for (int r = 0; r < n_readouts; r++) {
                double want = plain(i, r);

                assert_true(fabs((double)out[i * n_readouts + r] - want) <
                            1e-5 * fmax(1, fabs(want)));
            }
        compare_with_tile(n_readouts, out);
        tess_predictor_release(&predictor);
        tess_predictor_release(&predictor);
        tess_free(out);
    }
}

/* Some rows and readouts, drawn with repeats, in any order. */
struct asked {
    int64_t n, m, *row, *number, *context, *readout;
    float *p, *out; /* (n, D), (n, m) */
};

static void asked_init(struct asked *q, const struct tess_predictor *predictor)
{
    int64_t n = 1 + below(below(2) ? ROWS : 9), m = 1 + below(predictor->n_readouts);

    *q = (struct asked){n,
                        m,
                        TESS_NEW(int64_t, n),
                        TESS_NEW(int64_t, n),
                        TESS_NEW(int64_t, n),
                        TESS_NEW(int64_t, m),
                        TESS_NEW(float, n *D),
                        TESS_NEW(float, n *m)};
    for (int64_t i = 0; i < n; i++) {
        q->row[i] = below(ROWS);
        q->number[i] = model.number[q->row[i]];
        q->context[i] = model.context[q->row[i]];
        memcpy(q->p + i * D, model.p + q->row[i] * D, D * sizeof *q->p);
    }
    for (int64_t k = 0, side_by_side = below(2); k < m; k++) {
        q->readout[k] = below(predictor->n_readouts);
        if (side_by_side && k % 50 > 0 && q->readout[k - 1] + 1 < predictor->n_readouts)
            q->readout[k] = q->readout[k - 1] + 1;
    }
    tess_predictor_run(predictor, &(struct tess_predict_rows){n, q->p, q->number, q->context}, m,
                       q->readout, q->out, NULL);
}

static void asked_release(struct asked *q)
{
    tess_free(q->row);
    tess_free(q->number);
    tess_free(q->context);
    tess_free(q->readout);
    tess_free(q->p);
    tess_free(q->out);
}

static void ask(const struct tess_predictor *predictor, const float *all)
{
    int64_t different = 0, n_readouts = predictor->n_readouts;
    struct asked q;

    asked_init(&q, predictor);
    for (int64_t i = 0; i < q.n; i++)
        for (int64_t k = 0; k < q.m; k++)
            different += memcmp(&q.out[i * q.m + k], &all[q.row[i] * n_readouts + q.readout[k]],
                                sizeof(float)) != 0;
    if (different)
        fail_msg("%s kernels, kind %d, %d layers, %lld readouts, %d threads: %lld of %lld x %lld "
                 "predictions have other bits than when all are asked for",
                 openblas_get_corename(), model.shape.kind, model.shape.layers,
                 (long long)n_readouts, omp_get_max_threads(), (long long)different, (long long)q.n,
                 (long long)q.m);
    asked_release(&q);
}

/* Rows with readouts of their own, from none to all of them, drawn with repeats: the same bits. */
static void ask_lists(const struct tess_predictor *predictor, const float *all)
{
    int64_t n_readouts = predictor->n_readouts, most = below(2) ? 3 : n_readouts + 1;
    int64_t *first, *readout, different = 0;
    struct asked q;
    float *out;

    asked_init(&q, predictor);
    first = TESS_NEW(int64_t, q.n + 1);
    readout = TESS_NEW(int64_t, q.n * (n_readouts + 3));
    out = TESS_NEW(float, q.n *(n_readouts + 3));
    for (int64_t i = 0; i < q.n; i++) {
        first[i + 1] = first[i] + below(most);
        for (int64_t k = first[i]; k < first[i + 1]; k++)
            readout[k] = below(n_readouts);
    }
    tess_predictor_run_lists(predictor, &(struct tess_predict_rows){q.n, q.p, q.number, q.context},
                             &(struct tess_predict_lists){first, readout}, out, NULL);
    for (int64_t i = 0; i < q.n; i++)
        for (int64_t k = first[i]; k < first[i + 1]; k++)
            different +=
                memcmp(&out[k], &all[q.row[i] * n_readouts + readout[k]], sizeof(float)) != 0;
    if (different)
        fail_msg("%s kernels, kind %d, %lld readouts: %lld of %lld listed predictions have other "
                 "bits than when all are asked for",
                 openblas_get_corename(), model.shape.kind, (long long)n_readouts,
                 (long long)different, (long long)first[q.n]);
    tess_free(first);
    tess_free(readout);
    tess_free(out);
    asked_release(&q);
}

static void predictor__same_bits_for_any_selection(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; k++) {
        struct tess_predictor predictor;
        size_t size = (size_t)(ROWS * cases[k].readouts) * sizeof(float);
        float *all, *again;

        make_model(cases[k].kind, cases[k].layers, cases[k].readouts);
        omp_set_num_threads(1);
        all = predict_all(&predictor, cases[k].readouts);
        for (int threads = 1; threads <= 3; threads++) {
            tess_predictor_release(&predictor);
            omp_set_num_threads(threads); /* a predictor has as many as there are when it begins */
            again = predict_all(&predictor, cases[k].readouts);
            assert_memory_equal(all, again, size);
            for (int i = 0; i < 4; i++) {
                ask(&predictor, all);
                ask_lists(&predictor, all);
            }
            tess_free(again);
        }
        tess_predictor_release(&predictor);
        tess_free(all);
    }
    omp_set_num_threads(1);
}

/* Outputs in the store's units: shift + scale (center + spread · output) of the row's context. */
static void predictor__undoes_the_scaling(void **state)
{
    (void)state;
    for (int k = 0; k < CASES; k++) {
        int64_t n = cases[k].readouts;
        struct tess_scaling scaling = {n, TESS_NEW(float, C *n), TESS_NEW(float, C *n), 0.5f, 3};
        struct tess_predictor predictor;
        float *all;
        struct asked q;

        make_model(cases[k].kind, cases[k].layers, cases[k].readouts);
        for (int64_t i = 0; i < C * n; i++) {
            scaling.shift[i] = normal();
            scaling.scale[i] = fabsf(normal()) + 0.1f;
        }
        all = predict_all(&predictor, cases[k].readouts);
        predictor.scaling = &scaling;
        asked_init(&q, &predictor);
        for (int64_t i = 0; i < q.n; i++)
            for (int64_t m = 0; m < q.m; m++) {
                int64_t at = q.context[i] * n + q.readout[m];
                double out = (double)all[q.row[i] * n + q.readout[m]];
                double want =
                    (double)scaling.shift[at] + (double)scaling.scale[at] * (0.5 + 3 * out);

                assert_true(fabs((double)q.out[i * q.m + m] - want) <= 1e-5 * fmax(1, fabs(want)));
            }
        asked_release(&q);
        tess_predictor_release(&predictor);
        tess_scaling_release(&scaling);
        tess_free(all);
    }
}

static void predictor__nothing_asked(void **state)
{
    (void)state;
    for (int kind = TESS_KIND_MLP; kind <= TESS_KIND_CP; kind++)
        for (int n_readouts = 1; n_readouts <= 7; n_readouts += 6) {
            struct tess_predictor predictor;
            float *all;

            make_model(kind, 2, n_readouts);
            all = predict_all(&predictor, n_readouts);
            tess_predictor_run(&predictor, &(struct tess_predict_rows){0, NULL, NULL, NULL},
                               n_readouts, (int64_t[]){0, 1, 2, 3, 4, 5, 6}, NULL, NULL);
            tess_predictor_run(&predictor,
                               &(struct tess_predict_rows){1, model.p, model.number, model.context},
                               0, NULL, NULL, NULL);
            tess_predictor_release(&predictor);
            tess_free(all);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictor__is_the_network),
        cmocka_unit_test(predictor__same_bits_for_any_selection),
        cmocka_unit_test(predictor__undoes_the_scaling),
        cmocka_unit_test(predictor__nothing_asked),
    };
    const char *core = getenv("OPENBLAS_CORETYPE");
    int failed;

#if defined(__x86_64__)
    if (core && (strcasecmp(core, "SKYLAKEX") == 0 ? !__builtin_cpu_supports("avx512vl")
                                                   : !__builtin_cpu_supports("avx2"))) {
        printf("skipped: this processor does not run %s kernels\n", core);
        return 77;
    }
#endif
    openblas_set_num_threads(1);
    if (core && strcasecmp(openblas_get_corename(), core) != 0) {
        printf("skipped: this BLAS has no %s kernels\n", core);
        return 77;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tess_free(model.parameter);
    return failed;
}
