/* network.c -- the parameters' order in memory, and their initial values. */
#include "tessera/network.h"

#include "tessera/random.h"

#include <math.h>

static int64_t width_of(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : 1;
}

/* Floats in each piece, in order: wp, wr, wc, b1, w, b, wo, bo. */
static void sizes(struct tess_shape shape, int64_t size[8])
{
    int64_t width = width_of(shape), first = width * shape.dim;
    int64_t more = shape.layers > 1 ? shape.layers - 1 : 0;

    size[0] = size[1] = size[2] = first;
    size[3] = width;
    size[4] = more * width * width;
    size[5] = more * width;
    size[6] = shape.layers ? width : 0;
    size[7] = shape.layers ? 1 : 0;
}

int64_t tess_shape_size(struct tess_shape shape)
{
    int64_t size[8], all = 0;

    sizes(shape, size);
    for (int i = 0; i < 8; i++)
        all += size[i];
    return all;
}

void tess_mlp_point(struct tess_mlp *mlp, struct tess_shape shape, float *block)
{
    float **piece[8] = {&mlp->wp, &mlp->wr, &mlp->wc, &mlp->b1,
                        &mlp->w,  &mlp->b,  &mlp->wo, &mlp->bo};
    int64_t size[8];

    sizes(shape, size);
    for (int i = 0; i < 8; i++) {
        *piece[i] = block;
        block += size[i];
    }
}

void tess_network_init_rows(uint64_t seed, enum tess_embedding table, int dim, int64_t first,
                            int64_t n, float *out)
{
    struct tess_random stream = tess_random_stream(seed, TESS_RANDOM_INIT, (uint64_t)table);

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n * dim; i++)
        out[i] = (float)tess_random_normal(stream, (uint64_t)(first * dim + i));
}

/* Half the width of the uniform distribution of each piece. Weights: gain √(6 / (fan in + fan out))
 * (Glorot and Bengio 2010; torch.nn.init.xavier_uniform_), of the first layer as one matrix with a
 * fan in of 3 D; biases: 1/√(fan in) (torch.nn.Linear). */
static void bounds(struct tess_shape shape, double bound[8])
{
    double gain = sqrt(2.0), width = (double)width_of(shape), in = 3.0 * shape.dim;

    bound[0] = bound[1] = bound[2] = gain * sqrt(6.0 / (in + width));
    bound[3] = 1.0 / sqrt(in);
    bound[4] = gain * sqrt(6.0 / (width + width));
    bound[5] = bound[7] = 1.0 / sqrt(width);
    bound[6] = gain * sqrt(6.0 / (width + 1.0));
}

void tess_network_init_mlp(uint64_t seed, struct tess_shape shape, int64_t first, int64_t n,
                           float *out)
{
    struct tess_random stream = tess_random_stream(seed, TESS_RANDOM_INIT, TESS_N_TABLES);
    int64_t size[8], end = 0;
    double bound[8];

    sizes(shape, size);
    bounds(shape, bound);
    /* A number belongs to its place in the whole block, so that a part has the same ones. */
    for (int piece = 0, filled = 0; piece < 8; piece++) {
        end += size[piece];
        for (; filled < n && first + filled < end; filled++)
            out[filled] =
                (float)(bound[piece] *
                        (2.0 * tess_random_uniform(stream, (uint64_t)(first + filled)) - 1.0));
    }
}
