/* lanes.c -- the sum over lanes is the fixed tree's, to the bit, on any number of ranks. */
#include "tessera/lanes.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#define SIZE 40000 /* more than one thread adds at a time */

static int rank, n_ranks, bad;

static void expect(int right, const char *what, int lanes)
{
    if (!right && !bad)
        fprintf(stderr, "rank %d of %d, %d lanes: %s\n", rank, n_ranks, lanes, what);
    bad |= !right;
}

/* Entry i of a lane's gradient: of very different sizes, so that the order of additions shows. */
static float entry(int lane, int64_t i)
{
    struct tess_random stream = tess_random_stream(1, TESS_RANDOM_TEST, (uint64_t)lane);
    double x = tess_random_uniform(stream, (uint64_t)i) - 0.5;

    return (float)ldexp(x, (int)((lane * 7 + i) % 20));
}

/* Node (k, j) as the header defines it. */
static float node(const float *leaf, int n, int k, int j)
{
    if (k == 0)
        return leaf[j];
    return (2 * j + 1) << (k - 1) < n
               ? node(leaf, n, k - 1, 2 * j) + node(leaf, n, k - 1, 2 * j + 1)
               : node(leaf, n, k - 1, 2 * j);
}

/* Uneven slices, some of them empty. */
static void cut(int how, int64_t *slice)
{
    for (int r = 0; r <= n_ranks; r++)
        slice[r] = how == 0      ? (int64_t)r * SIZE / n_ranks
                   : how == 1    ? (r > n_ranks / 2 ? SIZE : 0)
                   : r < n_ranks ? r * 3
                                 : SIZE;
}

static void check_sums(struct tess_lanes *lanes, int how)
{
    int n = lanes->n, first = lanes->first[rank], mine = lanes->first[rank + 1] - first, top = 0;
    int64_t *slice = TESS_NEW(int64_t, n_ranks + 1), width;
    float *leaf = TESS_NEW(float, n), *out;

    cut(how, slice);
    width = slice[rank + 1] - slice[rank];
    out = TESS_NEW(float, width);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < mine; i++) { /* in several orders */
        int l = how == 1 ? mine - 1 - i : how == 2 && mine % 7 != 0 ? (i * 7 + 3) % mine : i;
        float *gradient = tess_lanes_take(lanes);

        for (int64_t k = 0; k < SIZE; k++)
            gradient[k] = entry(first + l, k);
        tess_lanes_give(lanes, l, gradient);
    }
    tess_lanes_reduce(lanes, slice, out);
    while ((1 << top) < n)
        top++;
    for (int64_t i = 0; i < width; i++) {
        double sum = 0, size = 0;
        float want;

        for (int l = 0; l < n; l++) {
            leaf[l] = entry(l, slice[rank] + i);
            sum += (double)leaf[l];
            size += fabs((double)leaf[l]);
        }
        want = node(leaf, n, top, 0);
        expect(memcmp(&want, &out[i], sizeof want) == 0, "a sum has not the tree's bits", n);
        expect(fabs(sum - (double)out[i]) <= 1e-6 * size, "a sum is wrong", n);
    }
    tess_free(leaf);
    tess_free(out);
    tess_free(slice);
}

/* Roots cover every lane once, in order, and lie within one rank each. */
static void check_roots(const struct tess_lanes *lanes)
{
    int next = 0;

    expect(lanes->first[0] == 0 && lanes->first[n_ranks] == lanes->n, "lanes are missing",
           lanes->n);
    for (int r = 0; r < n_ranks; r++) {
        expect(lanes->first[r + 1] > lanes->first[r], "a rank has no lane", lanes->n);
        for (int i = lanes->root_first[r]; i < lanes->root_first[r + 1]; i++) {
            int end = lanes->root[i] + (1 << lanes->level[i]);

            expect(lanes->root[i] == next && next % (1 << lanes->level[i]) == 0,
                   "a root is at the wrong place", lanes->n);
            next = end < lanes->n ? end : lanes->n;
            expect(next <= lanes->first[r + 1], "a root reaches into the next rank", lanes->n);
        }
        expect(next == lanes->first[r + 1], "roots leave a lane out", lanes->n);
    }
}

static void check_refusal(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_lanes lanes;

    if (n_ranks == 1)
        return;
    expect(tess_lanes_init(&lanes, MPI_COMM_WORLD, n_ranks - 1, &error) == TESS_ECONFIG &&
               strstr(error.text, "train.lanes"),
           "more ranks than lanes are not refused", n_ranks - 1);
    tess_lanes_release(&lanes);
}

int main(int argc, char **argv)
{
    static const int n_lanes[] = {5, 7, 16, 33};

    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    for (int k = 0; k < 4; k++) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_lanes lanes;

        omp_set_num_threads(1 + k % 2);
        expect(tess_lanes_init(&lanes, MPI_COMM_WORLD, n_lanes[k], &error) == TESS_OK, error.text,
               n_lanes[k]);
        check_roots(&lanes);
        expect(tess_lanes_reserve(&lanes, SIZE, 1 + k % 2, &error) == TESS_OK, error.text,
               n_lanes[k]);
        for (int how = 0; how < 3; how++)
            check_sums(&lanes, how);
        tess_lanes_release(&lanes);
        tess_lanes_release(&lanes);
    }
    check_refusal();
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return bad;
}
