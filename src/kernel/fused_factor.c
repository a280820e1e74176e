/* fused_factor.c -- the passes of factorised models: gates, loss, dot products of single pairs. */
#include "fused.h"

#include "tessera/vectorised.h"

#include <math.h>

#define LANES 16 /* partial sums: one vector register of floats, two of doubles */

VECTORISED void tess_fused_affine(int n, int K, const float *bias, float scale, float *x)
{
    for (int i = 0; i < n; i++) {
        float *restrict row = x + (int64_t)i * K;

        if (bias)
            for (int k = 0; k < K; k++)
                row[k] = (row[k] + bias[k]) * scale;
        else
            for (int k = 0; k < K; k++)
                row[k] *= scale;
    }
}

VECTORISED void tess_fused_gate(const struct tess_pairs *pairs, const struct tess_fused_gate *rows,
                                float *a)
{
    int H = pairs->H;

    for (int i = 0; i < pairs->n; i++) {
        int64_t u = (int64_t)pairs->u[i] * H, v = (int64_t)pairs->v[i] * H;
        const float *restrict p = rows->p + u, *restrict g = rows->gate + v;
        const float *restrict c = rows->c + v;
        float *restrict row = a + (int64_t)i * H;

        for (int h = 0; h < H; h++)
            row[h] = p[h] * (1.0f + g[h]) + c[h];
    }
}

VECTORISED void tess_fused_gate_back(const struct tess_pairs *pairs,
                                     const struct tess_fused_gate *rows, const float *dz,
                                     const struct tess_fused_gate_grad *grad)
{
    int H = pairs->H;

    for (int i = 0; i < pairs->n; i++) {
        int64_t u = (int64_t)pairs->u[i] * H, v = (int64_t)pairs->v[i] * H;
        const float *restrict p = rows->p + u, *restrict g = rows->gate + v;
        const float *restrict d = dz + (int64_t)i * H;
        float *restrict dp = grad->p + u, *restrict dg = grad->gate + v;
        float *restrict dc = grad->c + v;

        for (int h = 0; h < H; h++) {
            dp[h] += d[h] * (1.0f + g[h]);
            dg[h] += d[h] * p[h];
            dc[h] += d[h];
        }
    }
}

/* Gradients of n outputs of one row, from the targets that were laid side by side; 16 partial sums
 * of squares, so that the order of additions is the same for every width of a vector register. */
VECTORISED static int row_loss(int n, float w, const float *restrict y, float *restrict out,
                               double *restrict sum)
{
    float twice = 2.0f * w;
    double weight = (double)w;
    int measured = 0, t = 0;

    for (; t + LANES <= n; t += LANES)
        for (int k = 0; k < LANES; k++) {
            float difference = out[t + k] - y[t + k];
            int there = y[t + k] == y[t + k];
            float d = there ? difference : 0.0f;

            sum[k] += weight * (double)d * (double)d;
            measured += there;
            out[t + k] = twice * d;
        }
    for (; t < n; t++) {
        int there = y[t] == y[t];
        float d = there ? out[t] - y[t] : 0.0f;

        sum[t % LANES] += weight * (double)d * (double)d;
        measured += there;
        out[t] = twice * d;
    }
    return measured;
}

#define SIDE_BY_SIDE 1024 /* targets collected at once */

void tess_fused_loss(const struct tess_fused_targets *targets, float *out,
                     struct tess_tile_grad *grad)
{
    const int32_t *column = targets->column;
    double sum[LANES] = {0};
    float y[SIDE_BY_SIDE];

    for (int e = 0; e < targets->E; e++)
        for (int t = 0, n; t < targets->T; t += n) {
            const float *row = targets->y[e];
            float w = targets->weight ? targets->weight[targets->u[e]] : 1.0f;
            float *at = out + (int64_t)e * targets->T + t;

            n = targets->T - t < SIDE_BY_SIDE ? targets->T - t : SIDE_BY_SIDE;
            for (int k = 0; column && k < n; k++)
                y[k] = row[column[t + k]];
            grad->n_measured += row_loss(n, w, column ? y : row + t, at, sum);
        }
    for (int k = 1; k < LANES; k++)
        sum[0] += sum[k];
    grad->loss += sum[0];
}

void tess_fused_noise_dense(const struct tess_fused_targets *targets, const float *out,
                            const int32_t *v, const struct tess_fused_sides *sides)
{
    for (int e = 0; e < targets->E; e++) {
        const float *row = targets->y[e], *at = out + (int64_t)e * targets->T;
        int32_t u = targets->u[e];
        float w = targets->weight ? targets->weight[u] : 1.0f, left = sides->left[u], sum = 0;

        for (int t = 0; t < targets->T; t++) {
            float y = row[targets->column ? targets->column[t] : t];
            float ds = isnan(y) ? 0.0f : tess_fused_noise(w, at[t] - y, left * sides->right[v[t]]);

            sum += ds;
            sides->dright[v[t]] += ds;
        }
        sides->dleft[u] += sum;
    }
}

VECTORISED float tess_fused_dot(int K, const float *x, const float *y)
{
    float sum[LANES] = {0};
    int k = 0;

    for (; k + LANES <= K; k += LANES)
        for (int j = 0; j < LANES; j++)
            sum[j] += x[k + j] * y[k + j];
    for (; k < K; k++)
        sum[k % LANES] += x[k] * y[k];
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++)
            sum[j] += sum[j + width];
    return sum[0];
}

VECTORISED static void spread(int K, float d, const float *restrict x, float *restrict to)
{
    for (int k = 0; k < K; k++)
        to[k] += d * x[k];
}

void tess_fused_pairs(const struct tess_fused_pairs *pairs, struct tess_tile_grad *grad)
{
    int K = pairs->K;

    for (int64_t i = 0; i < pairs->n; i++) {
        int32_t u = pairs->u[i];
        int64_t l = pairs->left_of ? pairs->left_of[u] : u;
        int64_t r = pairs->right_of ? pairs->right_of[u] : pairs->v[i];
        const float *left = pairs->left + l * K, *right = pairs->right + r * K;
        float difference, w = pairs->weight ? pairs->weight[u] : 1.0f;

        if (isnan(pairs->y[i]))
            continue;
        difference = tess_fused_dot(K, left, right) - pairs->y[i];
        grad->loss += (double)w * (double)difference * (double)difference;
        grad->n_measured++;
        if (pairs->sides) {
            const struct tess_fused_sides *s = pairs->sides;
            float ds = tess_fused_noise(w, difference, s->left[l] * s->right[r]);

            s->dleft[l] += ds;
            s->dright[r] += ds;
        }
        spread(K, 2.0f * w * difference, right, pairs->dleft + l * K);
        spread(K, 2.0f * w * difference, left, pairs->dright + r * K);
    }
}
