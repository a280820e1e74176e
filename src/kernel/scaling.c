/* scaling.c -- values to targets and back, a row at a time. */
#include "tessera/scaling.h"

#include "tessera/alloc.h"
#include "tessera/vectorised.h"

void tess_scaling_release(struct tess_scaling *scaling)
{
    tess_free(scaling->shift);
    tess_free(scaling->scale);
    *scaling = (struct tess_scaling)TESS_SCALING_NONE;
}

/* Is there anything to do with center and spread? */
static int is_global(const struct tess_scaling *scaling)
{
    return scaling->center != 0 || scaling->spread != 1;
}

VECTORISED static void normalize(int64_t n, const int64_t *readout, const float *restrict shift,
                                 const float *restrict scale, float *restrict row)
{
    if (readout)
        for (int64_t k = 0; k < n; k++)
            row[k] = (row[k] - shift[readout[k]]) / scale[readout[k]];
    else
        for (int64_t k = 0; k < n; k++)
            row[k] = (row[k] - shift[k]) / scale[k];
}

VECTORISED static void restore(int64_t n, const int64_t *readout, const float *restrict shift,
                               const float *restrict scale, float *restrict row)
{
    if (readout)
        for (int64_t k = 0; k < n; k++)
            row[k] = shift[readout[k]] + scale[readout[k]] * row[k];
    else
        for (int64_t k = 0; k < n; k++)
            row[k] = shift[k] + scale[k] * row[k];
}

VECTORISED static void narrow(int64_t n, float center, float spread, float *restrict row)
{
    for (int64_t k = 0; k < n; k++)
        row[k] = (row[k] - center) / spread;
}

VECTORISED static void widen(int64_t n, float center, float spread, float *restrict row)
{
    for (int64_t k = 0; k < n; k++)
        row[k] = center + spread * row[k];
}

void tess_scaling_apply(const struct tess_scaling *scaling, int64_t context, int64_t n,
                        const int64_t *readout, float *row)
{
    int64_t first = context * scaling->n_readouts;

    if (scaling->shift)
        normalize(n, readout, scaling->shift + first, scaling->scale + first, row);
    if (is_global(scaling))
        narrow(n, scaling->center, scaling->spread, row);
}

void tess_scaling_undo(const struct tess_scaling *scaling, int64_t context, int64_t n,
                       const int64_t *readout, float *row)
{
    int64_t first = context * scaling->n_readouts;

    if (is_global(scaling))
        widen(n, scaling->center, scaling->spread, row);
    if (scaling->shift)
        restore(n, readout, scaling->shift + first, scaling->scale + first, row);
}

void tess_scaling_undo_deviation(const struct tess_scaling *scaling, int64_t context, int64_t n,
                                 const int64_t *readout, float *row)
{
    const float *scale = scaling->scale ? scaling->scale + context * scaling->n_readouts : NULL;

    for (int64_t k = 0; k < n; k++)
        row[k] *= scaling->spread * (scale ? scale[readout ? readout[k] : k] : 1.0f);
}
