/* baseline_similar.h -- how alike the changes of two contexts are. */
#ifndef BASELINE_SIMILAR_H
#define BASELINE_SIMILAR_H

#include "learn.h"

struct tess_similar { /* the same on every rank */
    int64_t *number; /* (n_contexts) row of a context that is asked for, or -1; own */
    double *r; /* (those, n_contexts) -1: it cannot be told; own */
};

/* Pearson's r of the changes of each context with asked[context] to those of every other, over the
 * training perturbations (at least 3) and readouts that both have. Collective over learn->comm. */
int tess_similar_init(struct tess_similar *similar, const struct tess_learn *learn,
                      const uint8_t *asked, struct tess_error *error);
void tess_similar_release(struct tess_similar *similar);

#endif
