/* route.h -- rows travelling from their owners to the lanes that need them, and gradients back.
 *
 * For a window of steps every rank says once which entries (any 64-bit code: a table and a row) it
 * will need at each step, and of whom; after that a step costs one exchange of rows and one of
 * gradients, a single message a peer, without any indices. Entries keep the order in which they
 * were asked for, so that an owner meets the gradients in lane order. What a rank asks of itself
 * is not sent: it has one place, for the lane as for the owner (tess_route_place). */
#ifndef TESSERA_ROUTE_H
#define TESSERA_ROUTE_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/* The rows that one rank asks for at one step. All zeroes asks for none. */
struct tess_request {
    int64_t n, room;
    int64_t *code; /* own */
    int *owner; /* own */
};
/* One more row: its code, and the rank that holds it. Local. */
void tess_request_add(struct tess_request *request, int64_t code, int owner);
void tess_request_release(struct tess_request *request);

struct tess_route_step {
    int64_t n_want, n_serve;
    int64_t *slot; /* (n_want) entry's place in the message */
    int64_t *serve; /* (n_serve) codes asked of this rank, by asking rank */
    int *want_count, *want_first; /* (n_ranks) entries by owner */
    int *serve_count, *serve_first; /* (n_ranks) entries by asking rank */
    int64_t n_own, own_want, own_serve; /* asked of itself: how many, where they begin in `want` and
                                           in `serve`; not in the counts */
};

/* Memory that is used again: a window of steps asks for some MB, and the system clears pages anew
 * each time that it gives them. */
struct tess_route_block {
    void *at; /* own */
    size_t room;
};

/* All zeroes before the first window. */
struct tess_routes {
    MPI_Comm comm; /* borrowed */
    int n_ranks, n_steps;
    struct tess_route_step *step; /* (n_steps); its arrays and itself lie in the blocks */
    struct tess_route_block steps, slots, sorted, serves, counts;
};

/* From what this rank wants at each of n_steps steps: request (n_steps), borrowed for the call; a
 * window before is forgotten. n_steps agrees. Collective over comm. */
void tess_routes_init(struct tess_routes *routes, MPI_Comm comm, int n_steps,
                      const struct tess_request *request);
void tess_routes_release(struct tess_routes *routes); /* local */

/* Where the owner has the row (dim) that belongs to entry i of step->serve. Local. */
static inline float *tess_route_place(const struct tess_route_step *step, int64_t i, int dim,
                                      float *serve, float *want)
{
    int64_t own = i - step->own_serve;

    return own >= 0 && own < step->n_own ? want + (step->own_want + own) * dim : serve + i * dim;
}

/* serve (n_serve, dim) from the owner → want (n_want, dim), by slot. Collective. */
void tess_routes_fetch(const struct tess_routes *routes, int step, int dim, const float *serve,
                       float *want);
/* The way back. Collective. */
void tess_routes_return(const struct tess_routes *routes, int step, int dim, const float *want,
                        float *serve);

#endif
