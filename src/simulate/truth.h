/* truth.h -- the noise-free values of a simulation, row by row. */
#ifndef TRUTH_H
#define TRUTH_H

#include "truth_network.h"

struct truth {
    const struct tess_simulate *simulate; /* borrowed */
    int64_t n_readouts, n_contexts;
    double *base; /* (n_contexts, n_readouts) own */
    double *v, *v_mixed; /* (n_readouts, rank) own; no network */
    double *w_mixed; /* (n_contexts, rank) own; no network */
    struct network network; /* own; if asked for */
    double *scratch; /* (2 rank) own; no network */
};

void tess_truth_init(struct truth *truth, const struct tess_simulate *simulate);
void tess_truth_release(struct truth *truth);
/* out (n_readouts): the profile of a set of perturbations, ascending; none: the control. `noise`
 * (n_readouts) or NULL: added to a network's input, else to the profile. */
void tess_truth_row(const struct truth *truth, int n_members, const int64_t *member,
                    int64_t context, const double *noise, double *out);

#endif
