/* truth.h -- the noise-free values of a simulation, row by row. */
#ifndef TRUTH_H
#define TRUTH_H

#include "tessera/random.h"
#include "tessera/simulate.h"

/* What a stream of TESS_RANDOM_SIMULATE is for. Append only: part of what a seed means. */
enum part {
    PART_BASE,
    PART_BASE_CONTEXT,
    PART_U,
    PART_V,
    PART_U_MIXED,
    PART_V_MIXED,
    PART_W_MIXED,
    PART_EPISTASIS,
    PART_NOISE,
    PART_MISSING,
    PART_MEASURED,
    PART_PANEL,
    PART_COMBINATION,
    PART_SPLIT,
    PART_DEPTH,
    PART_COUNT,
    PART_EDGE,
    PART_WEIGHT,
    PART_WEIGHT_CONTEXT,
    PART_SHIFT,
    PART_TARGET,
    PART_ORDER,
};

static inline struct tess_random part_stream(const struct tess_simulate *simulate, enum part part)
{
    return tess_random_stream((uint64_t)simulate->seed, TESS_RANDOM_SIMULATE, (uint64_t)part);
}

/* Genes in causal order; regulators of gene i are regulator[first[i] .. first[i + 1]), most of them
 * before it, a few behind (feedback). The absolute weights of a gene's regulators sum to less than
 * 1 in every context, so there is one steady state. */
struct network {
    int64_t n_genes, n_targets;
    int64_t *order;     /* (n_genes) gene numbers, causes first; own   */
    int64_t *first;     /* (n_genes + 1) own                           */
    int64_t *regulator; /* (n_edges) ascending within a gene; own      */
    double *weight;     /* (n_edges) own                               */
    double *weight_in;  /* (n_contexts, n_edges) own                   */
    int64_t *target;    /* (n_targets) gene of each perturbation, ascending; own */
};

void network_init(struct network *network, const struct tess_simulate *simulate);
void network_release(struct network *network);
int network_write_gold(const struct network *network, const char *path, const char *const *gene,
                       struct tess_error *error);

struct truth {
    const struct tess_simulate *simulate; /* borrowed */
    int64_t n_readouts, n_contexts;
    double *base;           /* (n_contexts, n_readouts) own           */
    double *v, *v_mixed;    /* (n_readouts, rank) own; no network     */
    double *w_mixed;        /* (n_contexts, rank) own; no network     */
    struct network network; /* own; if asked for                      */
    double *scratch;        /* (2 rank) own; no network                         */
};

void truth_init(struct truth *truth, const struct tess_simulate *simulate);
void truth_release(struct truth *truth);
/* out (n_readouts): the profile of a set of perturbations, ascending; none: the control. `noise`
 * (n_readouts) or NULL: for a network, added to its input. */
void truth_row(const struct truth *truth, int n_members, const int64_t *member, int64_t context,
               const double *noise, double *out);

/* (1 - nonlinearity) x + nonlinearity tanh(x) */
double truth_bend(double x, double nonlinearity);

/* The network's steady state (truth_network.c). out holds the baseline. */
void network_solve(const struct truth *truth, int n_members, const int64_t *member, int64_t context,
                   const double *noise, double *out);

#endif
