/* route.c -- every request is served by its owner, in the order of ranks and of wishing, both ways.
 */
#include "tessera/route.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <stdio.h>

#define DIM   5
#define STEPS 6

static int rank, n_ranks, bad;

static void expect(int right, const char *what, int step)
{
    if (!right && !bad)
        fprintf(stderr, "rank %d of %d, step %d: %s\n", rank, n_ranks, step, what);
    bad |= !right;
}

static struct tess_random stream_of(int r, int step)
{
    return tess_random_stream(2, TESS_RANDOM_TEST, (uint64_t)(r * STEPS + step));
}

/* How many entries a rank wishes at a step: none at some, of all ranks at step 2. */
static int64_t n_wishes(int r, int step)
{
    if (step == 2 || (r + step) % 4 == 3)
        return 0;
    return 1 + tess_random_below(stream_of(r, step), 0, step == 3 ? 3000 : 40);
}

static int64_t wished(int r, int step, int64_t i)
{
    int64_t code = tess_random_below(stream_of(r, step), (uint64_t)i + 1, 50); /* many repeats */

    return code << 40 | code; /* codes need 64 bits */
}

static int owner_of(int64_t code)
{
    return n_ranks > 2 ? (int)((code & 0xff) % (n_ranks - 1)) : 0; /* the last rank owns nothing */
}

static void check_fetch(const struct tess_routes *routes, int step)
{
    const struct tess_route_step *route = &routes->step[step];
    float *serve = TESS_NEW(float, route->n_serve *DIM),
          *want = TESS_NEW(float, route->n_want *DIM);

    for (int64_t i = 0; i < route->n_serve; i++) {
        expect(owner_of(route->serve[i]) == rank, "asked for a row of somebody else's", step);
        for (int d = 0; d < DIM; d++)
            tess_route_place(route, i, DIM, serve, want)[d] =
                (float)((route->serve[i] & 0xff) * 10 + d);
    }
    tess_routes_fetch(routes, step, DIM, serve, want);
    for (int64_t i = 0; i < route->n_want; i++)
        for (int d = 0; d < DIM; d++)
            expect(want[route->slot[i] * DIM + d] ==
                       (float)((wished(rank, step, i) & 0xff) * 10 + d),
                   "got another row than wished for", step);
    tess_free(serve);
    tess_free(want);
}

/* Each wisher sends back (code, rank, number of its request): owners meet them in order. */
static void check_return(const struct tess_routes *routes, int step)
{
    const struct tess_route_step *route = &routes->step[step];
    float *serve = TESS_NEW(float, route->n_serve *DIM),
          *want = TESS_NEW(float, route->n_want *DIM);
    int64_t at = 0;

    for (int64_t i = 0; i < route->n_want; i++) {
        float *row = want + route->slot[i] * DIM;

        row[0] = (float)(wished(rank, step, i) & 0xff);
        row[1] = (float)rank;
        row[2] = (float)i;
    }
    tess_routes_return(routes, step, DIM, want, serve);
    for (int r = 0; r < n_ranks; r++)
        for (int64_t i = 0; i < n_wishes(r, step); i++) {
            const float *row = tess_route_place(route, at, DIM, serve, want);

            if (owner_of(wished(r, step, i)) != rank)
                continue;
            expect(at < route->n_serve && route->serve[at] == wished(r, step, i) &&
                       row[0] == (float)(route->serve[at] & 0xff) && row[1] == (float)r &&
                       row[2] == (float)i,
                   "what came back is not in the order of wishing", step);
            at++;
        }
    expect(at == route->n_serve, "wishes were lost or made up", step);
    expect(route->want_count[rank] == 0 && route->serve_count[rank] == 0, "sends to itself", step);
    tess_free(serve);
    tess_free(want);
}

int main(int argc, char **argv)
{
    struct tess_request request[STEPS] = {{0}};
    struct tess_routes routes = {0};

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    for (int s = 0; s < STEPS; s++)
        for (int64_t i = 0; i < n_wishes(rank, s); i++)
            tess_request_add(&request[s], wished(rank, s, i), owner_of(wished(rank, s, i)));
    tess_routes_init(&routes, MPI_COMM_WORLD, STEPS, request);
    for (int s = 0; s < STEPS; s++)
        tess_request_release(&request[s]);
    for (int s = STEPS - 1; s >= 0; s--) {
        check_fetch(&routes, s);
        check_return(&routes, s);
    }
    tess_routes_release(&routes);
    tess_routes_release(&routes);
    tess_routes_init(&routes, MPI_COMM_WORLD, 0, NULL);
    tess_routes_release(&routes);
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    MPI_Finalize();
    return bad;
}
