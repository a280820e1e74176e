/* random.c -- streams of Random123's Philox4x32-10. */
#include "tessera/random.h"

#include <Random123/philox.h>
#include <math.h>

/* The key of a stream is half a Philox block itself: (a, purpose) is its counter, the seed its key.
 * The last word is arbitrary, but part of what a seed means. */
struct tess_random tess_random_stream(uint64_t seed, enum tess_random_purpose purpose, uint64_t a)
{
    philox4x32_ctr_t counter = {{(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)purpose, 0x7e55e7aU}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t mixed = philox4x32(counter, key);

    return (struct tess_random){{mixed.v[0], mixed.v[1]}};
}

void tess_random_block(struct tess_random stream, uint64_t i, uint64_t j, uint32_t out[4])
{
    philox4x32_ctr_t counter = {
        {(uint32_t)i, (uint32_t)(i >> 32), (uint32_t)j, (uint32_t)(j >> 32)}};
    philox4x32_key_t key = {{stream.key[0], stream.key[1]}};
    philox4x32_ctr_t block = philox4x32(counter, key);

    for (int k = 0; k < 4; k++)
        out[k] = block.v[k];
}

static uint64_t bits(struct tess_random stream, uint64_t i)
{
    uint32_t block[4];

    tess_random_block(stream, i, 0, block);
    return (uint64_t)block[1] << 32 | block[0];
}

/* 53 bits are the mantissa of a double: every value is exact, and 1 is never reached. */
static double to_uniform(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

double tess_random_uniform(struct tess_random stream, uint64_t i)
{
    return to_uniform(bits(stream, i));
}

double tess_random_normal(struct tess_random stream, uint64_t i)
{
    uint32_t block[4];
    double u, v;

    tess_random_block(stream, i, 0, block); /* Box-Muller */
    /* in (0, 1]: its logarithm is finite */
    u = 1.0 - to_uniform((uint64_t)block[1] << 32 | block[0]);
    v = to_uniform((uint64_t)block[3] << 32 | block[2]);
    return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

/* The upper half of bits · n (Lemire, "Fast random integer generation in an interval", 2019),
 * without his rejection: number i stays a function of i alone, for a bias under n / 2^64. */
int64_t tess_random_below(struct tess_random stream, uint64_t i, int64_t n)
{
    return (int64_t)((unsigned __int128)bits(stream, i) * (uint64_t)n >> 64);
}

/* Number i of the stream decides step i, so that nothing depends on who permutes first. */
void tess_random_permute(struct tess_random stream, int64_t n, int64_t *order)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = tess_random_below(stream, (uint64_t)i, i + 1), x = order[i];

        order[i] = order[j];
        order[j] = x;
    }
}
