/* route.c -- who needs which rows, told once for many steps. */
#include "tessera/route.h"

#include "tessera/alloc.h"

#include <string.h>

void tess_request_add(struct tess_request *request, int64_t code, int owner)
{
    if (request->n == request->room) {
        size_t room = (size_t)request->room, same = room;

        request->code =
            tess_grow(request->code, &room, (size_t)request->n + 1, sizeof *request->code);
        request->owner =
            tess_grow(request->owner, &same, (size_t)request->n + 1, sizeof *request->owner);
        request->room = (int64_t)room;
    }
    request->code[request->n] = code;
    request->owner[request->n++] = owner;
}

void tess_request_release(struct tess_request *request)
{
    tess_free(request->code);
    tess_free(request->owner);
    *request = (struct tess_request){0};
}

static int sum_up(int n, const int *count, int *first)
{
    int64_t sum = 0;

    for (int i = 0; i < n; i++) {
        first[i] = tess_int(sum);
        sum += count[i];
    }
    return tess_int(sum);
}

/* Room for n elements, whatever was in it. */
static void *take(struct tess_route_block *block, int64_t n, size_t size)
{
    size_t need = (size_t)n * size;

    if (!block->at || need > block->room) {
        tess_free(block->at);
        block->room = need + need / 4;
        block->at = tess_alloc(block->room, 1);
    }
    return block->at;
}

/* Entries sorted by owner, order kept (a counting sort): counts and places; codes in message order
 * to `sorted`. */
static void sort_request(struct tess_route_step *step, int n_ranks,
                         const struct tess_request *request, int64_t *sorted)
{
    int *next = TESS_NEW(int, n_ranks);

    memset(step->want_count, 0, (size_t)n_ranks * sizeof *step->want_count);
    for (int64_t i = 0; i < request->n; i++)
        step->want_count[request->owner[i]]++;
    sum_up(n_ranks, step->want_count, step->want_first);
    for (int r = 0; r < n_ranks; r++)
        next[r] = step->want_first[r];
    for (int64_t i = 0; i < request->n; i++) {
        step->slot[i] = next[request->owner[i]]++;
        sorted[step->slot[i]] = request->code[i];
    }
    tess_free(next);
}

/* The steps with their places in the blocks for what this rank wants, and that in message order to
 * `sorted`, one step behind the other. */
static void sort_requests(struct tess_routes *routes, const struct tess_request *request)
{
    int64_t total = 0, *sorted, *slot;
    int n = routes->n_ranks,
        *count = take(&routes->counts, 4 * (int64_t)n * routes->n_steps, sizeof *count);

    for (int s = 0; s < routes->n_steps; s++) {
        routes->step[s] = (struct tess_route_step){.n_want = request[s].n};
        total += request[s].n;
    }
    slot = take(&routes->slots, total, sizeof *slot);
    sorted = take(&routes->sorted, total, sizeof *sorted);
    for (int s = 0; s < routes->n_steps; s++, count += 4 * n) {
        struct tess_route_step *step = &routes->step[s];

        step->slot = slot;
        slot += step->n_want;
        step->want_count = count;
        step->want_first = count + n;
        step->serve_count = count + 2 * n;
        step->serve_first = count + 3 * n;
    }
#pragma omp parallel for schedule(static)
    for (int s = 0; s < routes->n_steps; s++)
        sort_request(&routes->step[s], n, &request[s],
                     sorted + (routes->step[s].slot - routes->step[0].slot));
}

/* All steps' counts in one exchange: (n_ranks, n_steps) each way. */
static void exchange_counts(struct tess_routes *routes)
{
    int n = routes->n_steps, *out = TESS_NEW(int, routes->n_ranks *n);
    int *in = TESS_NEW(int, routes->n_ranks *n);
    int64_t total = 0, *serve;

    for (int r = 0; r < routes->n_ranks; r++)
        for (int s = 0; s < n; s++)
            out[r * n + s] = routes->step[s].want_count[r];
    MPI_Alltoall(out, n, MPI_INT, in, n, MPI_INT, routes->comm);
    for (int s = 0; s < n; s++) {
        struct tess_route_step *step = &routes->step[s];

        for (int r = 0; r < routes->n_ranks; r++)
            step->serve_count[r] = in[r * n + s];
        step->n_serve = sum_up(routes->n_ranks, step->serve_count, step->serve_first);
        total += step->n_serve;
    }
    serve = take(&routes->serves, total, sizeof *serve);
    for (int s = 0; s < n; s++) {
        routes->step[s].serve = serve;
        serve += routes->step[s].n_serve;
    }
    tess_free(out);
    tess_free(in);
}

/* What a rank asks of itself leaves the counts; its places in both messages stay, unused in one. */
static void set_own_apart(struct tess_routes *routes)
{
    int rank;

    MPI_Comm_rank(routes->comm, &rank);
    for (int s = 0; s < routes->n_steps; s++) {
        struct tess_route_step *step = &routes->step[s];

        step->n_own = step->want_count[rank];
        step->own_want = step->want_first[rank];
        step->own_serve = step->serve_first[rank];
        step->want_count[rank] = step->serve_count[rank] = 0;
    }
}

void tess_routes_init(struct tess_routes *routes, MPI_Comm comm, int n_steps,
                      const struct tess_request *request)
{
    const int64_t *sorted;

    routes->comm = comm;
    routes->n_steps = n_steps;
    MPI_Comm_size(comm, &routes->n_ranks);
    routes->step = take(&routes->steps, n_steps, sizeof *routes->step);
    sort_requests(routes, request);
    exchange_counts(routes);
    sorted = routes->sorted.at;
    for (int s = 0; s < n_steps; s++) {
        struct tess_route_step *step = &routes->step[s];

        MPI_Alltoallv(sorted, step->want_count, step->want_first, MPI_INT64_T, step->serve,
                      step->serve_count, step->serve_first, MPI_INT64_T, comm);
        sorted += step->n_want;
    }
    set_own_apart(routes);
}

void tess_routes_release(struct tess_routes *routes)
{
    tess_free(routes->steps.at);
    tess_free(routes->slots.at);
    tess_free(routes->sorted.at);
    tess_free(routes->serves.at);
    tess_free(routes->counts.at);
    *routes = (struct tess_routes){0};
}

/* Counts are rows, so that they fit MPI's int. */
static MPI_Datatype row_type(int dim)
{
    MPI_Datatype type;

    MPI_Type_contiguous(dim, MPI_FLOAT, &type);
    MPI_Type_commit(&type);
    return type;
}

void tess_routes_fetch(const struct tess_routes *routes, int step, int dim, const float *serve,
                       float *want)
{
    const struct tess_route_step *s = &routes->step[step];
    MPI_Datatype row = row_type(dim);

    MPI_Alltoallv(serve, s->serve_count, s->serve_first, row, want, s->want_count, s->want_first,
                  row, routes->comm);
    MPI_Type_free(&row);
}

void tess_routes_return(const struct tess_routes *routes, int step, int dim, const float *want,
                        float *serve)
{
    const struct tess_route_step *s = &routes->step[step];
    MPI_Datatype row = row_type(dim);

    MPI_Alltoallv(want, s->want_count, s->want_first, row, serve, s->serve_count, s->serve_first,
                  row, routes->comm);
    MPI_Type_free(&row);
}
