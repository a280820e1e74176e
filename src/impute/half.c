/* half.c -- float32 to float16, sixteen at a time. The default rounding of the processor is the one
 * that is wanted; the bits are the same with and without its own instruction. */
#include "half.h"

#include "tessera/vectorised.h"

#include <string.h>

#define PIECE 64

/* Numbers below 2⁻¹⁴ are added to one half, whose last place is theirs: the sum rounds. */
VECTORISED static void convert(const float *restrict in, uint16_t *restrict out)
{
    for (int i = 0; i < PIECE; i++) {
        uint32_t bits, sign, size, normal, tiny;
        float sum;

        memcpy(&bits, &in[i], sizeof bits);
        sign = bits >> 16 & 0x8000U;
        size = bits & 0x7fffffffU;
        normal = (size + 0xfffU + (size >> 13 & 1U) - 0x38000000U) >> 13;
        memcpy(&sum, &size, sizeof sum);
        sum += 0.5F;
        memcpy(&tiny, &sum, sizeof tiny);
        tiny -= 0x3f000000U;
        normal = size >= 0x47800000U ? 0x7c00U : normal;
        normal = size > 0x7f800000U ? 0x7e00U : normal;
        out[i] = (uint16_t)(sign | (size < 0x38800000U ? tiny : normal));
    }
}

static int64_t first_overflow(int64_t n, const float *in, const uint16_t *out)
{
    for (int64_t i = 0; i < n; i++)
        if ((out[i] & 0x7fffU) == 0x7c00U && in[i] - in[i] == 0)
            return i;
    return -1;
}

int64_t tess_half_from_floats(int64_t n, float *value)
{
    float in[PIECE] = {0};
    uint16_t out[PIECE];
    int64_t found = -1;

    for (int64_t at = 0, take; at < n; at += take) {
        int64_t over;

        take = n - at < PIECE ? n - at : PIECE;
        memcpy(in, value + at, (size_t)take * sizeof *in);
        convert(in, out);
        over = found < 0 ? first_overflow(take, in, out) : -1;
        found = over >= 0 ? at + over : found;
        memcpy((char *)value + 2 * at, out, (size_t)take * sizeof *out);
    }
    return found;
}
