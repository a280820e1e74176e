/* encoder.c -- components to vectors, forward and backward. */
#include "tessera/encoder.h"

#include "tessera/alloc.h"
#include "tessera/config.h"

#include <string.h>

void tess_encoder_init(struct tess_encoder *encoder, const struct tess_config *config)
{
    *encoder = (struct tess_encoder){.dim = tess_int(config->model.embedding_dim),
                                     .rule = (int)config->model.combination};
}

float tess_encoder_weight(const struct tess_encoder *encoder, int64_t n)
{
    return encoder->rule == TESS_COMBINE_MEAN ? 1.0f / (float)n : 1.0f;
}

/* The row that holds the maximum of column d: of equals the first, forward and backward alike. */
static int64_t largest(int dim, int d, int64_t n, const int64_t *component, const float *row)
{
    int64_t best = component[0];

    for (int64_t k = 1; k < n; k++)
        if (row[component[k] * dim + d] > row[best * dim + d])
            best = component[k];
    return best;
}

static void combine(const struct tess_encoder *encoder, int64_t n, const int64_t *component,
                    const float *row, float *vector)
{
    int dim = encoder->dim;
    float factor = tess_encoder_weight(encoder, n);

    for (int d = 0; d < dim; d++) {
        float sum = 0;

        if (encoder->rule == TESS_COMBINE_MAX) {
            vector[d] = row[largest(dim, d, n, component, row) * dim + d];
            continue;
        }
        for (int64_t k = 0; k < n; k++)
            sum += row[component[k] * dim + d];
        vector[d] = sum * factor;
    }
}

static void combine_back(const struct tess_encoder *encoder, int64_t n, const int64_t *component,
                         const float *row, const float *dvector, float *drow)
{
    int dim = encoder->dim;
    float factor = tess_encoder_weight(encoder, n);

    /* A maximum passes its gradient to the row that it was taken from, and nothing to the
     * others. */
    if (encoder->rule == TESS_COMBINE_MAX && n > 1) {
        for (int d = 0; d < dim; d++)
            drow[largest(dim, d, n, component, row) * dim + d] += dvector[d];
        return;
    }
    for (int64_t k = 0; k < n; k++)
        for (int d = 0; d < dim; d++)
            drow[component[k] * dim + d] += dvector[d] * factor;
}

/* A sum with given weights, and its gradient. */
static void add_up(int dim, int64_t n, const int64_t *component, const float *weight,
                   const float *row, float *vector)
{
    memset(vector, 0, (size_t)dim * sizeof *vector);
    for (int64_t k = 0; k < n; k++)
        for (int d = 0; d < dim; d++)
            vector[d] += weight[k] * row[component[k] * dim + d];
}

static void add_up_back(int dim, int64_t n, const int64_t *component, const float *weight,
                        const float *dvector, float *drow)
{
    for (int64_t k = 0; k < n; k++)
        for (int d = 0; d < dim; d++)
            drow[component[k] * dim + d] += weight[k] * dvector[d];
}

void tess_encoder_forward(const struct tess_encoder *encoder,
                          const struct tess_perturbations *perturbations, const float *row,
                          float *vector)
{
    int dim = encoder->dim;

    for (int64_t i = 0; i < perturbations->n; i++) {
        const int64_t *component = perturbations->component + perturbations->first[i];
        int64_t n = perturbations->first[i + 1] - perturbations->first[i];

        if (perturbations->weight)
            add_up(dim, n, component, perturbations->weight + perturbations->first[i], row,
                   vector + i * dim);
        /* Copied, not summed from 0: a sum would make -0 a +0. */
        else if (n == 1)
            memcpy(vector + i * dim, row + component[0] * dim, (size_t)dim * sizeof *vector);
        else
            combine(encoder, n, component, row, vector + i * dim);
    }
}

void tess_encoder_backward(const struct tess_encoder *encoder,
                           const struct tess_perturbations *perturbations, const float *row,
                           const float *dvector, int64_t n_rows, float *drow)
{
    int dim = encoder->dim;

    memset(drow, 0, (size_t)n_rows * (size_t)dim * sizeof *drow);
    /* A component of several perturbations gets their gradients in the order of the
     * perturbations. */
    for (int64_t i = 0; i < perturbations->n; i++) {
        int64_t first = perturbations->first[i], n = perturbations->first[i + 1] - first;
        const int64_t *component = perturbations->component + first;

        if (perturbations->weight)
            add_up_back(dim, n, component, perturbations->weight + first, dvector + i * dim, drow);
        else
            combine_back(encoder, n, component, row, dvector + i * dim, drow);
    }
}
