/* model.h -- a trained model, open for prediction.
 *
 * Predictions are the same bits for a (perturbation, context, readout) whatever else is asked for
 * with it, by whichever command and on however many ranks: each has its place in tiles of one fixed
 * shape (predictor.h). */
#ifndef TESSERA_MODEL_H
#define TESSERA_MODEL_H

#include "tessera/composition.h"
#include "tessera/config.h"
#include "tessera/encoder.h"
#include "tessera/features.h"
#include "tessera/network.h"
#include "tessera/scaling.h"
#include "tessera/intern.h"
#include "tessera/vocab.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

#define TESS_MADE_PLACES 256 /* places in tiles, of which every size of one is a divisor */

/* Symbols beyond a model's own that it makes of trained parts (composition.h). */
struct tess_made {
    struct tess_intern name; /* in the order in which they were made */
    int64_t *number; /* (name.n) own */
    int64_t n_numbers; /* one above the last number, the model's own counted */
    int64_t block[TESS_MADE_PLACES]; /* made so far of those with this place in a tile */
    int64_t n_shared; /* of name, those that all ranks have */
    size_t room_number, room_symbol;
};

struct tess_model {
    struct tess_config config; /* numeric settings as trained */
    struct tess_vocab perturbation; /* components */
    struct tess_vocab readout, context;
    /* Any training data (TESS_TRAINED), or known by its parts (TESS_BY_PARTS)? own */
    uint8_t *trained_perturbation, *trained_readout, *trained_context;
    struct tess_features features[TESS_N_TABLES]; /* own */
    struct tess_composition composition[TESS_N_TABLES]; /* what vectors are made of; own */
    struct tess_made made[TESS_N_TABLES]; /* further symbols, of an ensemble in its head; own */
    struct tess_encoder encoder; /* of perturbations */
    struct tess_network network; /* the MLP; its tables are not kept; own */
    struct tess_table_reader
        *rows; /* of the table of perturbations, which stays in the file; own */
    uint64_t table_hash; /* of that table */
    struct tess_scaling scaling; /* of its outputs; own */
    int64_t step;
    double best_score; /* validation RMSE, NaN: none */
    uint64_t hash; /* of all parameters; of an ensemble's head: of all members' */
    uint64_t own_hash; /* of its own alone */
    uint64_t store_hash; /* of the store it was trained on */
    uint64_t split_hash; /* and of its split */
    char *store_path, *path; /* own; path: the checkpoint itself */
    struct tess_predictor *predictor; /* own */
    struct tess_model *next; /* the other members of an ensemble, or NULL; own */
    int n_members; /* of the ensemble that this one heads, itself included */
};

/* Predictions of the hidden layers' products by `precision` (enum tess_precision), whatever the
 * model was trained with; AUTO: bfloat16 where the processor has a unit for it.
 * `path` is a run directory (its best checkpoint, else the newest; a damaged one is passed over
 * with a warning) or a checkpoint. TESS_EDATA if none is there or intact. Every rank gets the whole
 * model but the rows of perturbations: those it reads as it predicts with them, and keeps some of
 * them (tess_model_allow). Whatever comes of it must be released. Collective over comm. */
int tess_model_open(struct tess_model *model, const char *path, int precision, MPI_Comm comm,
                    struct tess_error *error);
/* Several: an ensemble (other seeds of the same symbols), headed by the first. Its hash is of all.
 * TESS_EDATA if their vocabularies differ. Collective over comm. */
int tess_model_open_ensemble(struct tess_model *model, int n, char *const *path, int precision,
                             MPI_Comm comm, struct tess_error *error);
/* So many bytes of rows of perturbations are kept from now on, of all members of an ensemble
 * together; a page of each at least. Without it 1 GB of each. Local. */
void tess_model_allow(struct tess_model *model, double bytes);
/* How many bytes that may become, all members together; no more than their tables have. Local. */
double tess_model_rows_bytes(const struct tess_model *model);
/* What predicting takes besides, so many rows on their way at a time (TESS_MODEL_ROWS, or more of
 * rows with readouts of their own), and room for the fewest rows that can be kept: who keeps to an
 * allowance leaves that free, and gives the model what is left (tess_model_allow). Local. */
#define TESS_MODEL_ROWS   4096
#define TESS_MODEL_LISTED 16384
double tess_model_working_bytes(const struct tess_model *model, int64_t rows);
/* "bfloat16" if any member predicts with such operands, else "float32". Local. */
const char *tess_model_precision(const struct tess_model *model);
/* Has any member the output for the noise (model.noise)? Has a prediction a deviation: of several
 * members, or of noise, or of both? Local. */
int tess_model_has_noise(const struct tess_model *model);
int tess_model_deviates(const struct tess_model *model);
void tess_model_release(struct tess_model *model);
/* The features of components as another vocabulary numbers them, k = 0 if the model has none; value
 * is own of the caller, what is known of further ones stays the model's. Local. */
void tess_model_features(const struct tess_model *model, const struct tess_vocab *components,
                         struct tess_features *features);
/* Where its store is: at `given` (--store; NULL: nothing), or where the used.yaml beside it says;
 * borrowed. NULL and TESS_EDATA if nothing says it: the sentence names used.yaml and the remedy,
 * which may be --store where that is `offered`. Local, with the same result on every rank. */
const char *tess_model_store(const struct tess_model *model, const char *given, int offered,
                             struct tess_error *error);
/* The first member that was not trained on this store, split so; NULL: all were. Local. */
const struct tess_model *tess_model_trained_elsewhere(const struct tess_model *model,
                                                      uint64_t store_hash, uint64_t split_hash);

/* The number of a symbol that the model does not have itself, but makes of parts that all members
 * were trained with; -1: it cannot. It lies above the model's own, and the vocabulary's `symbol`
 * has its name there, but no array by numbers has an element for it: it is TESS_BY_PARTS. On one
 * rank (0); before anybody predicts with it all ranks share. Local.
 * Of a drug that it knows a dose of 0 (drug@0uM) is the control, if it knows that. */
int64_t tess_model_make(struct tess_model *model, enum tess_embedding table, const char *symbol);
/* What rank 0 has made, to all. Collective over comm. */
void tess_model_share(struct tess_model *model, MPI_Comm comm);
/* Where in tiles a perturbation stands: its number, of made ones by the name. Local. */
int64_t tess_model_place(const struct tess_model *model, int64_t perturbation);

/* Rows to predict: combination i's members are member[first[i] .. first[i + 1]), ascending. */
struct tess_rows {
    int64_t n;
    const int64_t *first; /* (n + 1) */
    const int64_t *member; /* perturbation numbers of the model */
    const int64_t *context; /* (n) context numbers of the model */
};

/* What is done to a member's predictions, laid out as columns->out, before they are averaged:
 * member counts from 0. All zeroes: nothing. */
struct tess_model_change {
    const void *closure;
    void (*make)(const void *closure, int member, float *out);
};

/* Of which readouts (numbers of the model, in any order), and where to. Borrowed.
 * out (rows->n, n_readouts) in the store's units: of an ensemble, the mean of its members;
 * deviation, of the same shape, or NULL: √ of their variance (n - 1; 0 of a single model) and of
 * the mean variance of the noise that members with model.noise predict. */
struct tess_model_columns {
    int64_t n_readouts;
    const int64_t *readout;
    float *out, *deviation;
    /* NULL: each row is asked for the n_readouts above. Else row i for those at first[i] ..
     * first[i + 1) of `readout`, and theirs are the places in out and deviation. first[0] is 0. */
    const int64_t *first;
    /* What is done after all else to a member's predictions, before they are averaged; NULL. */
    const struct tess_model_change *then;
};

/* All numbers in range (TESS_BUG otherwise). With readouts of the rows' own some hundred thousand
 * at a time. TESS_EDATA if rows cannot be read from the checkpoint. Local; uses the threads of
 * OpenMP; one call at a time. */
int tess_model_predict(const struct tess_model *model, const struct tess_rows *rows,
                       const struct tess_model_columns *columns, struct tess_error *error);
/* The same of members that are changed, each by itself. Local. */
int tess_model_predict_changed(const struct tess_model *model, const struct tess_rows *rows,
                               const struct tess_model_columns *columns,
                               const struct tess_model_change *change, struct tess_error *error);

#endif
