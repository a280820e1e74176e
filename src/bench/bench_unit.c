/* bench_unit.c -- the peak of the unit for bfloat16: its multiply-adds in a loop. */
#include "bench.h"

#include "tessera/bfloat16.h"

#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 9) || __GNUC__ >= 10)
#define HAS_LOOP
#endif

#ifdef HAS_LOOP
#include <immintrin.h>

/* Two independent sums in each of eight steps hide the latency; they begin with different numbers,
 * for equal ones the compiler would compute once. An instruction multiplies 32 pairs of numbers and
 * adds the products to 16 sums. */
#define EACH(m)  m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)
#define BEGIN(k) __m512 x##k = _mm512_set1_ps(k), y##k = _mm512_set1_ps(8 + k);
#define STEP(k)                                                                                    \
    x##k = _mm512_dpbf16_ps(x##k, one, one);                                                       \
    y##k = _mm512_dpbf16_ps(y##k, one, one);
#define END(k)     sum = _mm512_add_ps(sum, _mm512_add_ps(x##k, y##k));
#define OPERATIONS (2 * 8 * 2 * 32)

__attribute__((target("avx512f,avx512bf16"))) static float multiply_add(int64_t n)
{
    __m512bh one = (__m512bh)_mm512_set1_epi32(0x3F803F80);
    __m512 sum = _mm512_setzero_ps();

    EACH(BEGIN)
    for (int64_t i = 0; i < n; i++) {
        EACH(STEP)
    }
    EACH(END)
    return sum[0];
}
#endif

double tess_bench_unit_loop(int64_t n, float *sum)
{
#ifdef HAS_LOOP
    if (tess_unit() == TESS_UNIT_AVX512) {
        *sum += multiply_add(n);
        return (double)n * OPERATIONS;
    }
#endif
    (void)n, (void)sum;
    return 0;
}
