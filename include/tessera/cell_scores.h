/* cell_scores.h -- a ranked list of edges beside single cells: `tessera network evaluate --cells`.
 *
 * As CausalBench (Chevalley et al.) scores networks: does losing the regulator change the target's
 * distribution where there is an edge, and leave it where there is none? Beside every network
 * stands a random one of as many edges. */
#ifndef TESSERA_CELL_SCORES_H
#define TESSERA_CELL_SCORES_H

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;
struct tess_cell_options;

#define TESS_CELL_DEPTHS 17
#define TESS_CELL_P      0.05 /* below it a change counts; not corrected for the number of tests */

/* Of one network: NaN where there is nothing to be averaged. */
struct tess_cell_score {
    int64_t n_measured, n_omitted_measured; /* edges, omitted pairs with enough measured values:
                                               what is averaged */
    double distance, error; /* mean Wasserstein distance over the edges; its standard error */
    double changed; /* share of the edges whose Mann-Whitney p is below TESS_CELL_P */
    int64_t n_omitted; /* sampled pairs that no path connects */
    int64_t n_free; /* of so many */
    double omission; /* share of these whose p is below it: false omission rate */
    double omitted_distance; /* mean Wasserstein distance over them */
};

struct tess_cell_scores {
    const char *edges; /* the list; borrowed */
    const struct tess_cell_options *cells; /* borrowed */
    const char *output; /* or NULL: a table of all pairs that were looked at */
    int force;
    int64_t path_length, n_pairs, seed; /* of pairs that are sampled */
    int n_depths; /* best edges that are a network; the last becomes all of the list */
    int64_t depth[TESS_CELL_DEPTHS];
    /* results */
    int64_t n_edges; /* of the list, that count */
    int64_t n_self, n_unperturbed, n_unread; /* of the list, left out: genes with themselves;
                                                regulators without cells; targets not read out */
    int64_t n_genes, n_readouts, n_all; /* perturbed genes, readouts, their pairs */
    int64_t n_perturbed_cells, n_control_cells;
    struct tess_cell_score list[TESS_CELL_DEPTHS], random[TESS_CELL_DEPTHS];
};

/* Scores the list; results are rank 0's. A network deeper than the list is scored NaN. TESS_EDATA
 * (also if no pair that is looked at has enough measured values),
 * TESS_ECREATE, TESS_EIO. The same on any number of ranks. Collective over comm. */
int tess_cell_scores_make(struct tess_cell_scores *scores, MPI_Comm comm, struct tess_error *error);
void tess_cell_scores_print(const struct tess_cell_scores *scores, FILE *out); /* local */
json_t *tess_cell_scores_json(const struct tess_cell_scores *scores); /* own of the caller; local */

#endif
