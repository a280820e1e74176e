/* cell_groups.h -- single cells by what was perturbed in each: one gene, or none (control). */
#ifndef TESSERA_CELL_GROUPS_H
#define TESSERA_CELL_GROUPS_H

#include "tessera/filter.h"
#include "tessera/source.h"
#include "tessera/vocab.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

/* Which cells, and what their values are. */
struct tess_cell_options {
    const char *path; /* rows are cells */
    const char *context; /* or NULL: the only one there is */
    const char *perturbation_column, *context_column;
    const char *layer; /* or NULL */
    struct tess_strings control; /* names of it beside `control` and `ctrl`; own */
    struct tess_filter filter; /* rows that count; own */
    double normalize_total; /* every cell's total, 0: as it is; then */
    int log1p;
    double memory; /* bytes of values that a rank may hold */
};
void tess_cell_options_release(struct tess_cell_options *options); /* local */

/* Genes are those with at least 3 cells, in byte order of their names, the same on every rank. A
 * cell's place is its number in the order of the groups (genes, then control) and of the file. */
struct tess_cell_groups {
    MPI_Comm comm; /* borrowed */
    const struct tess_cell_options *options; /* borrowed */
    int rank, n_ranks;
    struct tess_vocab gene, readout;
    uint8_t *gained; /* (gene.n) have its cells more of it, and not less? own */
    int64_t *self; /* (gene.n) the readout that a gene is, or -1; own */
    int64_t *column; /* (readout.n) of the file; own */
    int64_t *first; /* (gene.n + 2) group g has the places [first[g], first[g + 1]); own */
    int64_t *place; /* (n_rows of the file) or -1: it does not count; own */
    int64_t n_cells; /* that have a place */
    /* cells left out, for one reason each: of another context or filtered, without a context, of
     * several perturbations, without a label, of genes with too few; and how many genes these are.
     * Rank 0's */
    int64_t n_elsewhere, n_nowhere, n_combined, n_unlabelled, n_sparse, n_sparse_genes;
    int64_t n_contrary; /* and those that gained a gene which others lost */
    /* this rank's handle on the file */
    struct tess_source source;
    struct tess_source_options source_options;
    struct tess_problems problems;
    int8_t *left_out; /* (n_rows) own */
};

/* Rank 0 reads the labels, every rank opens the file. TESS_EDATA if there is no such context, or
 * several and none is named; fewer than 3 control cells, or no gene with as many. To be released in
 * either case. Collective over comm. */
int tess_cell_groups_open(struct tess_cell_groups *groups, const struct tess_cell_options *options,
                          MPI_Comm comm, struct tess_error *error);
/* Prints what there is and what was left out. Local. */
void tess_cell_groups_say(const struct tess_cell_groups *groups);
void tess_cell_groups_release(struct tess_cell_groups *groups); /* local */

/* The number of control's group. Local. */
static inline int64_t tess_cell_groups_control(const struct tess_cell_groups *groups)
{
    return groups->gene.n;
}
static inline int64_t tess_cell_groups_size(const struct tess_cell_groups *groups, int64_t group)
{
    return groups->first[group + 1] - groups->first[group];
}

#endif
