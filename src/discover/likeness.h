/* likeness.h -- cosines of some perturbations with many, a tile at a time. Local to the folder.
 *
 * The candidates are dealt out to the ranks in tiles of TESS_LIKENESS_TILE; every rank has all of a
 * batch's queries. A product's shape, and where its rows lie in it, follow from the list of queries
 * and the numbers of the candidates alone: the same bits on any number of ranks. */
#ifndef LIKENESS_H
#define LIKENESS_H

#include "directions.h"

#define TESS_LIKENESS_TILE 256

struct tess_likeness {
    const struct tess_directions *directions; /* borrowed */
    const uint8_t *candidate; /* (perturbations) borrowed */
    const float *hub; /* (perturbations) of CSLS (hubs.h); NULL: cosines; borrowed */
    MPI_Comm comm; /* borrowed */
};

struct tess_likeness_queries {
    int64_t n;
    const int64_t *row; /* (n) ascending; borrowed */
};

struct tess_likeness_visitor {
    void *closure;
    /* Likeness (cosines, or CSLS) of all queries to perturbations [first, first + n), of which only
     * candidates count: value (queries, TESS_LIKENESS_TILE), NaN of a vector without length. Local.
     */
    void (*take)(void *closure, int64_t first, int64_t n, const float *value);
};

/* How many queries at a time keep to a bounded memory: a multiple of the tile. Local. */
int64_t tess_likeness_batch(const struct tess_likeness *likeness);
/* This rank's share of the candidates. Local: agree afterwards. */
int tess_likeness_scan(const struct tess_likeness *likeness,
                       const struct tess_likeness_queries *queries,
                       const struct tess_likeness_visitor *visitor, struct tess_error *error);

#endif
