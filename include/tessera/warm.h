/* warm.h -- a training that begins from a trained model: symbols that the model was trained on keep
 * their rows, by name, and the network its parameters; moments and steps begin at zero.
 *
 * Every rank reads the rows that it owns, a block at a time, so that no rank holds a table of the
 * other model. Of the scaling, center and spread are the model's, and with data.normalize shift and
 * scale of every context and readout that it was trained on: before the first step the new
 * model predicts what the other one does. */
#ifndef TESSERA_WARM_H
#define TESSERA_WARM_H

#include "tessera/h5.h"
#include "tessera/mapping.h"
#include "tessera/state.h"

#include <mpi.h>

struct tess_dataset;
struct tess_error;
struct tess_trainer;

#define TESS_WARM_HASH 17 /* bytes of a hash's text, with its NUL */

struct tess_warm {
    MPI_Comm comm; /* borrowed */
    char *path; /* the checkpoint; own; NULL: none is open */
    char hash[TESS_WARM_HASH]; /* of the file */
    struct tess_h5 h5;
    struct tess_state state; /* its head */
    struct tess_mapping to[TESS_N_TABLES]; /* the trainer's rows in it; -1: not trained there */
    int64_t n_symbols[TESS_N_TABLES]; /* the trainer's; rows of parts lie behind theirs */
    int64_t n_known[TESS_N_TABLES];
};

/* Opens a checkpoint, or the best intact one of a run, for a trainer that was opened, and says what
 * of the trainer's symbols is known. TESS_EDATA if there is none or it is damaged, or if they
 * have no symbols in common; TESS_ECONFIG, naming what differs, if the network has another shape or
 * values are scaled otherwise. To be released in any case. Collective over comm. */
int tess_warm_open(struct tess_warm *warm, const struct tess_trainer *trainer, const char *path,
                   MPI_Comm comm, struct tess_error *error);
/* The trainer's flags of what is trained: of what the model knows, and of what is new. Local. */
void tess_warm_mark(const struct tess_warm *warm, struct tess_trainer *trainer);
/* train.experiments: new. By these flags: training experiments without anything new become unused
 * in the trainer's index, and lanes are cut from the others. Before it is loaded. TESS_ECONFIG if
 * none is left. Collective. */
int tess_warm_narrow(struct tess_trainer *trainer, struct tess_error *error);
/* The model's scaling goes to the dataset, before its values are loaded. Collective. */
int tess_warm_scale(struct tess_warm *warm, struct tess_dataset *dataset, struct tess_error *error);
/* The model's parameters go to a trainer that was loaded; what is new begins as train.init_new
 * says. The same bits on any number of ranks. Collective. */
int tess_warm_take(const struct tess_warm *warm, struct tess_trainer *trainer,
                   struct tess_error *error);
/* Frees all; twice is once. Local. */
void tess_warm_release(struct tess_warm *warm);

#endif
