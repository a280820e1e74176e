/* edges.h -- the best edges of all ranks, in order. */
#ifndef TESSERA_EDGES_H
#define TESSERA_EDGES_H

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;

/* What a score is made of, in the order of the table's columns. */
enum tess_edge_part {
    TESS_EDGE_EFFECT, /* Z */
    TESS_EDGE_DIRECT, /* what of it is no path */
    TESS_EDGE_COMPETITION, /* S²/2 */
    TESS_EDGE_HUB,
    TESS_EDGE_COVARIATION,
    TESS_EDGE_REFIT,
    TESS_EDGE_PARTS
};

struct tess_edge {
    double score, part[TESS_EDGE_PARTS];
    double std; /* of the score, over the members of an ensemble; else 0 */
    int32_t regulator, target; /* their numbers */
    int32_t sign; /* 1 activates, -1 represses, 0 unknown */
};

/* Of all that are added the `most` best, by score, then regulator, then target. */
struct tess_edges {
    int64_t n, most;
    size_t room;
    struct tess_edge *edge; /* own */
    int full; /* edge[most - 1] is the worst that still counts */
    struct tess_edge worst;
};

/* Room for all that there can be at a time, of this rank's `pairs`; without it the list grows by
 * itself. TESS_EOS without memory. Local. */
int tess_edges_reserve(struct tess_edges *edges, int64_t pairs, struct tess_error *error);
/* Bytes of a rank, at most: sorting its own, and putting lists together of `pairs` of all ranks.
 * Local. */
double tess_edges_bytes(int64_t most, double own_pairs, double pairs);
void tess_edges_add(struct tess_edges *edges, const struct tess_edge *edge); /* local */
/* Rank 0 has the best of all ranks, in order; the others none. Lists are put together two by two,
 * side by side: no rank has more than three times `most` meanwhile. `most` agrees. Collective. */
void tess_edges_gather(struct tess_edges *edges, MPI_Comm comm);
void tess_edges_release(struct tess_edges *edges);

#endif
