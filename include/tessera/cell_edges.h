/* cell_edges.h -- edges scored by single cells: `tessera network infer --method wasserstein`. */
#ifndef TESSERA_CELL_EDGES_H
#define TESSERA_CELL_EDGES_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_cell_options;

struct tess_cell_edges_options {
    const struct tess_cell_options *cells; /* borrowed */
    const char *output;
    int force; /* replace an output that is there */
    int64_t n_edges; /* written at most, the best ones */
};

/* Every pair of a perturbed gene and another readout: the Wasserstein distance between the
 * readout's values in cells without the gene and in control cells. Reads, scores, writes the table;
 * the same bytes on any number of ranks. TESS_EDATA, TESS_ECREATE, TESS_EIO. Collective over comm.
 */
int tess_cell_edges_infer(const struct tess_cell_edges_options *options, MPI_Comm comm,
                          struct tess_error *error);

#endif
