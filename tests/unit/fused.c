/* fused.c -- the random numbers of dropout against Random123, silu against the C library. */
#include "kernel/fused.h"

#include <Random123/philox.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

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

/* In double; what is far below 1 beside the float's own precision. */
static void near(float x, double expected)
{
    if (fabs((double)x - expected) > 4e-7 * fabs(expected) + 1e-36)
        fail_msg("%.9g instead of %.9g", (double)x, expected);
}

static void fused__silu_and_its_slope(void **state)
{
    enum { N = 4001 };
    static float a[N], alone[N], slope[N], bias[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        bias[i] = 0.25f;
        a[i] = alone[i] = (float)(i - N / 2) * (i % 2 ? 0.04f : 0.001f);
    }
    tess_fused_silu(1, N, bias, a, slope);
    tess_fused_silu(1, N, bias, alone, NULL);
    for (int i = 0; i < N; i++) {
        double z = (double)((float)(i - N / 2) * (i % 2 ? 0.04f : 0.001f) + 0.25f);
        double s = 1 / (1 + exp(-z)), expected = s + z * s * (1 - s);

        near(a[i], z * s);
        assert_true(a[i] == alone[i]); /* prediction and training compute the same */
        /* The slope is 0 at z = -1.278: a sum of numbers near 1. */
        assert_true(fabs((double)slope[i] - expected) <= 3e-7 * (fabs(z * s) + s));
    }
}

static void fused__silu_far_out(void **state)
{
    float a[4] = {90, -90, 1e30f, NAN}, slope[4];

    (void)state;
    tess_fused_silu(1, 4, NULL, a, slope);
    assert_true(a[0] == 90 && slope[0] == 1);
    assert_true(a[1] <= 0 && a[1] > -1e-35f && fabsf(slope[1]) < 1e-35f);
    assert_true(a[2] == 1e30f && isnan(a[3]) && isnan(slope[3]));
}

static void fused__slope_is_dropped_with_its_activation(void **state)
{
    const float a[3] = {0, -2, NAN};
    float slope[3] = {5, 3, 7};

    (void)state;
    tess_fused_drop_slope(3, a, 1.25f, slope);
    assert_true(slope[0] == 0 && slope[1] == 3.75f && slope[2] == 8.75f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused__drop_is_random123s),
        cmocka_unit_test(fused__silu_and_its_slope),
        cmocka_unit_test(fused__silu_far_out),
        cmocka_unit_test(fused__slope_is_dropped_with_its_activation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
