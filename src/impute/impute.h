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

/* Who the rows are (impute_rows.c): each perturbation in each context, context by context, or a
 * list. Places are those among the chosen. */
struct imputation_rows {
    int pairs; /* perturbations are all pairs of the chosen ones, which are single and no control */
    int64_t n; /* of the list, which is in the order of contexts */
    int64_t *set, *context; /* (n) own; NULL: no list */
    int64_t *asked_first, *asked; /* (n + 1): the readouts that are asked of each row; own */
    int64_t only, begin; /* rows of one context, -1: of all; where they begin in the list */
};

/* The control that changes are against, and what of it was asked for last (impute_delta.c). */
struct imputation_delta {
    int64_t control; /* number in the model; -1: measured ones */
    int64_t context; /* of what follows; -1: none yet */
    float *member; /* (n_members, readouts) what each predicts; own */
    float *mean; /* (readouts) of them, or measured; own */
};

/* Measured training values by rows (impute_measured.c). */
struct imputation_measured {
    int is_open;
    struct tess_store store;
    struct tess_profiles profiles;
    struct tess_mapping component, context; /* the model's numbers in the store */
    int64_t n_readouts; /* chosen ones that the store has */
    int64_t *column, *readout; /* (n_readouts) their places among the chosen, numbers there; own */
    int64_t *place; /* (n_readouts) among those of `here`, the context asked for last; own */
    int64_t here;
    float *row; /* of one unit; own */
};

/* What the store says of the rows, as sorted keys (impute_marks.c). */
struct imputation_keys {
    int64_t n;
    size_t room;
    int64_t *key; /* own */
};
struct imputation_marks {
    int known; /* is there a store? */
    int other; /* not what the model was trained on: it does not say what was trained */
    struct imputation_keys observed, trained; /* context's place * n_sets + set */
    struct imputation_keys set, component, context; /* trained anywhere */
    struct imputation_keys component_here; /* context's place * components + component */
};

struct imputation {
    const struct tess_impute *impute; /* borrowed */
    const char *output; /* of the file that is written now; borrowed */
    struct tess_model model; /* own */
    struct tess_sets perturbation, context, readout; /* chosen; sets of one but the first; own */
    struct imputation_rows rows; /* own */
    struct tess_mapping component; /* the store's perturbations in the model; none without; own */
    int64_t n_rows; /* of that file */
    struct tess_blender blender; /* own, with the store that its baselines learn from */
    struct tess_blend_store learned;
    struct tess_calibration calibration; /* of an ensemble's deviation, if there is one */
    double feature_deviation; /* of rows known by features alone (known.h); NaN: unknown */
    int n_matrices; /* X, of an ensemble its deviation, and calibrated if it can be */
    struct imputation_delta delta; /* own */
    struct imputation_measured measured; /* own */
    struct imputation_marks marks; /* on rank 0; own */
    struct tess_impute_times times;
    json_t *key; /* what it is made of; own */
    int64_t block_rows; /* at most, of a block */
    struct tess_deadline deadline;
};

#define TESS_IMPUTATION_BLOCKS 2 /* of a rank: one is predicted, one is written */

/* Has any rank been asked to stop? Collective. */
int tess_imputation_must_stop(struct imputation *work, MPI_Comm comm);
/* All rows that are not there yet (impute_values.c): predicted, put, saved from time to time.
 * TESS_EINTERRUPTED when it was asked to stop. Collective. */
int tess_imputation_write_values(struct imputation *work, struct tess_writer *file, MPI_Comm comm,
                                 struct tess_error *error);

/* Bytes of the disk (impute_plan.c): of all files together, at most if they are compressed; and
 * what is taken while they are made. Local. */
struct imputation_size {
    double file, peak;
};
struct imputation_size tess_imputation_size(const struct imputation *work);
/* Before anything is written: does the disk have room for that, and is it not larger than allowed?
 * Then how large blocks may be, and what a rank will need. TESS_ECREATE, TESS_EUSAGE. Collective.
 */
int tess_imputation_check_room(const struct imputation *work, const struct imputation_size *size,
                               MPI_Comm comm, struct tess_error *error);
int tess_imputation_plan_blocks(struct imputation *work, MPI_Comm comm, struct tess_error *error);
/* How the file's values are deflated; and what blocks are multiples of, the last one left out: the
 * predictor's tiles and whole chunks. Local. */
struct tess_writer_packing tess_imputation_packing(const struct imputation *work);
int64_t tess_imputation_unit(const struct imputation *work);

/* The key of the file of the i-th chosen context alone; own of the caller. Rank 0's counts. */
json_t *tess_imputation_context_key(const struct imputation *work, int64_t context);
/* What decides bits, labels and layout, by name, in words (impute_key.c): the key of an unfinished
 * file, and a note in the whole one. Collective. */
void tess_imputation_make_key(struct imputation *work, MPI_Comm comm);
int tess_imputation_write_key(const struct imputation *work, struct tess_writer *file,
                              struct tess_error *error);
/* What else decides bits; own of the caller. Local. */
char *tess_imputation_machine(const struct imputation *work);

/* Perturbations, contexts, readouts, rows; `store` may be NULL. On rank 0; local. */
int tess_imputation_choose(struct imputation *work, const struct tess_store *store,
                           struct tess_error *error);
/* Who may be chosen of a table's symbols, combinations of perturbations too. Local. */
struct tess_choice tess_imputation_choice(const struct imputation *work, int table);
/* Perturbations, contexts, readouts and rows of a file of triples. TESS_EDATA. Local. */
int tess_imputation_read_triples(struct imputation *work, const char *path,
                                 struct tess_error *error);
/* Rank 0's choice to all. Collective. */
void tess_imputation_broadcast(struct imputation *work, MPI_Comm comm);
void tess_imputation_rows_release(struct imputation_rows *rows);
/* From now on the rows of one context, -1: of all. Local. */
void tess_imputation_narrow(struct imputation *work, int64_t context);
/* The file of a context in the directory for them: its symbol, with %XX for every byte that is no
 * letter, digit or one of "-_+=,@.", nor a '.' in front. Own of the caller. Local. */
char *tess_imputation_context_path(const struct imputation *work, int64_t context);
/* Perturbations, pairs included; who a row is; the members of a perturbation, maybe in `pair`; the
 * perturbation of these members, -1: it was not chosen. Local. */
int64_t tess_imputation_n_sets(const struct imputation *work);
void tess_imputation_row(const struct imputation *work, int64_t row, int64_t *set,
                         int64_t *context);
int64_t tess_imputation_members(const struct imputation *work, int64_t set, int64_t pair[2],
                                const int64_t **member);
int64_t tess_imputation_find_set(const struct imputation *work, int64_t n, const int64_t *member);

/* A block of rows, in one piece of memory. */
struct imputation_block {
    float *value, *deviation; /* (n, readouts) the latter NULL: one model */
    float *calibrated; /* (n, readouts) NULL: it cannot be */
    float *uncertainty; /* (n) mean deviation of a row; NULL: one model */
    uint8_t *observed; /* (n, readouts) NULL: nothing is kept */
};
/* Floats that a row of a block takes; a block of n rows at `memory`. Local. */
int64_t tess_imputation_row_floats(const struct imputation *work);
struct imputation_block tess_imputation_block(const struct imputation *work, int64_t n,
                                              float *memory);
/* All that is to be written of rows [first, first + n): predicted, changes taken, measured values
 * put in, in the type of the file. Local. */
int tess_imputation_fill(struct imputation *work, int64_t first, int64_t n,
                         const struct imputation_block *block, struct tess_error *error);
/* What rows of blocks are put into; the block's rows; until it may be filled again. The first is
 * collective. */
struct tess_writer;
int tess_imputation_define(const struct imputation *work, struct tess_writer *file,
                           struct tess_error *error);
int tess_imputation_put(struct tess_writer *file, int64_t first, int64_t n,
                        const struct imputation_block *block, struct tess_error *error);
void tess_imputation_wait(struct tess_writer *file, const struct imputation_block *block);
/* What the file must be able to hold (enum tess_writer_part). Local. */
unsigned tess_imputation_parts(const struct tess_impute *impute);

/* Says against which control, with the measured values opened if they are needed. Collective. */
int tess_imputation_open_delta(struct imputation *work, MPI_Comm comm, struct tess_error *error);
/* The control's values in a context come first where there are several rows of it: kept for the
 * next call. Local. */
int tess_imputation_control(struct imputation *work, int64_t context, struct tess_error *error);
void tess_imputation_delta_release(struct imputation_delta *delta);

/* Opens the store that is named, or that the model was trained on. Collective. */
int tess_imputation_open_measured(struct imputation *work, MPI_Comm comm, struct tess_error *error);
/* The measured training values of a perturbation in a context (numbers of the model): out
 * (readouts), NaN where there is none; *found: is there any such experiment? Local. */
struct imputation_experiment {
    int64_t n, context;
    const int64_t *member;
};
int tess_imputation_measured(struct imputation *work, const struct imputation_experiment *of,
                             float *out, int *found, struct tess_error *error);
void tess_imputation_measured_release(struct imputation_measured *measured);

/* Which rows the store has, and what of them was trained on. On rank 0; local. */
void tess_imputation_mark(struct imputation *work, const struct tess_store *store);
int tess_imputation_has(const struct imputation_keys *keys, int64_t key);
void tess_imputation_marks_release(struct imputation_marks *marks);

/* Everything but the values: names, columns, notes (impute_labels.c, impute_notes.c). Collective.
 */
int tess_imputation_write_labels(const struct imputation *work, struct tess_writer *file,
                                 struct tess_error *error);
int tess_imputation_write_notes(const struct imputation *work, struct tess_writer *file,
                                struct tess_error *error);
/* The store that is named, or that the model was trained on; says why if it cannot be used. Then
 * its training combinations among the rows. On rank 0; local. */
struct tess_store;
int tess_imputation_open_store(struct imputation *work, struct tess_store *store,
                               struct tess_error *error);
void tess_imputation_add_combinations(struct imputation *work, const struct tess_store *store);

/* How many matrices there will be: n_matrices, first by the files that are there, and once the
 * blend is decided for good, with the calibration; then rank 0 says why if there is none.
 * That of rows known by features alone, too. Collective. */
void tess_imputation_count_matrices(struct imputation *work, MPI_Comm comm);
void tess_imputation_find_calibration(struct imputation *work, MPI_Comm comm);

#endif
