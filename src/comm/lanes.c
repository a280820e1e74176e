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

/* The largest nodes within [first, end): added to the list of roots. A node of level k begins at a
 * multiple of 2^k; one that the number of lanes cuts off counts as whole. */
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

int tess_lanes_divide(struct tess_lanes *lanes, int n, int rank, int n_ranks,
                      struct tess_error *error)
{
    *lanes = (struct tess_lanes){.comm = MPI_COMM_NULL, .n = n, .rank = rank, .n_ranks = n_ranks};
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

int tess_lanes_init(struct tess_lanes *lanes, MPI_Comm comm, int n, struct tess_error *error)
{
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    tess_lanes_divide(lanes, n, rank, n_ranks, error);
    lanes->comm = comm;
    return error->code;
}

static int own_lanes(const struct tess_lanes *lanes)
{
    return lanes->first ? lanes->first[lanes->rank + 1] - lanes->first[lanes->rank] : 0;
}

/* Sums become spare buffers. */
static void drop_sums(struct tess_lanes *lanes)
{
    for (int i = 0; lanes->sum && i < own_lanes(lanes); i++) {
        if (lanes->sum[i])
            lanes->spare[lanes->n_spare++] = lanes->sum[i];
        lanes->sum[i] = NULL;
    }
}

void tess_lanes_release(struct tess_lanes *lanes)
{
    drop_sums(lanes);
    tess_free(lanes->first);
    tess_free(lanes->root_first);
    tess_free(lanes->root);
    tess_free(lanes->level);
    tess_free(lanes->buffer);
    for (int i = 0; i < lanes->n_spare; i++)
        tess_free(lanes->spare[i]);
    tess_free(lanes->sum);
    tess_free(lanes->sum_level);
    tess_free(lanes->spare);
    *lanes = (struct tess_lanes){0};
}

VECTORISED static void add(int64_t n, const float *restrict y, float *restrict x)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

/* Nodes of the tree, in the order of their lanes: the first lane of each, and its height. */
struct nodes {
    int n;
    const int *at, *level;
};

/* Adds what belongs together among the nodes, whose sums lie in x[i], for floats [from, to) only.
 * Level by level, and a right child only to its own sibling: a node's sum is left + right whoever
 * adds it, which fixes the bits. A node whose sibling another rank holds stays as it is. */
static void climb(const struct tess_lanes *lanes, const struct nodes *nodes, float *const *x,
                  int64_t from, int64_t to)
{
    const int *at = nodes->at;
    int n = nodes->n, *level = TESS_NEW(int, n), *next = TESS_NEW(int, n);

    for (int i = 0; i < n; i++) {
        level[i] = nodes->level[i];
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

/* Levels that a rank climbs while its lanes finish: all, unless several threads then wait for one
 * that adds; the last ones, with fewer than two nodes a thread, are climbed by all together. */
static int levels_at_once(int n, int threads)
{
    int k = 0;

    if (threads == 1)
        return 31;
    while ((4 << k) * threads <= n)
        k++;
    return k;
}

/* A buffer for each thread to fill, a waiting sum for each level, and with several threads the sums
 * of level k that are left for climb_local. Never more than lanes. */
int tess_lanes_buffers(int n, int threads)
{
    int k = 0, levels = levels_at_once(n, threads), most;

    while ((2 << k) <= n && k < levels)
        k++;
    most = threads + k + (threads > 1 ? n >> k : 0);
    return most < n ? most : n;
}

int tess_lanes_reserve(struct tess_lanes *lanes, int64_t size, int threads,
                       struct tess_error *error)
{
    int n = own_lanes(lanes), wanted = tess_lanes_buffers(n, threads);

    lanes->size = size;
    lanes->top = levels_at_once(n, threads);
    lanes->sum = TESS_NEW(float *, n);
    lanes->sum_level = TESS_NEW(int, n);
    lanes->spare = TESS_NEW(float *, n);
    for (; lanes->n_buffers < wanted && error->code == TESS_OK; lanes->n_buffers++) {
        float *buffer = tess_alloc_large((size_t)size, sizeof(float), "gradients", error);

        if (buffer)
            lanes->spare[lanes->n_spare++] = buffer;
    }
    return error->code;
}

float *tess_lanes_take(struct tess_lanes *lanes)
{
    float *buffer = NULL;

#pragma omp critical(tess_lanes)
    if (lanes->n_spare > 0)
        buffer = lanes->spare[--lanes->n_spare];
    return buffer ? buffer : TESS_NEW(float, lanes->size); /* lanes finished in a rare order */
}

static int is_root(const struct tess_lanes *lanes, int at, int k)
{
    for (int i = lanes->root_first[lanes->rank]; i < lanes->root_first[lanes->rank + 1]; i++)
        if (lanes->root[i] == at)
            return k >= lanes->level[i];
    return 0;
}

/* Within the critical section. If the sum of the sibling waits already, takes it out and returns
 * it; *k is the level of both. Else leaves `sum` in the place of the node: NULL. A node without a
 * right child, which would begin beyond the last lane, has the sum of its left one: *k rises. */
static float *leave_or_meet(struct tess_lanes *lanes, int at, int *k, float *sum)
{
    int first = lanes->first[lanes->rank], sibling;
    float *other;

    while (at % (2 << *k) == 0 && at + (1 << *k) >= lanes->n && !is_root(lanes, at, *k))
        ++*k; /* no right child */
    sibling = (at ^ (1 << *k)) - first;
    if (*k < lanes->top && !is_root(lanes, at, *k) && lanes->sum[sibling] &&
        lanes->sum_level[sibling] == *k) {
        other = lanes->sum[sibling];
        lanes->sum[sibling] = NULL;
        return other;
    }
    lanes->sum[at - first] = sum;
    lanes->sum_level[at - first] = *k;
    return NULL;
}

/* The thread that comes second of two siblings adds them, outside of the critical section, since
 * both are its own by then. It is left + right in either case, in the place of the left one. */
void tess_lanes_give(struct tess_lanes *lanes, int lane, float *gradient)
{
    int at = lanes->first[lanes->rank] + lane, k = 0;
    float *sum = gradient;

    for (;;) {
        float *other, *right;

#pragma omp critical(tess_lanes)
        other = leave_or_meet(lanes, at, &k, sum);
        if (!other)
            return;
        right = at & 1 << k ? sum : other;
        sum = at & 1 << k ? other : sum;
        add(lanes->size, right, sum);
#pragma omp critical(tess_lanes)
        lanes->spare[lanes->n_spare++] = right;
        at &= ~(1 << k++);
    }
}

/* What is left to climb within this rank: then its roots' sums are in sum[], by their first lane.
 */
static void climb_local(struct tess_lanes *lanes)
{
    int n = own_lanes(lanes), n_nodes = 0;
    int *at = TESS_NEW(int, n), *level = TESS_NEW(int, n);
    float **x = TESS_NEW(float *, n);

    for (int i = 0; i < n; i++)
        if (lanes->sum[i]) {
            at[n_nodes] = lanes->first[lanes->rank] + i;
            level[n_nodes] = lanes->sum_level[i];
            x[n_nodes++] = lanes->sum[i];
        }
    if (n_nodes > lanes->root_first[lanes->rank + 1] - lanes->root_first[lanes->rank]) {
#pragma omp parallel for schedule(static)
        for (int64_t from = 0; from < lanes->size; from += STRIDE)
            climb(lanes, &(struct nodes){n_nodes, at, level}, x, from,
                  from + STRIDE < lanes->size ? from + STRIDE : lanes->size);
    }
    tess_free(at);
    tess_free(level);
    tess_free(x);
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

/* Each rank sends each of its roots' sums, cut into slices, to the slices' owners, and adds the
 * roots of all ranks for its own slice, on up the same tree. The tag is the root's number. Receives
 * are posted first; sends begin with the next rank, so that not all go to rank 0 at once. */
void tess_lanes_reduce(struct tess_lanes *lanes, const int64_t *slice, float *out)
{
    int me = lanes->rank, mine = lanes->root_first[me + 1] - lanes->root_first[me];
    int64_t width = slice[me + 1] - slice[me], peer_floats = 0;
    MPI_Request *request = TESS_NEW(MPI_Request, lanes->n_roots + mine * lanes->n_ranks);
    float **x = TESS_NEW(float *, lanes->n_roots);
    int n_requests = 0;
    float *at;

    climb_local(lanes);
    peer_floats = (lanes->n_roots - mine) * width;
    at = reserve(lanes, peer_floats);
    for (int r = 0; r < lanes->n_ranks; r++)
        for (int i = lanes->root_first[r]; i < lanes->root_first[r + 1]; i++) {
            if (r == me) {
                x[i] = lanes->sum[lanes->root[i] - lanes->first[me]] + slice[me];
                continue;
            }
            x[i] = at;
            at += width;
            MPI_Irecv(x[i], tess_int(width), MPI_FLOAT, r, i, lanes->comm, &request[n_requests++]);
        }
    for (int step = 1; step < lanes->n_ranks; step++) {
        int r = (me + step) % lanes->n_ranks;

        for (int i = lanes->root_first[me]; i < lanes->root_first[me + 1]; i++)
            MPI_Isend(lanes->sum[lanes->root[i] - lanes->first[me]] + slice[r],
                      tess_int(slice[r + 1] - slice[r]), MPI_FLOAT, r, i, lanes->comm,
                      &request[n_requests++]);
    }
    MPI_Waitall(n_requests, request, MPI_STATUSES_IGNORE);
#pragma omp parallel for schedule(static)
    for (int64_t from = 0; from < width; from += STRIDE)
        climb(lanes, &(struct nodes){lanes->n_roots, lanes->root, lanes->level}, x, from,
              from + STRIDE < width ? from + STRIDE : width);
    if (width > 0)
        memcpy(out, x[0], (size_t)width * sizeof *out);
    drop_sums(lanes);
    tess_free(request);
    tess_free(x);
}
