/* predictor.c -- predictions against the training's forward pass and plain double arithmetic, and
 * to the bit whatever else is asked for with them, with whichever kernels of the BLAS. */
#include "tessera/predictor.h"

#include "tessera/alloc.h"
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
#define MOST 100 /* readouts */

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

static void make_model(int layers)
{
    int64_t n;

    model.shape = (struct tess_shape){.dim = D, .hidden = layers ? H : 0, .layers = layers};
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
}

static double plain_hidden(int row, int readout, int h)
{
    double z = (double)model.mlp.b1[h];

    for (int d = 0; d < D; d++)
        z += (double)model.mlp.wp[h * D + d] * (double)model.p[row * D + d] +
             (double)model.mlp.wr[h * D + d] * (double)model.r[readout * D + d] +
             (double)model.mlp.wc[h * D + d] * (double)model.c[model.context[row] * D + d];
    return z;
}

/* The network in double precision, straight from its definition. */
static double plain(int row, int readout)
{
    double a[H], next[H], out = 0;

    if (model.shape.layers == 0)
        return plain_hidden(row, readout, 0);
    for (int h = 0; h < H; h++)
        a[h] = fmax(0, plain_hidden(row, readout, h));
    for (int l = 1; l < model.shape.layers; l++) {
        for (int h = 0; h < H; h++) {
            next[h] = (double)model.mlp.b[(l - 1) * H + h];
            for (int k = 0; k < H; k++)
                next[h] += (double)model.mlp.w[((l - 1) * H + h) * H + k] * a[k];
        }
        for (int h = 0; h < H; h++)
            a[h] = fmax(0, next[h]);
    }
    for (int h = 0; h < H; h++)
        out += (double)model.mlp.wo[h] * a[h];
    return out + (double)model.mlp.bo[0];
}

/* All rows and readouts at once. */
static float *predict_all(struct tess_predictor *predictor, int n_readouts)
{
    float *out = TESS_NEW(float, ROWS *n_readouts);
    int64_t readout[MOST];

    for (int k = 0; k < n_readouts; k++)
        readout[k] = k;
    tess_predictor_init(predictor, model.shape, &model.mlp,
                        (struct tess_embeddings){n_readouts, model.r},
                        (struct tess_embeddings){C, model.c});
    tess_predictor_run(predictor,
                       &(struct tess_predict_rows){ROWS, model.p, model.number, model.context},
                       n_readouts, readout, out);
    return out;
}

/* The forward pass of training, over the same pairs, gives the same to rounding. */
static void compare_with_tile(int n_readouts, const float *out)
{
    int n_u = 8;
    int32_t u_p[8], u_c[8], *u = TESS_NEW(int32_t, n_u * n_readouts);
    int32_t *v = TESS_NEW(int32_t, n_u * n_readouts);
    float *y = TESS_NEW(float, n_u *n_readouts), *d = TESS_NEW(float, (ROWS + MOST + C) * D);
    float *gradient = TESS_NEW(float, tess_shape_size(model.shape));
    struct tess_tile_grad grad = {.dp = d, .dr = d + ROWS * D, .dc = d + (ROWS + MOST) * D};
    struct tess_workspace work;
    double size = 0;

    for (int i = 0; i < n_u; i++) {
        u_p[i] = i * 70 + 3;
        u_c[i] = (int32_t)model.context[u_p[i]];
        for (int k = 0; k < n_readouts; k++) {
            u[i * n_readouts + k] = i;
            v[i * n_readouts + k] = k;
            y[i * n_readouts + k] = out[u_p[i] * n_readouts + k];
            size += (double)y[i * n_readouts + k] * (double)y[i * n_readouts + k];
        }
    }
    tess_mlp_point(&grad.mlp, model.shape, gradient);
    tess_workspace_init(&work, model.shape);
    tess_tile_train(&model.mlp,
                    &(struct tess_tile){.n = n_u * n_readouts,
                                        .u = u,
                                        .v = v,
                                        .y = y,
                                        .n_p = ROWS,
                                        .n_r = n_readouts,
                                        .n_c = C,
                                        .p = model.p,
                                        .r = model.r,
                                        .c = model.c,
                                        .n_u = n_u,
                                        .u_p = u_p,
                                        .u_c = u_c},
                    NULL, &work, &grad);
    assert_int_equal(grad.n_measured, n_u * n_readouts);
    assert_true(size > 0 && grad.loss < 1e-10 * size);
    tess_workspace_release(&work);
    tess_free(u);
    tess_free(v);
    tess_free(y);
    tess_free(d);
    tess_free(gradient);
}

static void predictor__is_the_network(void **state)
{
    static const int readouts[] = {1, 7, 40, 100};

    (void)state;
    for (int layers = 0; layers <= 3; layers++)
        for (int k = 0; k < 4; k++) {
            struct tess_predictor predictor;
            float *out;

            make_model(layers);
            out = predict_all(&predictor, readouts[k]);
            for (int i = 0; i < ROWS; i += 23)
                for (int r = 0; r < readouts[k]; r++) {
                    double want = plain(i, r);

                    assert_true(fabs((double)out[i * readouts[k] + r] - want) <
                                1e-5 * fmax(1, fabs(want)));
                }
            compare_with_tile(readouts[k], out);
            tess_predictor_release(&predictor);
            tess_predictor_release(&predictor);
            tess_free(out);
        }
}

/* Some rows and readouts, drawn with repeats, in any order. */
static void ask(const struct tess_predictor *predictor, int n_readouts, const float *all)
{
    int64_t n = 1 + below(below(2) ? ROWS : 9), m = 1 + below(n_readouts);
    int64_t *row = TESS_NEW(int64_t, n), *number = TESS_NEW(int64_t, n);
    int64_t *context = TESS_NEW(int64_t, n), *readout = TESS_NEW(int64_t, m);
    float *p = TESS_NEW(float, n *D), *out = TESS_NEW(float, n *m);
    int64_t different = 0;

    for (int64_t i = 0; i < n; i++) {
        row[i] = below(ROWS);
        number[i] = model.number[row[i]];
        context[i] = model.context[row[i]];
        memcpy(p + i * D, model.p + row[i] * D, D * sizeof *p);
    }
    for (int64_t k = 0; k < m; k++)
        readout[k] = below(n_readouts);
    tess_predictor_run(predictor, &(struct tess_predict_rows){n, p, number, context}, m, readout,
                       out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m; k++)
            different +=
                memcmp(&out[i * m + k], &all[row[i] * n_readouts + readout[k]], sizeof(float)) != 0;
    if (different)
        fail_msg("%s kernels, %d layers, %d readouts: %lld of %lld x %lld predictions have other "
                 "bits than when all are asked for",
                 openblas_get_corename(), model.shape.layers, n_readouts, (long long)different,
                 (long long)n, (long long)m);
    tess_free(row);
    tess_free(number);
    tess_free(context);
    tess_free(readout);
    tess_free(p);
    tess_free(out);
}

static void predictor__same_bits_for_any_selection(void **state)
{
    static const int readouts[] = {1, 7, 40, 100};

    (void)state;
    for (int layers = 0; layers <= 3; layers++)
        for (int k = 0; k < 4; k++) {
            struct tess_predictor predictor;
            float *all;

            make_model(layers);
            omp_set_num_threads(1);
            all = predict_all(&predictor, readouts[k]);
            for (int i = 0; i < 12; i++) {
                omp_set_num_threads(1 + i % 2);
                ask(&predictor, readouts[k], all);
            }
            tess_predictor_release(&predictor);
            tess_free(all);
        }
}

static void predictor__nothing_asked(void **state)
{
    struct tess_predictor predictor;
    float *all;

    (void)state;
    make_model(2);
    all = predict_all(&predictor, 7);
    tess_predictor_run(&predictor, &(struct tess_predict_rows){0, NULL, NULL, NULL}, 7,
                       (int64_t[]){0, 1, 2, 3, 4, 5, 6}, NULL);
    tess_predictor_run(&predictor,
                       &(struct tess_predict_rows){1, model.p, model.number, model.context}, 0,
                       NULL, NULL);
    tess_predictor_release(&predictor);
    tess_free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predictor__is_the_network),
        cmocka_unit_test(predictor__same_bits_for_any_selection),
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
