/* simulate_cells.c -- counts of single cells: negative binomial about the profile's shares of a
 * sequencing depth that varies from cell to cell. */
#include "simulate_cells.h"

#include "tessera/alloc.h"

#include <math.h>

#define DEPTH_SD 0.3 /* of the logarithm of a cell's depth */

/* The smallest k with P(count <= k) > u for mean m and variance m + m²/size: inversion, so that one
 * uniform number makes one count. `p` = P(0); P(k + 1) = P(k) m / (m + size) (k + size) / (k + 1).
 * Ends where P(k) underflows, as the sum may stay below u by rounding. */
static int64_t invert(double u, double p, double mean, double size)
{
    double ratio = mean / (size + mean), sum = p;
    int64_t k = 0;

    while (u >= sum && p > 0) {
        p *= ratio * ((double)k + size) / ((double)k + 1);
        sum += p;
        k++;
    }
    return k;
}

/* The expected counts of a cell: shares of its depth, which is log-normal with mean s->depth (hence
 * - sd²/2). A network's cells differ in their noise, which travels along it.
 */
static void expect(struct cursor *cursor, int64_t row, double *noise, double *mean)
{
    const struct tess_design *design = cursor->design;
    const struct tess_simulate *s = design->simulate;
    struct tess_random normal = part_stream(s, PART_NOISE), depth = part_stream(s, PART_DEPTH);
    const double *x = cursor->value;
    double sum = 0, total = s->depth * exp(DEPTH_SD * tess_random_normal(depth, (uint64_t)row) -
                                           DEPTH_SD * DEPTH_SD / 2);

    tess_cursor_row(cursor, row);
    if (s->network) {
        for (int64_t r = 0; r < s->n_readouts; r++)
            noise[r] = s->noise * tess_random_normal(normal, (uint64_t)(row * s->n_readouts + r));
        tess_design_cell_state(design, cursor->experiment, noise, cursor->cell);
        x = cursor->cell;
    }
    for (int64_t r = 0; r < s->n_readouts; r++)
        sum += mean[r] = exp(x[r]);
    for (int64_t r = 0; r < s->n_readouts; r++)
        mean[r] *= total / sum;
}

static void reserve(struct cells *cells, int64_t n_values)
{
    cells->index =
        tess_grow(cells->index, &cells->room_index, (size_t)n_values, sizeof cells->index[0]);
    cells->count =
        tess_grow(cells->count, &cells->room_count, (size_t)n_values, sizeof cells->count[0]);
}

void tess_simulate_cells_make(struct cells *cells, struct cursor *cursor, int64_t first, int64_t n,
                              int counts)
{
    const struct tess_simulate *s = cursor->design->simulate;
    struct tess_random draw = part_stream(s, PART_COUNT);
    double *mean = TESS_NEW(double, 2 * s->n_readouts), size = 1 / s->dispersion;

    cells->indptr =
        tess_grow(cells->indptr, &cells->room_indptr, (size_t)n + 1, sizeof cells->indptr[0]);
    cells->indptr[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = cells->indptr[i];

        expect(cursor, first + i, mean + s->n_readouts, mean);
        if (counts)
            reserve(cells, at + s->n_readouts);
        for (int64_t r = 0; r < s->n_readouts; r++) {
            double u = tess_random_uniform(draw, (uint64_t)((first + i) * s->n_readouts + r));
            /* P(0) = (1 + m/size)^-size. A count is 0 exactly if u is below it: counting without
             * drawing (`counts` 0) finds the same places. */
            double none = exp(-size * log1p(mean[r] / size));

            if (u < none)
                continue;
            if (counts) {
                cells->index[at] = (int32_t)r;
                cells->count[at] = (float)invert(u, none, mean[r], size);
            }
            at++;
        }
        cells->indptr[i + 1] = at;
    }
    tess_free(mean);
}

void tess_simulate_cells_release(struct cells *cells)
{
    tess_free(cells->indptr);
    tess_free(cells->index);
    tess_free(cells->count);
    *cells = (struct cells){0};
}
