/* fused.c -- the random numbers of dropout against Random123. */
#include "kernel/fused.h"

#include <Random123/philox.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused__drop_is_random123s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
