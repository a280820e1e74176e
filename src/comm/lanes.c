/* lanes.c -- the reduction tree. */
#include "tessera/lanes.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <string.h>

#define STRIDE 16384 /* floats added at a time by one thread: 64 KiB */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The largest nodes within [first, end): added to the list of roots. */
static void find_roots(struct tess_lanes *lanes, int first, int end)
{
    while (first < end) {
        int k = 0;

        while (first % (2 << k) == 0 && smaller(first + (2 << k), lanes->n) <= end &&
               (1 << k) < lanes->n)
            k++;
        lanes->root[lanes->n_roots] = first;
        lanes->level[lanes->n_roots++] = k;
        first = smaller(first + (1 << k), lanes->n);
    }
}

int tess_lanes_init(struct tess_lanes *lanes, MPI_Comm comm, int n, struct tess_error *error)
{
    *lanes = (struct tess_lanes){.comm = comm, .n = n};
    MPI_Comm_rank(comm, &lanes->rank);
    MPI_Comm_size(comm, &lanes->n_ranks);
    if (lanes->n_ranks > n)
        return tess_error_set(error, TESS_ECONFIG,
                              "%d ranks share %d lanes: use at most %d ranks, or raise train.lanes "
                              "(which changes the result's bits) to at least %d",
                              lanes->n_ranks, n, n, lanes->n_ranks);
    lanes->first = TESS_NEW(int, lanes->n_ranks + 1);
    lanes->root_first = TESS_NEW(int, lanes->n_ranks + 1);
    lanes->root = TESS_NEW(int, n);
    lanes->level = TESS_NEW(int, n);
    for (int r = 0; r < lanes->n_ranks; r++) {
        lanes->first[r + 1] = (int)((int64_t)(r + 1) * n / lanes->n_ranks);
        find_roots(lanes, lanes->first[r], lanes->first[r + 1]);
        lanes->root_first[r + 1] = lanes->n_roots;
    }
    return TESS_OK;
}

void tess_lanes_release(struct tess_lanes *lanes)
{
    tess_free(lanes->first);
    tess_free(lanes->root_first);
    tess_free(lanes->root);
    tess_free(lanes->level);
    tess_free(lanes->buffer);
    *lanes = (struct tess_lanes){0};
}

VECTORISED static void add(int64_t n, const float *restrict y, float *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

/* Adds what belongs together among nodes [first, end) of the lists `at` (first lanes) and `level`,
 * whose sums lie in x[i], for floats [from, to) only. */
static void climb(const struct tess_lanes *lanes, int n, const int *at, const int *start,
                  float *const *x, int64_t from, int64_t to)
{
    int *level = TESS_NEW(int, n), *next = TESS_NEW(int, n);

    for (int i = 0; i < n; i++) {
        level[i] = start[i];
        next[i] = i + 1;
    }
    for (int k = 0; (1 << k) < lanes->n; k++)
        for (int i = 0; i < n; i = next[i]) {
            int j = next[i];

            if (level[i] != k || at[i] % (2 << k) != 0)
                continue;
            if (at[i] + (1 << k) >= lanes->n)
                level[i]++; /* no right child */
            else if (j < n && at[j] == at[i] + (1 << k) && level[j] == k) {
                add(to - from, x[j] + from, x[i] + from);
                level[i]++;
                next[i] = next[j];
            }
        }
    tess_free(level);
    tess_free(next);
}

/* Sums of this rank's roots, each in the block of its first lane. */
static void climb_local(const struct tess_lanes *lanes, float **block, int64_t size)
{
    int n = lanes->first[lanes->rank + 1] - lanes->first[lanes->rank];
    int *at = TESS_NEW(int, n), *level = TESS_NEW(int, n);

    for (int i = 0; i < n; i++)
        at[i] = lanes->first[lanes->rank] + i;
#pragma omp parallel for schedule(static)
    for (int64_t from = 0; from < size; from += STRIDE)
        climb(lanes, n, at, level, block, from, from + STRIDE < size ? from + STRIDE : size);
    tess_free(at);
    tess_free(level);
}

static float *reserve(struct tess_lanes *lanes, int64_t n)
{
    if (n > lanes->room) {
        tess_free(lanes->buffer);
        lanes->buffer = TESS_NEW(float, n);
        lanes->room = n;
    }
    return lanes->buffer;
}

void tess_lanes_reduce(struct tess_lanes *lanes, float **block, const int64_t *slice, float *out)
{
    int me = lanes->rank, mine = lanes->root_first[me + 1] - lanes->root_first[me];
    int64_t size = slice[lanes->n_ranks], width = slice[me + 1] - slice[me], peer_floats = 0;
    MPI_Request *request = TESS_NEW(MPI_Request, lanes->n_roots + mine * lanes->n_ranks);
    float **x = TESS_NEW(float *, lanes->n_roots);
    int n_requests = 0;
    float *at;

    climb_local(lanes, block, size);
    peer_floats = (lanes->n_roots - mine) * width;
    at = reserve(lanes, peer_floats);
    for (int r = 0; r < lanes->n_ranks; r++)
        for (int i = lanes->root_first[r]; i < lanes->root_first[r + 1]; i++) {
            if (r == me) {
                x[i] = block[lanes->root[i] - lanes->first[me]] + slice[me];
                continue;
            }
            x[i] = at;
            at += width;
            MPI_Irecv(x[i], tess_int(width), MPI_FLOAT, r, i, lanes->comm, &request[n_requests++]);
        }
    for (int step = 1; step < lanes->n_ranks; step++) {
        int r = (me + step) % lanes->n_ranks;

        for (int i = lanes->root_first[me]; i < lanes->root_first[me + 1]; i++)
            MPI_Isend(block[lanes->root[i] - lanes->first[me]] + slice[r],
                      tess_int(slice[r + 1] - slice[r]), MPI_FLOAT, r, i, lanes->comm,
                      &request[n_requests++]);
    }
    MPI_Waitall(n_requests, request, MPI_STATUSES_IGNORE);
#pragma omp parallel for schedule(static)
    for (int64_t from = 0; from < width; from += STRIDE)
        climb(lanes, lanes->n_roots, lanes->root, lanes->level, x, from,
              from + STRIDE < width ? from + STRIDE : width);
    if (width > 0)
        memcpy(out, x[0], (size_t)width * sizeof *out);
    tess_free(request);
    tess_free(x);
}
