/* impute.h -- what an imputation works with, for its files. */
#ifndef IMPUTE_H
#define IMPUTE_H

#include "tessera/calibration.h"
#include "tessera/impute.h"
#include "tessera/store.h"
#include "tessera/mapping.h"
#include "tessera/model.h"
#include "tessera/preempt.h"
#include "tessera/select.h"

#include <jansson.h>

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
    json_t *key; /* what it is made of; own */
    int64_t block_rows; /* at most, of a block */
    struct tess_deadline deadline;
};

#define TESS_IMPUTATION_BLOCKS    2 /* of a rank: one is predicted, one is written */
#define TESS_IMPUTATION_DEVIATION "std" /* the layer of several models' standard deviation */
#define TESS_IMPUTATION_CALIBRATED                                                                 \
    "std_calibrated" /* and of that of a measured value (calibration.h) */

/* Rows [first, first + n): values, and the deviations of several models or NULL. Local. */
int tess_imputation_predict(const struct imputation *work, int64_t first, int64_t n, float *out,
                            float *deviation, struct tess_error *error);
/* All rows that are not there yet (impute_values.c): predicted, put, saved from time to time.
 * TESS_EINTERRUPTED when it was asked to stop. Collective. */
int tess_imputation_write_values(struct imputation *work, struct tess_writer *file, MPI_Comm comm,
                                 struct tess_error *error);

/* Before anything is written (impute_plan.c): does the disk have room for a file of so many bytes,
 * and is it not larger than allowed? Then how large blocks may be, and what a rank will need.
 * TESS_ECREATE, TESS_EUSAGE. Collective. */
int tess_imputation_check_room(const struct imputation *work, double bytes, MPI_Comm comm,
                               struct tess_error *error);
int tess_imputation_plan_blocks(struct imputation *work, MPI_Comm comm, struct tess_error *error);

/* What decides bits, labels and layout, by name, in words (impute_key.c): the key of an unfinished
 * file, and a note in the whole one. Collective. */
void tess_imputation_make_key(struct imputation *work, MPI_Comm comm);
int tess_imputation_write_key(const struct imputation *work, struct tess_writer *file,
                              struct tess_error *error);
/* What else decides bits; own of the caller. Local. */
char *tess_imputation_machine(const struct imputation *work);

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
