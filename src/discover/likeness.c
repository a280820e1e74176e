/* likeness.c -- a batch of queries against all candidates, in products of one shape. */
#include "likeness.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define TILE    TESS_LIKENESS_TILE
#define QUERIES ((int64_t)1 << 24) /* numbers of a batch's vectors: 64 MiB */

int64_t tess_likeness_batch(const struct tess_likeness *likeness)
{
    int64_t tiles = QUERIES / (likeness->directions->origin.width * TILE);

    return (tiles < 1 ? 1 : tiles > 64 ? 64 : tiles) * TILE;
}

static int has_candidates(const struct tess_likeness *likeness, int64_t first, int64_t n)
{
    return memchr(likeness->candidate + first, 1, (size_t)n) != NULL;
}

/* query (tiles · TILE, width), the last ones zeroes. */
static void multiply(const struct tess_likeness *likeness, int64_t n_queries, const float *query,
                     const float *other, float *value)
{
    int width = tess_int(likeness->directions->origin.width);

    for (int64_t q = 0; q < n_queries; q += TILE)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, TILE, TILE, width, 1,
                    query + q * width, width, other, width, 0, value + q * TILE, TILE);
}

static int has_length(int64_t width, const float *x)
{
    int64_t j = 0;

    while (j < width && x[j] == 0)
        j++;
    return j < width;
}

/* Of n others: what has no length is like nothing. */
static void take_off_zeroes(const struct tess_likeness_queries *queries, int64_t width, int64_t n,
                            const float *const vector[2], float *value)
{
    for (int64_t q = 0; q < queries->n; q++)
        for (int64_t i = 0; i < n && !has_length(width, vector[0] + q * width); i++)
            value[q * TILE + i] = NAN;
    for (int64_t i = 0; i < n; i++)
        for (int64_t q = 0; q < queries->n && !has_length(width, vector[1] + i * width); q++)
            value[q * TILE + i] = NAN;
}

/* Of n others, the first of which is number `first`. */
static void take_off_hubs(const float *hub, const struct tess_likeness_queries *queries,
                          int64_t first, int64_t n, float *value)
{
    for (int64_t q = 0; q < queries->n && hub; q++)
        for (int64_t i = 0; i < n; i++)
            value[q * TILE + i] = 2 * value[q * TILE + i] - hub[queries->row[q]] - hub[first + i];
}

int tess_likeness_scan(const struct tess_likeness *likeness,
                       const struct tess_likeness_queries *queries,
                       const struct tess_likeness_visitor *visitor, struct tess_error *error)
{
    const struct tess_directions *directions = likeness->directions;
    int64_t width = directions->origin.width, all = directions->origin.n;
    int64_t room = (queries->n + TILE - 1) / TILE * TILE;
    float *query = tess_alloc_large((size_t)(room * width), sizeof *query, "queries", error);
    float *value = tess_alloc_large((size_t)(room * TILE), sizeof *value, "cosines", error);
    float *other = TESS_NEW(float, TILE *width);
    int rank, n_ranks;

    MPI_Comm_rank(likeness->comm, &rank);
    MPI_Comm_size(likeness->comm, &n_ranks);
    if (error->code == TESS_OK)
        tess_directions_pick(directions, queries->n, queries->row, query, error);
    for (int64_t t = rank * (int64_t)TILE; t < all && error->code == TESS_OK;
         t += n_ranks * (int64_t)TILE) {
        int64_t n = all - t < TILE ? all - t : TILE;

        if (!has_candidates(likeness, t, n))
            continue;
        memset(other, 0, (size_t)(TILE * width) * sizeof *other);
        if (tess_directions_make(directions, t, n, other, error) == TESS_OK) {
            multiply(likeness, queries->n, query, other, value);
            take_off_zeroes(queries, width, n, (const float *const[]){query, other}, value);
            take_off_hubs(likeness->hub, queries, t, n, value);
            visitor->take(visitor->closure, t, n, value);
        }
    }
    tess_free(query);
    tess_free(value);
    tess_free(other);
    return error->code;
}
