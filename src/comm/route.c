/* route.c -- who needs which rows, told once for many steps. */
#include "tessera/route.h"

#include "tessera/alloc.h"

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

/* Entries sorted by owner, order kept (a counting sort): counts and places; codes in message order
 * to `sorted`. */
static void sort_request(struct tess_route_step *step, int n_ranks,
                         const struct tess_request *request, int64_t *sorted)
{
    int *next = TESS_NEW(int, n_ranks);

    step->n_want = request->n;
    step->slot = TESS_NEW(int64_t, request->n);
    step->want_count = TESS_NEW(int, n_ranks);
    step->want_first = TESS_NEW(int, n_ranks);
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

/* All steps' counts in one exchange: (n_ranks, n_steps) each way. */
static void exchange_counts(struct tess_routes *routes)
{
    int n = routes->n_steps, *out = TESS_NEW(int, routes->n_ranks *n);
    int *in = TESS_NEW(int, routes->n_ranks *n);

    for (int r = 0; r < routes->n_ranks; r++)
        for (int s = 0; s < n; s++)
            out[r * n + s] = routes->step[s].want_count[r];
    MPI_Alltoall(out, n, MPI_INT, in, n, MPI_INT, routes->comm);
    for (int s = 0; s < n; s++) {
        struct tess_route_step *step = &routes->step[s];

        step->serve_count = TESS_NEW(int, routes->n_ranks);
        step->serve_first = TESS_NEW(int, routes->n_ranks);
        for (int r = 0; r < routes->n_ranks; r++)
            step->serve_count[r] = in[r * n + s];
        step->n_serve = sum_up(routes->n_ranks, step->serve_count, step->serve_first);
        step->serve = TESS_NEW(int64_t, step->n_serve);
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
    int64_t **sorted = TESS_NEW(int64_t *, n_steps);

    *routes = (struct tess_routes){.comm = comm, .n_steps = n_steps};
    MPI_Comm_size(comm, &routes->n_ranks);
    routes->step = TESS_NEW(struct tess_route_step, n_steps);
    for (int s = 0; s < n_steps; s++) {
        sorted[s] = TESS_NEW(int64_t, request[s].n);
        sort_request(&routes->step[s], routes->n_ranks, &request[s], sorted[s]);
    }
    exchange_counts(routes);
    for (int s = 0; s < n_steps; s++) {
        struct tess_route_step *step = &routes->step[s];

        MPI_Alltoallv(sorted[s], step->want_count, step->want_first, MPI_INT64_T, step->serve,
                      step->serve_count, step->serve_first, MPI_INT64_T, comm);
        tess_free(sorted[s]);
    }
    tess_free(sorted);
    set_own_apart(routes);
}

void tess_routes_release(struct tess_routes *routes)
{
    for (int s = 0; s < routes->n_steps; s++) {
        tess_free(routes->step[s].slot);
        tess_free(routes->step[s].serve);
        tess_free(routes->step[s].want_count);
        tess_free(routes->step[s].want_first);
        tess_free(routes->step[s].serve_count);
        tess_free(routes->step[s].serve_first);
    }
    tess_free(routes->step);
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
