/* run_begin.h -- what a run begins from: nothing, another model (train.init), or its own past. */
#ifndef RUN_BEGIN_H
#define RUN_BEGIN_H

#include "run.h"

#include "tessera/features.h"
#include "tessera/warm.h"

struct tess_trainer;

struct tess_beginning {
    int inherits; /* has the run checkpoints, with scaling and flags of another model? */
    struct tess_warm warm; /* open if it begins from another model */
    /* The model's features, which are the trainer's then; own */
    struct tess_features_known known[TESS_N_TABLES];
    int8_t *split; /* the store's, if the trainer's is narrowed (train.experiments); own */
};

/* Where settings say `auto` for what a model is, a run that goes on keeps what it has, and one that
 * begins from a model has what that has (which is said), and its features. Before the trainer is
 * opened. To be released in any case. Collective. */
void tess_beginning_settle(struct tess_beginning *beginning, struct tess_config *config, int fresh,
                           MPI_Comm comm);
/* Has the model features? Local. */
int tess_beginning_has_features(const struct tess_beginning *beginning);
/* Looks into run.directory, and opens the model that train.init names if it is needed; the
 * trainer, opened, gets the hash of that in its settings. Before anything is touched. TESS_ECONFIG
 * if the model is another than it was, or than this run was begun from; codes of tess_warm_open.
 * After it was settled. Collective. */
int tess_beginning_open(struct tess_beginning *beginning, struct tess_trainer *trainer, int fresh,
                        MPI_Comm comm, struct tess_error *error);
/* The scaling that this run's values have: the model's, or that of its own checkpoints. With the
 * directory open, before the trainer is loaded. Collective. */
int tess_beginning_scale(struct tess_beginning *beginning, const struct tess_run *run,
                         struct tess_trainer *trainer, struct tess_error *error);
/* The model's parameters, once the trainer is loaded; then it is closed. Collective. */
int tess_beginning_take(struct tess_beginning *beginning, struct tess_trainer *trainer,
                        struct tess_error *error);
/* After the last step: the trainer's index is the store's again. Local. */
void tess_beginning_widen(struct tess_beginning *beginning, struct tess_trainer *trainer);
/* What the trainer knows of its beginning goes into settings that used.yaml is to have. Local. */
void tess_beginning_note(struct tess_config *used, const struct tess_config *trainers);
void tess_beginning_release(struct tess_beginning *beginning);

#endif
