/* impute.h -- what an imputation works with, for its files. */
#ifndef IMPUTE_H
#define IMPUTE_H

#include "tessera/calibration.h"
#include "tessera/impute.h"
#include "tessera/store.h"
#include "tessera/mapping.h"
#include "tessera/model.h"
#include "tessera/select.h"

/* Row i is perturbation set i mod n_sets in context i / n_sets. */
struct imputation {
    const struct tess_impute *impute; /* borrowed */
    struct tess_model model; /* own */
    struct tess_sets perturbation, context, readout; /* chosen; sets of one but the first; own */
    struct tess_mapping component; /* the store's perturbations in the model; none without; own */
    int64_t n_rows;
    struct tess_blender blender; /* own, with the store that its baselines learn from */
    struct tess_blend_store learned;
    struct tess_calibration calibration; /* of an ensemble's deviation, if there is one */
    int n_matrices; /* X, of an ensemble its deviation, and calibrated if it can be */
    struct tess_impute_times times;
    uint8_t *observed; /* (n_rows) on rank 0, NULL: no store; own */
};

/* Everything but the values: names, columns, notes (impute_labels.c). */
struct tess_writer;
int tess_imputation_write_labels(const struct imputation *work, struct tess_writer *file,
                                 struct tess_error *error);
/* The store that is named, or that the model was trained on; says why if it cannot be used. Then
 * its training combinations among the rows, and which rows it measured. On rank 0; local. */
struct tess_store;
int tess_imputation_open_store(struct imputation *work, struct tess_store *store,
                               struct tess_error *error);
void tess_imputation_add_combinations(struct imputation *work, const struct tess_store *store);
void tess_imputation_mark(struct imputation *work, const struct tess_store *store);

/* How many matrices there will be: n_matrices, first by the files that are there, and once the
 * blend is decided for good, with the calibration; then rank 0 says why if there is none.
 * Collective. */
void tess_imputation_count_matrices(struct imputation *work, MPI_Comm comm);
void tess_imputation_find_calibration(struct imputation *work, MPI_Comm comm);

#endif
