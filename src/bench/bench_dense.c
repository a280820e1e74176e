/* bench_dense.c -- what `network infer --method direct` lives by: an inverse over all ranks, beside
 * the product of the same matrices. */
#include "bench.h"

#include "tessera/error.h"
#include "tessera/random.h"
#include "tessera/scalapack.h"

#include <math.h>
#include <stdio.h>

#define GENES 2000 /* a fifth in a quick run */

/* Effects of at most 1/n, and 1 on the diagonal: far from singular. */
static void fill(struct tess_matrix *matrix)
{
    struct tess_random stream = tess_random_stream(0, TESS_RANDOM_BOOTSTRAP, 0);

    for (int64_t j = 0; j < matrix->local_columns; j++)
        for (int64_t i = 0; i < matrix->local_rows; i++) {
            int64_t row = tess_matrix_row(matrix, i), column = tess_matrix_column(matrix, j);
            int64_t at = row * matrix->n_columns + column;

            matrix->value[i + j * matrix->local_rows] =
                row == column ? 1
                              : tess_random_uniform(stream, (uint64_t)at) / (double)matrix->n_rows;
        }
}

static void say(struct bench *bench, int64_t n, const double *rate, const double *share)
{
    char name[64];

    snprintf(name, sizeof name, "inverse of %lld genes, all ranks", (long long)n);
    tess_bench_say(bench, name, tess_bench_median(bench->repeat, rate) * 1e-9, "GFLOP/s",
                   tess_bench_median(bench->repeat, share), "of dgemm's rate");
}

int tess_bench_dense(struct bench *bench, struct tess_error *error)
{
    int64_t n = bench->options->quick ? GENES / 5 : GENES;
    struct tess_matrix matrix = {.grid = NULL}, inverse = {.grid = NULL};
    double rate[BENCH_MOST], share[BENCH_MOST];
    struct tess_grid grid;

    tess_grid_open(&grid, bench->comm);
    if (tess_matrix_init(&matrix, &grid, n, n, "effects", error) == TESS_OK &&
        tess_matrix_init(&inverse, &grid, n, n, "their inverse", error) == TESS_OK) {
        tess_bench_section(bench, "dense", "Direct effects of a network, a matrix over all ranks");
        fill(&matrix);
        for (int r = 0; r < bench->repeat && error->code == TESS_OK; r++) {
            struct tess_inversion about = {.usable = 0};

            tess_matrix_invert(&matrix, &inverse, &about, error);
            rate[r] = about.rate;
            share[r] = about.rate / about.product_rate;
        }
        if (error->code == TESS_OK)
            say(bench, n, rate, share);
    }
    tess_matrix_release(&matrix);
    tess_matrix_release(&inverse);
    tess_grid_close(&grid);
    return error->code;
}
