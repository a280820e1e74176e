/* network.c -- the parameters' order in memory, and their initial values. */
#include "tessera/network.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/random.h"

#include <math.h>

struct tess_shape tess_shape_of(const struct tess_config *config, int64_t n_readouts)
{
    int layers = tess_int(config->model.layers), kind = (int)config->model.kind;
    struct tess_shape shape = {.dim = tess_int(config->model.embedding_dim), .kind = kind};

    shape.layers = kind == TESS_KIND_CP ? 1 : layers;
    shape.silu = kind != TESS_KIND_CP && shape.layers > 0 &&
                 (config->model.activation == TESS_ACTIVATION_SILU ||
                  (config->model.activation == TESS_ACTIVATION_AUTO && kind == TESS_KIND_MLP));
    shape.hidden = shape.layers ? tess_int(config->model.hidden_dim) : 0;
    if (kind != TESS_KIND_MLP) {
        shape.factors = shape.dim;
        shape.right = kind == TESS_KIND_DOT && n_readouts == 1 ? TESS_TABLE_C : TESS_TABLE_R;
    }
    shape.noise = config->model.noise == TESS_NOISE_LEARNED;
    return shape;
}

int tess_shape_outputs(struct tess_shape shape)
{
    return shape.kind == TESS_KIND_MLP ? 1 : shape.factors;
}

int tess_shape_width(struct tess_shape shape)
{
    return shape.layers ? shape.hidden : tess_shape_outputs(shape);
}

/* A piece of the block. `bound`: half the width of the uniform distribution of its initial values.
 */
struct piece {
    int64_t rows, columns;
    double bound;
};
#define PIECES 12 /* wp, wr, wc, wg, b1, w, b, wo, bo, ws, bs, wv */

static double glorot(double gain, double in, double out)
{
    return gain * sqrt(6.0 / (in + out));
}

/* Weights: gain √(6 / (fan in + fan out)) (Glorot and Bengio 2010;
 * torch.nn.init.xavier_uniform_), of the first layer as one matrix over the rows that it takes;
 * biases: 1/√(fan in) (torch.nn.Linear). The gain is √2 where a nonlinearity follows, and
 * for the mlp's output, as published; else 1. */
static void pieces_of(struct tess_shape shape, struct piece piece[PIECES])
{
    int64_t D = shape.dim, width = tess_shape_width(shape), outputs = tess_shape_outputs(shape);
    int64_t more = shape.layers > 1 ? shape.layers - 1 : 0, output = shape.layers ? outputs : 0;
    int cp = shape.kind == TESS_KIND_CP, mlp = shape.kind == TESS_KIND_MLP;
    int64_t right = mlp ? width : 0, context = shape.right == TESS_TABLE_C ? 0 : width;
    double gain = cp ? 1 : sqrt(2.0), last = mlp ? sqrt(2.0) : 1;
    double in = cp ? (double)D : (double)D * (1 + (context > 0) + mlp), H = (double)width;

    piece[0] = (struct piece){width, D, glorot(gain, in, H)};
    piece[1] = (struct piece){right, D, glorot(gain, in, H)};
    piece[2] = (struct piece){context, D, glorot(gain, in, H)};
    piece[3] = (struct piece){cp ? width : 0, D, glorot(gain, in, H)};
    piece[4] = (struct piece){cp ? 0 : 1, width, 1 / sqrt(in)};
    piece[5] = (struct piece){more * width, width, glorot(gain, H, H)};
    piece[6] = (struct piece){more, width, 1 / sqrt(H)};
    piece[7] = (struct piece){output, width, glorot(last, H, (double)outputs)};
    piece[8] = (struct piece){1, output, 1 / sqrt(H)};
    /* The output s begins at 0: the variance that data.scale leaves, but for its square. */
    piece[9] = (struct piece){shape.noise, width, 0};
    piece[10] = (struct piece){shape.noise, 1, 0};
    piece[11] = (struct piece){shape.noise && !mlp, outputs, 0};
}

int64_t tess_shape_size(struct tess_shape shape)
{
    struct piece piece[PIECES];
    int64_t all = 0;

    pieces_of(shape, piece);
    for (int i = 0; i < PIECES; i++)
        all += piece[i].rows * piece[i].columns;
    return all;
}

void tess_mlp_point(struct tess_mlp *mlp, struct tess_shape shape, float *block)
{
    float **at[PIECES] = {&mlp->wp, &mlp->wr, &mlp->wc, &mlp->wg, &mlp->b1, &mlp->w,
                          &mlp->b,  &mlp->wo, &mlp->bo, &mlp->ws, &mlp->bs, &mlp->wv};
    struct piece piece[PIECES];

    pieces_of(shape, piece);
    mlp->packed = NULL;
    for (int i = 0; i < PIECES; i++) {
        *at[i] = block;
        block += piece[i].rows * piece[i].columns;
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

void tess_network_init_mlp(uint64_t seed, struct tess_shape shape, int64_t first, int64_t n,
                           float *out)
{
    struct tess_random stream = tess_random_stream(seed, TESS_RANDOM_INIT, TESS_N_TABLES);
    struct piece piece[PIECES];
    int64_t end = 0, filled = 0;

    pieces_of(shape, piece);
    /* A number belongs to its place in the whole block, so that a part has the same ones. */
    for (int i = 0; i < PIECES; i++) {
        end += piece[i].rows * piece[i].columns;
        for (; filled < n && first + filled < end; filled++)
            out[filled] =
                (float)(piece[i].bound *
                        (2.0 * tess_random_uniform(stream, (uint64_t)(first + filled)) - 1.0));
    }
}
