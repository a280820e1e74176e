/* truth_network.h -- a sparse causal network and its steady states; formulas in simulate.h. */
#ifndef TRUTH_NETWORK_H
#define TRUTH_NETWORK_H

#include "streams.h"

#include <math.h>

struct tess_error;

/* Genes in causal order; regulators of gene i are regulator[first[i] .. first[i + 1]), most of them
 * before it, a few behind (feedback). The absolute weights of a gene's regulators sum to less than
 * 1 in every context, so there is one steady state. */
struct network {
    int64_t n_genes, n_targets;
    int64_t *order; /* (n_genes) gene numbers, causes first; own */
    int64_t *first; /* (n_genes + 1) own */
    int64_t *regulator; /* (n_edges) ascending within a gene; own */
    double *weight; /* (n_edges) own */
    double *weight_in; /* (n_contexts, n_edges) own */
    int64_t *target; /* (n_targets) gene of each perturbation, ascending; own */
};

void tess_truth_network_init(struct network *network, const struct tess_simulate *simulate);
void tess_truth_network_release(struct network *network);
int tess_truth_network_write_gold(const struct network *network, const char *path,
                                  const char *const *gene, struct tess_error *error);
/* A set of perturbations, ascending, in a context; noise (n_genes), added to the input, or NULL. */
struct network_input {
    int n_members;
    const int64_t *member;
    int64_t context;
    const double *noise;
};
/* The steady state; out (n_genes) holds the baseline, and then that. */
void tess_truth_network_solve(const struct network *network, const struct tess_simulate *simulate,
                              const struct network_input *given, double *out);

/* (1 - nonlinearity) x + nonlinearity tanh(x) */
static inline double tess_truth_network_bend(double x, double nonlinearity)
{
    return (1 - nonlinearity) * x + nonlinearity * tanh(x);
}

#endif
