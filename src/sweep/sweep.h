/* sweep.h -- what the parts of a sweep share; the public one is tessera/sweep.h. */
#ifndef SWEEP_H
#define SWEEP_H

#include "tessera/config.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_trials;

enum tess_trial_state { TESS_TRIAL_NEW, TESS_TRIAL_BEGUN, TESS_TRIAL_DONE, TESS_TRIAL_DIVERGED };

/* A trial, and how it went. */
struct tess_trial {
    int64_t number; /* from 1 on; the directory's */
    int64_t state; /* enum tess_trial_state */
    double score; /* lowest validation RMSE, the mean over members; NaN: none */
    double seconds; /* of epochs and validation, of all members */
    int64_t epochs, best_epoch; /* of the member with most */
};

struct tess_sweep {
    const struct tess_trials *trials; /* borrowed */
    MPI_Comm comm; /* borrowed */
    int rank;
    char *directory; /* own */
    struct tess_trial *trial; /* (trials->n) own */
    int64_t n_strangers; /* trials in the directory that the configuration does not have */
    uint64_t store_hash, split_hash;
};

/* ---- sweep_place.c ---- */

/* Which number each trial has. TESS_ECREATE if the directory holds other things. Rank 0. */
int tess_sweep_place(struct tess_sweep *sweep, struct tess_error *error);
/* DIRECTORY/trial-<number>ENDING; own of the caller. Local. */
char *tess_sweep_path(const struct tess_sweep *sweep, int64_t i, const char *ending);
/* The settings of trial i, with its own directory. TESS_ECONFIG if its name is too long. Local. */
int tess_sweep_settings(const struct tess_sweep *sweep, int64_t i, struct tess_config *config,
                        struct tess_error *error);
/* Of the files that a trial reads besides the store, by size and time of their last change: other
 * ones have another hash; 0: it reads none. Local. */
uint64_t tess_sweep_inputs(const struct tess_config *config);
/* Writes trial-<number>.yaml if it is not there. Rank 0. */
int tess_sweep_record(const struct tess_sweep *sweep, int64_t i, struct tess_error *error);

/* ---- sweep_result.c ---- */

/* How trial i stands, by its files: done only with the present store, split and members. Local. */
void tess_sweep_look(struct tess_sweep *sweep, int64_t i);
/* Trial i is over (enum tess_trial_state): its result out of its logs into trial-<number>.json.
 * Local. */
int tess_sweep_finish(struct tess_sweep *sweep, int64_t i, int64_t state, struct tess_error *error);

/* ---- sweep_table.c ---- */

/* "train.epochs 20, model.kind dot": what is swept; own of the caller. Local. */
char *tess_sweep_words(const struct tess_sweep *sweep, int64_t i);
/* sweep.tsv, sweep.json, the link `best`, and what is printed. Rank 0. */
int tess_sweep_tables(const struct tess_sweep *sweep, struct tess_error *error);
/* Numbers and settings alone, printed. Rank 0. */
int tess_sweep_print_list(const struct tess_sweep *sweep, struct tess_error *error);

#endif
