/* fused.c -- the passes between the matrix products. */
#include "fused.h"

#include "tessera/random.h"
#include "tessera/vectorised.h"

#include <string.h>

#define LANES 16 /* partial sums of a dot product: one vector register */

VECTORISED void tess_fused_input(const struct tess_pairs *pairs, const float *left,
                                 const float *right, int relu, float *a)
{
    const int32_t *u = pairs->u, *v = pairs->v;
    int n = pairs->n, H = pairs->H;
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

/* exp(x) = 2^k exp(r), k the whole number nearest to x / ln 2, |r| ≤ ln 2 / 2; ln 2 in two parts,
 * of which the first has few enough bits for k times it to be exact (Cody and Waite 1980), exp(r)
 * by its Taylor polynomial of degree 7 (error below 6e-9). Within ±87 2^k is a normal number. */
#define EXP_MOST 87.0f
#define TO_WHOLE 12582912.0f /* 1.5 · 2^23: adding it leaves a whole number in the lowest bits */

static inline __attribute__((always_inline)) float exponential(float x)
{
    union {
        float real;
        int32_t bits;
    } shifted, power;
    float k, r, y;

    x = x > EXP_MOST ? EXP_MOST : x; /* NaN stays */
    x = x < -EXP_MOST ? -EXP_MOST : x;
    shifted.real = x * 1.44269504f + TO_WHOLE;
    k = shifted.real - TO_WHOLE;
    r = x - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    y = 1.0f / 5040 * r + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * (r * r) + r + 1.0f;
    power.bits = (int32_t)((uint32_t)(shifted.bits + 127) << 23);
    return y * power.real;
}

float tess_fused_precision(float s)
{
    s = s > TESS_FUSED_LOG ? TESS_FUSED_LOG : s; /* NaN stays */
    return exponential(s < -TESS_FUSED_LOG ? TESS_FUSED_LOG : -s);
}

/* With s = 1 / (1 + exp(-z)) and a = z s the derivative is s + z s (1 - s) = s + a (1 - s). */
VECTORISED void tess_fused_silu(int n, int H, const float *bias, float *a, float *slope)
{
    for (int i = 0; i < n; i++) {
        float *restrict row = a + (int64_t)i * H;

        for (int h = 0; bias && h < H; h++)
            row[h] += bias[h];
        if (slope) {
            float *restrict d = slope + (int64_t)i * H;

            for (int h = 0; h < H; h++) {
                float s = 1.0f / (1.0f + exponential(-row[h])), y = row[h] * s;

                row[h] = y;
                d[h] = s + y * (1.0f - s);
            }
        } else
            for (int h = 0; h < H; h++)
                row[h] *= 1.0f / (1.0f + exponential(-row[h]));
    }
}

VECTORISED void tess_fused_drop_slope(int64_t n, const float *restrict a, float scale,
                                      float *restrict slope)
{
    for (int64_t i = 0; i < n; i++)
        slope[i] = a[i] == 0.0f ? 0.0f : slope[i] * scale; /* NaN stays */
}

/* Sixteen partial sums and one fixed tree over them, so that the order of the additions, and with
 * it the bits, is the same for every width of a vector register. */
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

/* Two rows at a time, as below. */
VECTORISED static void output_back_slope(const struct tess_fused_output *output, float *restrict dz,
                                         float *restrict dw, float *restrict db)
{
    const float *a = output->a, *w = output->w, *dout = output->dout;
    int n = output->n, H = output->H;

    for (int i = 0; i < n; i += 2) {
        int two = i + 1 < n;
        const float *restrict x = a + (int64_t)i * H, *restrict y = two ? x + H : x;
        const float *restrict s = output->slope + (int64_t)i * H, *restrict t = two ? s + H : s;
        float *restrict dx = dz + (int64_t)i * H, g = dout[i], k = two ? dout[i + 1] : 0.0f;

        if (!two) {
            for (int h = 0; h < H; h++) {
                dx[h] = g * w[h] * s[h];
                db[h] += dx[h];
                dw[h] += g * x[h];
            }
            break;
        }
        for (int h = 0; h < H; h++) {
            float d = g * w[h] * s[h], e = k * w[h] * t[h];

            dx[h] = d;
            dx[H + h] = e;
            db[h] = db[h] + d + e;
            dw[h] = dw[h] + g * x[h] + k * y[h];
        }
    }
}

/* Two rows at a time, so that the sums over rows are loaded and stored half as often; they are
 * added left to right, so that the bits are those of one row after the other. The activation is 0
 * where relu cut it off (whose derivative at 0 is 0, as in PyTorch) and where dropout dropped it:
 * the one test serves both. */
VECTORISED static void output_back_relu(const struct tess_fused_output *output, float *restrict dz,
                                        float *restrict dw, float *restrict db)
{
    const float *a = output->a, *w = output->w, *dout = output->dout;
    int n = output->n, H = output->H, i = 0;
    float scale = output->scale;

    for (; i + 2 <= n; i += 2) {
        const float *restrict x = a + (int64_t)i * H, *restrict y = x + H;
        float *restrict dx = dz + (int64_t)i * H, *restrict dy = dx + H;
        float g = dout[i], gs = g * scale, k = dout[i + 1], ks = k * scale;

        for (int h = 0; h < H; h++) {
            float d = x[h] > 0.0f ? gs * w[h] : 0.0f, e = y[h] > 0.0f ? ks * w[h] : 0.0f;

            dx[h] = d;
            dy[h] = e;
            db[h] = db[h] + d + e;
            dw[h] = dw[h] + g * x[h] + k * y[h];
        }
    }
    for (; i < n; i++) {
        const float *restrict x = a + (int64_t)i * H;
        float *restrict dx = dz + (int64_t)i * H;
        float g = dout[i], gs = g * scale;

        for (int h = 0; h < H; h++) {
            float d = x[h] > 0.0f ? gs * w[h] : 0.0f;

            dx[h] = d;
            db[h] += d;
            dw[h] += g * x[h];
        }
    }
}

void tess_fused_output_back(const struct tess_fused_output *output, float *dz, float *dw, float *db)
{
    if (output->slope)
        output_back_slope(output, dz, dw, db);
    else
        output_back_relu(output, dz, dw, db);
}

VECTORISED void tess_fused_slope_back(int n, int H, const float *slope, float *restrict dz,
                                      float *restrict db)
{
    int i = 0;

    for (; i + 2 <= n; i += 2) {
        const float *restrict s = slope + (int64_t)i * H, *restrict t = s + H;
        float *restrict dx = dz + (int64_t)i * H, *restrict dy = dx + H;

        for (int h = 0; h < H; h++) {
            float d = dx[h] * s[h], e = dy[h] * t[h];

            dx[h] = d;
            dy[h] = e;
            db[h] = db[h] + d + e;
        }
    }
    for (; i < n; i++) {
        const float *restrict s = slope + (int64_t)i * H;
        float *restrict dx = dz + (int64_t)i * H;

        for (int h = 0; h < H; h++) {
            dx[h] *= s[h];
            db[h] += dx[h];
        }
    }
}

/* As above: two rows at a time, added left to right; a > 0 tells relu and dropout at once. */
VECTORISED void tess_fused_hidden_back(int n, int H, const float *a, float scale,
                                       float *restrict dz, float *restrict db)
{
    int i = 0;

    for (; i + 2 <= n; i += 2) {
        const float *restrict x = a + (int64_t)i * H, *restrict y = x + H;
        float *restrict dx = dz + (int64_t)i * H, *restrict dy = dx + H;

        for (int h = 0; h < H; h++) {
            float d = x[h] > 0.0f ? dx[h] * scale : 0.0f, e = y[h] > 0.0f ? dy[h] * scale : 0.0f;

            dx[h] = d;
            dy[h] = e;
            db[h] = db[h] + d + e;
        }
    }
    for (; i < n; i++) {
        const float *restrict x = a + (int64_t)i * H;
        float *restrict dx = dz + (int64_t)i * H;

        for (int h = 0; h < H; h++) {
            float d = x[h] > 0.0f ? dx[h] * scale : 0.0f;

            dx[h] = d;
            db[h] += d;
        }
    }
}

void tess_fused_noise_output(int n, int H, const float *a, const float *w, float bias, float *s)
{
    tess_fused_output(n, H, a, w, bias, s);
    for (int i = 0; i < n; i++)
        s[i] *= TESS_FUSED_GAIN;
}

VECTORISED void tess_fused_noise_back(int n, int H, const float *ds, const float *a,
                                      float *restrict dw, float *db)
{
    for (int i = 0; i < n; i++) {
        const float *restrict x = a + (int64_t)i * H;
        float g = TESS_FUSED_GAIN * ds[i];

        *db += g;
        for (int h = 0; h < H; h++)
            dw[h] += g * x[h];
    }
}

VECTORISED void tess_fused_add(int64_t n, const float *restrict y, float *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

VECTORISED void tess_fused_input_back(const struct tess_pairs *pairs, const float *dz, float *dleft,
                                      float *dright)
{
    const int32_t *u = pairs->u, *v = pairs->v;
    int n = pairs->n, H = pairs->H;

    for (int i = 0; i < n; i++) {
        const float *restrict row = dz + (int64_t)i * H;
        float *restrict x = dleft + (int64_t)u[i] * H, *restrict y = dright + (int64_t)v[i] * H;

        for (int h = 0; h < H; h++) {
            x[h] += row[h];
            y[h] += row[h];
        }
    }
}

/* Philox4x32 of Random123 (Salmon et al. 2011; the constants are its multipliers and Weyl keys).
 * Sixteen counters side by side, as 64-bit numbers whose upper halves are left over from the last
 * product and mean nothing: so a product holds both words of a round, and no word is ever moved.
 * Even counters lie in a[], odd ones in b[]; in the end their words interleave. */
typedef uint64_t eight __attribute__((vector_size(64)));
typedef uint32_t sixteen __attribute__((vector_size(64)));
typedef float reals __attribute__((vector_size(64), aligned(4), may_alias));

#define WORD           0xFFFFFFFFU
#define MULTIPLY(x, m) (((x)&WORD) * (m))
/* `random` has 16 random bits on top and `threshold` lies there too: what stands in the lower
 * half does not change the comparison. The product comes first, so that one mask clears what is
 * dropped. */
#define KEEP_HALF(to, random)                                                                      \
    (*(reals *)(to) =                                                                              \
         (reals)((sixteen)(*(reals *)(to)*dropout->scale) & (sixteen)((random) >= threshold)))
#define KEEP(to, a, b)                                                                             \
    do {                                                                                           \
        sixteen random = (sixteen)(((a)&WORD) | (b) << 32);                                        \
                                                                                                   \
        KEEP_HALF(to, random << 16);                                                               \
        KEEP_HALF((to) + 16, random);                                                              \
    } while (0)
#define ROUND(x0, x1, x2, x3)                                                                      \
    do {                                                                                           \
        eight low = MULTIPLY(x0, 0xD2511F53U), high = MULTIPLY(x2, 0xCD9E8D57U);                   \
                                                                                                   \
        x0 = high >> 32 ^ x1 ^ key0;                                                               \
        x1 = high;                                                                                 \
        x2 = low >> 32 ^ x3 ^ key1;                                                                \
        x3 = low;                                                                                  \
    } while (0)

VECTORISED static void drop(const struct tess_fused_dropout *dropout, uint64_t i, int64_t draws,
                            float *x)
{
    const eight zero = {0}, even = {0, 2, 4, 6, 8, 10, 12, 14};
    uint32_t threshold = dropout->threshold << 16;
    uint64_t j = dropout->which;

    for (; draws > 0; draws--, i += 16, x += TESS_FUSED_DRAW) {
        uint64_t key0 = dropout->stream.key[0], key1 = dropout->stream.key[1];
        eight a0 = even + i, a1 = zero + (i >> 32), a2 = zero + j, a3 = zero + (j >> 32);
        eight b0 = a0 + 1, b1 = a1, b2 = a2, b3 = a3;

        for (int round = 0; round < 7; round++) {
            ROUND(a0, a1, a2, a3);
            ROUND(b0, b1, b2, b3);
            key0 += 0x9E3779B9U;
            key1 += 0xBB67AE85U;
        }
        KEEP(x, a0, b0);
        KEEP(x + 32, a1, b1);
        KEEP(x + 64, a2, b2);
        KEEP(x + 96, a3, b3);
    }
}

void tess_fused_drop(const struct tess_fused_dropout *dropout, uint64_t first, int64_t n, float *a)
{
    /* A draw is never cut: the rest goes through a copy, so that nothing behind a[n) is read or
     * written. */
    int64_t whole = n / TESS_FUSED_DRAW, rest = n % TESS_FUSED_DRAW;
    float last[TESS_FUSED_DRAW] = {0}, *tail = a + whole * TESS_FUSED_DRAW;
    uint64_t i = first / TESS_FUSED_DRAW * 16;

    drop(dropout, i, whole, a);
    if (rest == 0)
        return;
    memcpy(last, tail, (size_t)rest * sizeof *last);
    drop(dropout, i + (uint64_t)whole * 16, 1, last);
    memcpy(tail, last, (size_t)rest * sizeof *last);
}
