/* feature_file.h -- side features of symbols out of a file: a table of text whose first column is
 * the symbol, or AnnData with symbols as the names of its rows. */
#ifndef TESSERA_FEATURE_FILE_H
#define TESSERA_FEATURE_FILE_H

#include "tessera/composition.h"
#include "tessera/config.h"
#include "tessera/features.h"

#include <mpi.h>

struct tess_error;
struct tess_vocab;

struct tess_feature_file {
    const char *path; /* "": none */
    const char *kind; /* of symbols, for sentences: "perturbation" */
    int64_t axes; /* coordinates that are kept */
    int further; /* keep what it knows of others, too */
};

/* What was read for one set of settings, for who reads it again and again: of other settings it is
 * read anew. All zeroes is none yet. Of one store. Local. */
struct tess_feature_cache {
    /* (TESS_N_TABLES) No file is read: the features are those of a model. NULL: borrowed */
    const struct tess_features_known *known;
    char path[2][TESS_PATH]; /* of perturbations, readouts */
    int64_t axes, top_variable;
    struct tess_features features[TESS_N_TABLES]; /* own */
};
void tess_feature_cache_release(struct tess_feature_cache *cache); /* local */
/* Rank 0's to all: n and k of the others are set, its names are none yet. Collective over comm. */
void tess_features_broadcast(struct tess_features *features, MPI_Comm comm);

/* The features of all symbols that the file knows by their name, their target, or those of
 * their drug (target.h): standardised, missing ones at their column's mean, on their leading
 * principal axes; so scaled that the mean square of a symbol's is 1 with all axes. `further`: all
 * rows of the file, by their own names, so placed. Without a file none, and features->k is 0. Rank
 * 0 reads, all get the result. TESS_EDATA for what is no table of numbers, symbols that are there
 * twice with different numbers, and files that know too few of the symbols. Collective over comm.
 */
int tess_feature_file_read(struct tess_features *features, const struct tess_feature_file *file,
                           const struct tess_vocab *symbols, MPI_Comm comm,
                           struct tess_error *error);

#endif
