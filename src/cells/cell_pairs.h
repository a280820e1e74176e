/* cell_pairs.h -- pairs of a perturbed gene and a readout that are drawn: a random network, and
 * pairs that a network does not connect. Local; of one rank. */
#ifndef CELL_PAIRS_H
#define CELL_PAIRS_H

#include <stdint.h>

struct tess_cell_groups;

struct tess_cell_pair {
    int32_t regulator, target; /* numbers of a gene and of a readout */
};

/* All pairs but those of a gene with itself. */
int64_t tess_cell_pairs_all(const struct tess_cell_groups *groups);

/* n of all pairs (0 <= n <= all), distinct, in random order: a random network, as is every
 * beginning of it. */
void tess_cell_pairs_draw(const struct tess_cell_groups *groups, uint64_t seed, int64_t n,
                          struct tess_cell_pair *out);

struct tess_cell_network {
    int64_t n; /* edges */
    const struct tess_cell_pair *edge; /* (n) distinct; borrowed */
    int64_t path_length; /* a pair is connected by a path of at most so many edges */
    uint64_t seed, number; /* what is drawn; of the network, among several */
};

/* Up to n of the pairs that are not connected, distinct, each as likely as any other: how many.
 * Takes n draws, whatever there is to be drawn from. *free: how many there are. */
int64_t tess_cell_pairs_omitted(const struct tess_cell_groups *groups,
                                const struct tess_cell_network *network, int64_t n,
                                struct tess_cell_pair *out, int64_t *free);

#endif
