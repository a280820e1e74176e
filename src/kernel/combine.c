/* combine.c -- combinations, forward and backward. */
#include "tessera/combine.h"

#include "tessera/config.h"

#include <string.h>

static float share(int rule, int32_t n_members)
{
    return rule == TESS_COMBINE_MEAN ? 1.0f / (float)n_members : 1.0f;
}

/* Which member holds the maximum of column d: the first of equals. */
static int32_t largest(int dim, int d, int32_t first, int32_t end, const int32_t *member,
                       const float *row)
{
    int32_t best = first;

    for (int32_t k = first + 1; k < end; k++)
        if (row[(int64_t)member[k] * dim + d] > row[(int64_t)member[best] * dim + d])
            best = k;
    return member[best];
}

void tess_combine(int rule, int dim, int n, const int32_t *first, const int32_t *member,
                  const float *row, float *out)
{
    for (int i = 0; i < n; i++) {
        float *to = out + (int64_t)i * dim, factor = share(rule, first[i + 1] - first[i]);

        if (first[i + 1] - first[i] == 1) {
            memcpy(to, row + (int64_t)member[first[i]] * dim, (size_t)dim * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)dim * sizeof *to);
        for (int d = 0; d < dim; d++) {
            if (rule == TESS_COMBINE_MAX) {
                int32_t best = largest(dim, d, first[i], first[i + 1], member, row);

                to[d] = row[(int64_t)best * dim + d];
                continue;
            }
            for (int32_t k = first[i]; k < first[i + 1]; k++)
                to[d] += row[(int64_t)member[k] * dim + d];
            to[d] *= factor;
        }
    }
}

void tess_combine_back(int rule, int dim, int n, const int32_t *first, const int32_t *member,
                       const float *row, const float *dout, int n_rows, float *drow)
{
    memset(drow, 0, (size_t)n_rows * (size_t)dim * sizeof *drow);
    for (int i = 0; i < n; i++) {
        const float *from = dout + (int64_t)i * dim;
        float factor = share(rule, first[i + 1] - first[i]);

        if (rule == TESS_COMBINE_MAX && first[i + 1] - first[i] > 1) {
            for (int d = 0; d < dim; d++)
                drow[(int64_t)largest(dim, d, first[i], first[i + 1], member, row) * dim + d] +=
                    from[d];
            continue;
        }
        for (int32_t k = first[i]; k < first[i + 1]; k++)
            for (int d = 0; d < dim; d++)
                drow[(int64_t)member[k] * dim + d] += from[d] * factor;
    }
}
