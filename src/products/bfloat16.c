/* bfloat16.c -- rounding, and which unit multiplies. */
#include "tessera/bfloat16.h"

#include "onednn.h"

#include "tessera/config.h"
#include "tessera/vectorised.h"

#include <string.h>

static const char *const name[] = {"none", "avx512_bf16", "amx_bf16"};
static int chosen = -1;

/* By the kind of processor, never by a measurement: two starts on one machine have the same bits.
 * AVX512-BF16 alone was 0.7 of sgemm's speed on a Xeon, 2.3 times that on AMD's family 26; on
 * family 25, whose instruction has the same rate beside multiply-adds, it has not been measured. */
static enum tess_unit best(void)
{
#if defined(__x86_64__)
    enum tess_unit unit = tess_onednn_unit();

    if (unit == TESS_UNIT_AVX512 && !__builtin_cpu_is("amd"))
        unit = TESS_UNIT_SGEMM;
    return unit;
#else
    return TESS_UNIT_SGEMM;
#endif
}

enum tess_unit tess_unit(void)
{
    if (chosen < 0)
        chosen = best();
    return (enum tess_unit)chosen;
}

void tess_unit_use(enum tess_unit unit)
{
    chosen = unit;
}

const char *tess_unit_name(enum tess_unit unit)
{
    return name[unit];
}

char *tess_unit_library(void)
{
    return tess_onednn_version();
}

static const char *const precision_name[] = {"float32", "bfloat16", "auto"};

const char *tess_precision_name(int precision)
{
    return precision_name[precision];
}

int tess_precision_parse(const char *text)
{
    int i = TESS_PRECISION_AUTO;

    while (i >= 0 && text && strcmp(text, precision_name[i]) != 0)
        i--;
    return i;
}

int tess_precision_is_low(int64_t precision)
{
    return precision == TESS_PRECISION_BFLOAT16 ||
           (precision == TESS_PRECISION_AUTO && tess_unit() != TESS_UNIT_SGEMM);
}

int64_t tess_bfloat16_rows(int64_t n)
{
    return (n + TESS_BFLOAT16_ROWS - 1) / TESS_BFLOAT16_ROWS * TESS_BFLOAT16_ROWS;
}

/* Half of the last place kept is added, a bit less where that is even already; a NaN, which that
 * could carry over into infinity or zero, only loses its lower half, and gets one bit of it. */
VECTORISED void tess_bfloat16_round(int64_t n, const float *restrict x, uint16_t *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t b, even;

        memcpy(&b, x + i, sizeof b);
        even = b + 0x7FFFU + (b >> 16 & 1);
        out[i] = (uint16_t)(((b & 0x7FFFFFFFU) > 0x7F800000U ? b | 0x400000U : even) >> 16);
    }
}

VECTORISED void tess_bfloat16_widen(int64_t n, const uint16_t *restrict x, float *restrict out)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t b = (uint32_t)x[i] << 16;

        memcpy(out + i, &b, sizeof b);
    }
}
