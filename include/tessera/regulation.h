/* regulation.h -- which gene regulates which, from perturbations of genes and what is read out of
 * each: `tessera network infer`. */
#ifndef TESSERA_REGULATION_H
#define TESSERA_REGULATION_H

#include "tessera/regulation_options.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

#define TESS_REGULATION_EDGES 1000000 /* that are written, if no number is given */

/* Which method that is, by its name; or -1. NULL is the first. Local. */
int tess_regulation_parse(const char *text);
/* Reads, infers, writes the table; says on the way what was left out and how much memory it takes.
 * The same bytes on any number of ranks, but for rounding of methods that invert a
 * matrix (inverse.h). TESS_EUSAGE if a model is to complete another's predictions, TESS_EDATA,
 * TESS_ECREATE, TESS_EIO. Collective over comm.
 */
int tess_regulation_infer(const struct tess_regulation_options *options, MPI_Comm comm,
                          struct tess_error *error);
/* Has each of so many ranks fewer numbers of a matrix than ScaLAPACK counts? Local. */
int tess_regulation_direct_fits(int64_t genes, int n_ranks);
/* Of `direct`, if as many genes are perturbed as are read out: bytes of a rank, as they are said
 * beforehand, and operations of all. Local. */
double tess_regulation_direct_bytes(int64_t genes, int n_ranks);
double tess_regulation_direct_work(int64_t genes);

#endif
