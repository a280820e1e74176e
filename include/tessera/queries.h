/* queries.h -- predictions for any list of queries: a table of text goes in line by line, and comes
 * out with a model's values beside each line.
 *
 * A query is a context, a perturbation and a readout, or the first two alone, which ask for a value
 * of every readout. Values are those of `impute` to the bit, in whatever order they are asked for;
 * as text they have nine digits, which read back as the same float. */
#ifndef TESSERA_QUERIES_H
#define TESSERA_QUERIES_H

#include "tessera/blend.h"
#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

#define TESS_QUERIES_PIPE "-" /* standard input, standard output */

struct tess_queries {
    int n_models; /* more than one: an ensemble, with standard deviations. */
    char *const *model; /* run directories or checkpoints. Borrowed */
    const char *input, *output; /* paths, or TESS_QUERIES_PIPE. Borrowed */
    const char *store; /* of the baselines, or NULL: the training's. Borrowed */
    struct tess_strings readout; /* of queries without one: which; empty: all trained. Own */
    /* Instead of an input: drugs whose doses are queries, in these contexts (none: all that were
     * trained), FROM:TO:N or NULL. Own; doses borrowed. */
    struct tess_strings curve, curve_context;
    const char *doses;
    enum tess_blend_choice blend;
    int precision; /* enum tess_precision */
    int unknown; /* 1: values of unknown symbols are nan; 0: they are refused */
    int force; /* an output that exists may be replaced */
    double memory; /* bytes that a rank may have; 0: as much as suits */
    int64_t threads; /* of a rank; 0: as OMP_NUM_THREADS says, else 1 */
};

void tess_queries_release(struct tess_queries *queries); /* local */
/* TESS_EUSAGE if the output is missing or has another ending than .tsv, .txt or .csv. Local. */
int tess_queries_check(const struct tess_queries *queries, struct tess_error *error);
/* Rank 0 reads and writes; all predict, a share of the lines each, in bounded memory. A file
 * appears whole or not at all. TESS_EDATA for a line that is no query or names what the model does
 * not know, TESS_EUSAGE if the memory is too small, TESS_ECREATE for an output that is there
 * already. Collective over comm. */
int tess_queries_run(const struct tess_queries *queries, MPI_Comm comm, struct tess_error *error);

#endif
