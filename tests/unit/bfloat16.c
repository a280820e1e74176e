/* bfloat16.c -- rounding, and products by the processor's unit and by sgemm, against sums in
 * double. */
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/config.h"
#include "tessera/random.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static float as_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint16_t rounded(float x)
{
    uint16_t out;

    tess_bfloat16_round(1, &x, &out);
    return out;
}

static double value_of(uint16_t x)
{
    return (double)as_float((uint32_t)x << 16);
}

/* Of the two neighbours of each number the nearer one, of two as near the even one. */
static void bfloat16__rounds_to_nearest_even(void **state)
{
    static const uint32_t lower[] = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};

    (void)state;
    for (uint32_t upper = 0; upper < 0x10000; upper++)
        for (int i = 0; i < 6; i++) {
            float x = as_float(upper << 16 | lower[i]);
            uint16_t got = rounded(x), up = (uint16_t)(upper + 1);

            if (isnan(x)) {
                assert_true(isnan(value_of(got)));
            } else if (lower[i] < 0x8000 || (lower[i] == 0x8000 && upper % 2 == 0)) {
                assert_int_equal(got, upper);
            } else {
                assert_int_equal(got, up);
            }
        }
    assert_true(isinf(value_of(rounded(3.4e38f))));
}

static void bfloat16__widens_what_it_rounded(void **state)
{
    float wide[65536];
    uint16_t all[65536], back[65536];

    (void)state;
    for (uint32_t i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    tess_bfloat16_widen(65536, all, wide);
    tess_bfloat16_round(65536, wide, back);
    for (uint32_t i = 0; i < 65536; i++)
        assert_true(back[i] == all[i] || isnan(wide[i]));
}

/* Operands of a product of n rows and H columns, and where its result goes. */
struct product {
    int n, H;
    struct tess_packed *packed; /* two matrices */
    uint16_t *w[2], *a, *dz; /* rounded; rows filled up */
    float *out;
    struct tess_multiplier *multiplier;
};

static uint16_t *made_up(int64_t rows, int64_t filled, int64_t H, uint64_t which, float **wide)
{
    struct tess_random stream = tess_random_stream(5, TESS_RANDOM_TEST, which);
    float *x = TESS_NEW(float, filled *H);
    uint16_t *out = TESS_NEW(uint16_t, filled * H);

    for (int64_t i = 0; i < rows * H; i++)
        x[i] = (float)tess_random_normal(stream, (uint64_t)i);
    tess_bfloat16_round(rows * H, x, out);
    if (wide)
        *wide = x;
    else
        tess_free(x);
    return out;
}

static void product_init(struct product *q, int n, int H)
{
    int64_t filled = tess_bfloat16_rows(n), size = (int64_t)H * H;
    float *w[2], *both = TESS_NEW(float, 2 * size);

    *q = (struct product){.n = n, .H = H};
    q->a = made_up(n, filled, H, 1, NULL);
    q->dz = made_up(n, filled, H, 2, NULL);
    for (int i = 0; i < 2; i++) {
        q->w[i] = made_up(H, H, H, 3 + (uint64_t)i, &w[i]);
        memcpy(both + i * size, w[i], (size_t)size * sizeof *both);
        tess_free(w[i]);
    }
    q->packed = tess_packed_make(2, H);
    tess_packed_set(q->packed, both);
    q->out = TESS_NEW(float, (filled + H) * H);
    tess_free(both);
}

static void product_release(struct product *q)
{
    tess_packed_release(q->packed);
    tess_multiplier_release(q->multiplier);
    tess_free(q->w[0]);
    tess_free(q->w[1]);
    tess_free(q->a);
    tess_free(q->dz);
    tess_free(q->out);
}

static void multiply(struct product *q, int matrix, int transposed)
{
    tess_gemm(NULL, &(struct tess_gemm){.m = q->n,
                                        .n = q->H,
                                        .k = q->H,
                                        .trans_b = transposed,
                                        .c = q->out,
                                        .low = {q->a, NULL, q->packed, matrix, &q->multiplier}});
}

static void multiply_outer(struct product *q, int add)
{
    tess_gemm(NULL, &(struct tess_gemm){.m = q->H,
                                        .n = q->H,
                                        .k = q->n,
                                        .trans_a = 1,
                                        .beta = (float)add,
                                        .c = q->out,
                                        .low = {q->dz, q->a, NULL, 0, &q->multiplier}});
}

/* Sums in float32 of `terms` products of numbers of size 1. */
static void compare(const struct product *q, const char *what, int i, int k, double want, int terms)
{
    double got = (double)q->out[(int64_t)i * q->H + k];

    if (!(fabs(got - want) <= 1e-6 * sqrt(terms) * 3))
        fail_msg("%s, unit %s, n %d, H %d: entry (%d, %d) is %.9g instead of %.9g", what,
                 tess_unit_name(tess_unit()), q->n, q->H, i, k, got, want);
}

static void compare_rows(const struct product *q, int matrix, int transposed)
{
    for (int i = 0; i < q->n; i++)
        for (int k = 0; k < q->H; k++) {
            double sum = 0;

            for (int h = 0; h < q->H; h++)
                sum += value_of(q->a[i * q->H + h]) *
                       value_of(q->w[matrix][transposed ? k * q->H + h : h * q->H + k]);
            compare(q, transposed ? "forward" : "backward", i, k, sum, q->H);
        }
}

static void compare_outer(const struct product *q, int times)
{
    for (int i = 0; i < q->H; i++)
        for (int k = 0; k < q->H; k++) {
            double sum = 0;

            for (int row = 0; row < q->n; row++)
                sum += value_of(q->dz[row * q->H + i]) * value_of(q->a[row * q->H + k]);
            compare(q, "gradient", i, k, times * sum, 4 * q->n);
        }
}

static void check_products(void)
{
    static const int rows[] = {1, 31, 32, 33, 256, 300}, columns[] = {1, 7, 64, 100, 192};

    for (size_t i = 0; i < 30; i++) {
        struct product q;

        product_init(&q, rows[i % 6], columns[i / 6]);
        for (int k = 0; k < 4; k++) {
            multiply(&q, k / 2, k % 2);
            compare_rows(&q, k / 2, k % 2);
        }
        multiply_outer(&q, 0); /* over what is there */
        compare_outer(&q, 1);
        multiply_outer(&q, 1);
        compare_outer(&q, 2);
        product_release(&q);
    }
}

static void bfloat16__products_are_sums(void **state)
{
    enum tess_unit unit = tess_unit();

    (void)state;
    check_products();
    tess_unit_use(TESS_UNIT_SGEMM);
    check_products();
    tess_unit_use(unit);
}

/* A row has the same bits whatever number of threads there could be, and next to whatever rows. */
static void bfloat16__bits_do_not_depend_on_threads(void **state)
{
    struct product q;
    float *alone;

    (void)state;
    product_init(&q, 256, 192);
    omp_set_num_threads(1);
    multiply(&q, 0, 1);
    alone = TESS_NEW(float, 256 * 192);
    memcpy(alone, q.out, 256 * 192 * sizeof *alone);
    omp_set_num_threads(3);
    assert_int_equal(omp_get_max_threads(), 3);
    multiply(&q, 0, 1);
    assert_int_equal(omp_get_max_threads(), 3);
    assert_memory_equal(alone, q.out, 256 * 192 * sizeof *alone);
#pragma omp parallel num_threads(3)
    {
        struct product mine = q;

        mine.multiplier = NULL;
        mine.out = TESS_NEW(float, (256 + 192) * 192);
        multiply(&mine, 0, 1);
#pragma omp critical
        assert_memory_equal(alone, mine.out, 256 * 192 * sizeof *alone);
        tess_multiplier_release(mine.multiplier);
        tess_free(mine.out);
    }
    omp_set_num_threads(1);
    tess_free(alone);
    product_release(&q);
}

static void bfloat16__nan_is_not_swallowed(void **state)
{
    struct product q;

    (void)state;
    product_init(&q, 40, 64);
    q.a[5 * 64 + 3] = 0x7FC0;
    multiply(&q, 0, 1);
    for (int k = 0; k < 64; k++)
        assert_true(isnan(q.out[5 * 64 + k]) && !isnan(q.out[4 * 64 + k]));
    multiply_outer(&q, 0);
    for (int i = 0; i < 64; i++)
        assert_true(isnan(q.out[i * 64 + 3]) && !isnan(q.out[i * 64 + 4]));
    product_release(&q);
}

static void bfloat16__auto_is_where_the_unit_is(void **state)
{
    enum tess_unit unit = tess_unit();

    (void)state;
    assert_int_equal(tess_precision_is_low(TESS_PRECISION_AUTO), unit != TESS_UNIT_SGEMM);
    tess_unit_use(TESS_UNIT_SGEMM);
    assert_false(tess_precision_is_low(TESS_PRECISION_AUTO));
    assert_true(tess_precision_is_low(TESS_PRECISION_BFLOAT16));
    assert_false(tess_precision_is_low(TESS_PRECISION_FLOAT32));
    tess_unit_use(unit);
    assert_int_equal(tess_precision_parse(NULL), TESS_PRECISION_AUTO);
    assert_int_equal(tess_precision_parse("bfloat16"), TESS_PRECISION_BFLOAT16);
    assert_int_equal(tess_precision_parse("half"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bfloat16__rounds_to_nearest_even),
        cmocka_unit_test(bfloat16__widens_what_it_rounded),
        cmocka_unit_test(bfloat16__products_are_sums),
        cmocka_unit_test(bfloat16__bits_do_not_depend_on_threads),
        cmocka_unit_test(bfloat16__nan_is_not_swallowed),
        cmocka_unit_test(bfloat16__auto_is_where_the_unit_is),
    };

    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
