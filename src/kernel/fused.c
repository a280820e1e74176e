/* fused.c -- the passes between the matrix products. */
#include "tessera/fused.h"

#include "tessera/random.h"
#include "tessera/vectorised.h"

#include <string.h>

#define LANES 16 /* partial sums of a dot product: one vector register */

VECTORISED void tess_fused_input(int n, int H, const float *left, const int32_t *u,
                                 const float *right, const int32_t *v, int relu, float *a)
{
    float floor = relu ? 0.0f : -__builtin_inff();

    for (int i = 0; i < n; i++) {
        const float *restrict x = left + (int64_t)u[i] * H, *restrict y = right + (int64_t)v[i] * H;
        float *restrict row = a + (int64_t)i * H;

        for (int h = 0; h < H; h++) {
            float z = x[h] + y[h];

            row[h] = z < floor ? floor : z; /* NaN stays */
        }
    }
}

VECTORISED void tess_fused_hidden(int n, int H, const float *bias, float *a)
{
    for (int i = 0; i < n; i++) {
        float *restrict row = a + (int64_t)i * H;

        for (int h = 0; h < H; h++) {
            float z = row[h] + bias[h];

            row[h] = z < 0.0f ? 0.0f : z; /* NaN stays */
        }
    }
}

VECTORISED void tess_fused_drop(int H, const uint16_t *random, uint32_t threshold, float scale,
                                float *a)
{
    for (int h = 0; h < H; h++)
        a[h] = random[h] < threshold ? 0.0f : a[h] * scale;
}

VECTORISED void tess_fused_output(int n, int H, const float *a, const float *w, float bias,
                                  float *out)
{
    for (int i = 0; i < n; i++) {
        const float *restrict row = a + (int64_t)i * H;
        float sum[LANES] = {0};
        int h = 0;

        for (; h + LANES <= H; h += LANES)
            for (int k = 0; k < LANES; k++)
                sum[k] += row[h + k] * w[h + k];
        for (; h < H; h++)
            sum[h % LANES] += row[h] * w[h];
        for (int width = LANES / 2; width > 0; width /= 2)
            for (int k = 0; k < width; k++)
                sum[k] += sum[k + width];
        out[i] = sum[0] + bias;
    }
}

VECTORISED void tess_fused_output_back(int n, int H, const float *a, const float *w,
                                       const float *dout, float scale, float *dz, float *dw,
                                       float *db)
{
    for (int i = 0; i < n; i++) {
        const float *restrict row = a + (int64_t)i * H;
        float *restrict drow = dz + (int64_t)i * H;
        float g = dout[i], gs = dout[i] * scale;

        for (int h = 0; h < H; h++) {
            float d = row[h] > 0.0f ? gs * w[h] : 0.0f;

            drow[h] = d;
            db[h] += d;
            dw[h] += g * row[h];
        }
    }
}

VECTORISED void tess_fused_hidden_back(int n, int H, const float *a, float scale, float *dz,
                                       float *db)
{
    for (int i = 0; i < n; i++) {
        const float *restrict row = a + (int64_t)i * H;
        float *restrict drow = dz + (int64_t)i * H;

        for (int h = 0; h < H; h++)
            drow[h] = row[h] > 0.0f ? drow[h] * scale : 0.0f;
        for (int h = 0; db && h < H; h++)
            db[h] += drow[h];
    }
}

VECTORISED void tess_fused_add(int64_t n, const float *restrict y, float *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

VECTORISED void tess_fused_input_back(int n, int H, const float *dz, const int32_t *u,
                                      const int32_t *v, float *dleft, float *dright)
{
    for (int i = 0; i < n; i++) {
        const float *restrict row = dz + (int64_t)i * H;
        float *restrict x = dleft + (int64_t)u[i] * H, *restrict y = dright + (int64_t)v[i] * H;

        for (int h = 0; h < H; h++) {
            x[h] += row[h];
            y[h] += row[h];
        }
    }
}

/* Philox4x32-7 for 16 counters side by side; Salmon et al. 2011, section 3.3: seven rounds are the
 * least that passes BigCrush. A block's four words make eight 16-bit numbers. */
#define SIDE   16
#define ROUNDS 7

VECTORISED void tess_fused_random(struct tess_random stream, uint64_t i, uint64_t j, int n,
                                  uint16_t *out)
{
    for (int first = 0; first < n; first += 8 * SIDE) {
        uint32_t x[4][SIDE], key0 = stream.key[0], key1 = stream.key[1];
        int left = n - first < 8 * SIDE ? n - first : 8 * SIDE;

        for (int k = 0; k < SIDE; k++) {
            uint64_t counter = i + (uint64_t)(first / 8 + k);

            x[0][k] = (uint32_t)counter;
            x[1][k] = (uint32_t)(counter >> 32);
            x[2][k] = (uint32_t)j;
            x[3][k] = (uint32_t)(j >> 32);
        }
        for (int round = 0; round < ROUNDS; round++) {
            for (int k = 0; k < SIDE; k++) {
                uint64_t product0 = (uint64_t)0xD2511F53U * x[0][k];
                uint64_t product1 = (uint64_t)0xCD9E8D57U * x[2][k];
                uint32_t x1 = x[1][k], x3 = x[3][k];

                x[0][k] = (uint32_t)(product1 >> 32) ^ x1 ^ key0;
                x[1][k] = (uint32_t)product1;
                x[2][k] = (uint32_t)(product0 >> 32) ^ x3 ^ key1;
                x[3][k] = (uint32_t)product0;
            }
            key0 += 0x9E3779B9U;
            key1 += 0xBB67AE85U;
        }
        /* word w of counter k gives numbers w·2·SIDE + 2k and the next: any fixed order serves */
        memcpy(out + first, x, (size_t)left * sizeof *out);
    }
}
