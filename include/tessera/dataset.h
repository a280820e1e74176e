/* dataset.h -- a store as the model sees it: readouts kept, values scaled, experiments loaded.
 *
 * What is estimated from data (which readouts vary most, means and deviations) is estimated from
 * the training rows alone, and does not depend on the layout. */
#ifndef TESSERA_DATASET_H
#define TESSERA_DATASET_H

#include "tessera/composition.h"
#include "tessera/config.h"
#include "tessera/features.h"
#include "tessera/scaling.h"
#include "tessera/store.h"

#include <stdint.h>

struct tess_feature_cache;

struct tess_dataset {
    const struct tess_store *store; /* borrowed */
    MPI_Comm comm; /* borrowed */
    struct tess_vocab readout; /* the model's: those kept; own */
    /* Kept columns of each store panel: model readout and place in the store's panel. */
    int64_t *panel_first; /* (n_panels + 1) own */
    int64_t *panel_readout, *panel_column; /* own */
    double each; /* experiments that one of the index stands for: 1, but in a plan (trainer.h) */
    struct tess_scaling scaling; /* of the values that the model learns; own */
    double statistics_bytes; /* of memory, that estimating took for a while */
    float *weight; /* (n_experiments of the store) data.weight, mean 1 over training observations;
                    * NULL: none; own */
    int64_t n_training; /* training experiments with any value */
    /* 0, TESS_TRAINED, or TESS_BY_PARTS of composition.h; own */
    uint8_t *trained_perturbation, *trained_readout, *trained_context;
    struct tess_features features[TESS_N_TABLES]; /* of components and readouts; own */
    struct tess_composition composition[TESS_N_TABLES]; /* what vectors are made of; own */
};

/* cache: features that need not be read again, or NULL. TESS_EDATA if there is nothing to train on.
 * Collective over comm. */
int tess_dataset_init(struct tess_dataset *dataset, const struct tess_store *store,
                      const struct tess_config *config, struct tess_feature_cache *cache,
                      MPI_Comm comm, struct tess_error *error);
void tess_dataset_release(struct tess_dataset *dataset);

/* Some experiments in memory, kept columns only. */
struct tess_loaded {
    int64_t n;
    int64_t *experiment; /* (n) numbers in the store, ascending; own */
    int64_t *value_first; /* (n + 1) own */
    float *value; /* own; NULL: listed only */
};
/* Which: experiments with this split among [first, end) of the store. */
struct tess_wanted {
    int64_t first, end;
    int split; /* enum tess_split */
    int scaled; /* 1: targets; 0: the store's values */
};
/* Which they are and how wide, without their values (ahead.h). Local. */
void tess_dataset_list(const struct tess_dataset *dataset, struct tess_wanted wanted,
                       struct tess_loaded *loaded);
/* Local. */
int tess_dataset_load(const struct tess_dataset *dataset, struct tess_wanted wanted,
                      struct tess_loaded *loaded, struct tess_error *error);
void tess_loaded_release(struct tess_loaded *loaded);

/* Kept columns of a panel. */
static inline int64_t tess_dataset_width(const struct tess_dataset *dataset, int64_t panel)
{
    return dataset->panel_first[panel + 1] - dataset->panel_first[panel];
}
/* Observations of an experiment in kept columns; where not all columns are kept, as many as if none
 * was missed more often than another. Local. */
int64_t tess_dataset_observations(const struct tess_dataset *dataset, int64_t experiment);

#endif
