/* neighbors.h -- which perturbations a model holds for alike: nearest neighbours by cosine, and how
 * well they find pairs that are known. */
#ifndef TESSERA_NEIGHBORS_H
#define TESSERA_NEIGHBORS_H

#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_model;

enum tess_neighbors_center {
    TESS_NEIGHBORS_BY_TYPE, /* less the mean of the trained ones of a type (target.h) */
    TESS_NEIGHBORS_BY_ALL,
    TESS_NEIGHBORS_AS_IS
};

enum tess_neighbors_vectors {
    TESS_NEIGHBORS_EFFECTIVE, /* rows as the network sees them */
    TESS_NEIGHBORS_RAW, /* the rows themselves */
    TESS_NEIGHBORS_COMPLETED /* measured changes, predicted where there are none, in units of noise
                              */
};

struct tess_neighbors { /* all borrowed */
    const struct tess_strings *of; /* whose; empty: all that were trained */
    const char *type, *among; /* of whom, and among whom; NULL: any but control */
    int64_t k; /* how many of each */
    int vectors; /* enum tess_neighbors_vectors */
    int center; /* enum tess_neighbors_center */
    int64_t csls; /* so many nearest say how much of a hub each is; 0: cosines as they are */
    const char *pairs; /* a table of known pairs, which are scored in place of listing; NULL */
    int64_t resamples; /* and permutations */
    const char *output; /* NULL: standard output */
    int force; /* a file that is there is replaced */
};
#define TESS_NEIGHBORS_MOST 1000 /* of k and csls */

/* The likeness of two is the mean of the members' cosines; a vector without length is nobody's
 * neighbour. Completed ones have no members, but one or two parts, and are the same on other
 * numbers of ranks up to rounding; other lists are the same bits on any number of ranks, and take
 * memory for a batch of queries and k neighbours of each. Pairs take 8 bytes for each of their
 * perturbations and each of their targets, up to three times, and measured profiles 50 numbers of
 * each perturbation, on every rank; all ranks together hold 1 GiB of measured values, and the
 * covariances of the readouts, or of the profiles if these are fewer. TESS_EDATA if symbols are
 * unknown, types do not exist, nothing is left to compare, or a vector is not finite; TESS_ECREATE;
 * TESS_EIO. Collective over comm. */
int tess_neighbors_run(const struct tess_neighbors *neighbors, const struct tess_model *model,
                       MPI_Comm comm, struct tess_error *error);

#endif
