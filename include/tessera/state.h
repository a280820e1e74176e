/* state.h -- the state of a training, once: all that a checkpoint holds, as one table.
 *
 * Checkpoints are written, read, verified and documented by this table; the best state is kept in
 * memory and the memory of a training is counted by it. A line's kind says where the piece lies in
 * the file, which shape it has, which rank holds it and which checksum guards it. A new piece of a
 * kind that exists is a member of struct tess_state, which the trainer fills and takes over
 * (src/train/trainer_state.c), and a line in src/model/state.c. All functions here are local. */
#ifndef TESSERA_STATE_H
#define TESSERA_STATE_H

#include "tessera/composition.h"
#include "tessera/config.h"
#include "tessera/features.h"
#include "tessera/h5.h"
#include "tessera/network.h"
#include "tessera/optimizer.h"
#include "tessera/scaling.h"
#include "tessera/vocab.h"

#include <stddef.h>
#include <stdint.h>

struct tess_error;

#define TESS_STATE_FORMAT  "tessera-checkpoint"
#define TESS_STATE_VERSION 2 /* raised when the table changes: other files are refused */

#define TESS_STATE_WORD   32 /* bytes of a text, with its NUL */
#define TESS_CHECK_FLOATS 4096 /* floats of the MLP under one checksum */

extern const char *const tess_table_names[TESS_N_TABLES]; /* "perturbation", "readout", "context" */

/* Where the training stands. */
struct tess_progress_state {
    int64_t epoch; /* the current one, from 0 */
    int64_t step_in_epoch; /* done */
    int64_t best_epoch; /* epochs done at the best score; 0: none */
    int64_t best_step; /* steps done then */
    double best_score; /* validation RMSE; NaN: none */
    double epoch_loss, epoch_measured; /* of the epoch so far */
};

/* Rows of an embedding table with their optimiser state. */
struct tess_row_state {
    float *value, *m, *v; /* (n, D) */
    int64_t *last; /* (n) the step each last moved at */
};

/* The MLP's parameters, all of them, and the moments of a slice. */
struct tess_mlp_state {
    float *value, *m, *v;
};

struct tess_state_range { /* elements [first, first + n) of an array */
    int64_t first, n;
};

/* A rank's part of the state. One that was read from a file owns what it points to; one that
 * describes a trainer (tess_trainer_state) borrows it. Arrays that nobody asked for are NULL. */
struct tess_state {
    char format[TESS_STATE_WORD], created_by[TESS_STATE_WORD], blas_core[TESS_STATE_WORD];
    int64_t version;
    struct tess_config config;
    struct tess_shape shape; /* follows from the settings */
    struct tess_optimizer optimizer; /* its step, and the learning rate of each so far */
    struct tess_progress_state progress;
    uint64_t store_hash, split_hash;
    struct tess_vocab vocab[TESS_N_TABLES];
    uint8_t *trained[TESS_N_TABLES]; /* (n) */
    struct tess_features features[TESS_N_TABLES];
    /* Vectors of more than a row each follow from settings, symbols and features: so many rows of
     * parts lie behind the symbols' own. */
    struct tess_composition composition[TESS_N_TABLES];
    int64_t n_parts[TESS_N_TABLES];
    struct tess_row_state rows[TESS_N_TABLES];
    struct tess_mlp_state mlp;
    struct tess_scaling scaling; /* of the targets */
    struct tess_state_range row_range[TESS_N_TABLES]; /* of each table: what `rows` holds */
    struct tess_state_range slice; /* of the MLP: whose moments `mlp` holds */
};

/* Groups of a checkpoint's file, in its order. */
enum tess_state_group {
    TESS_STATE_ROOT, /* attributes */
    TESS_STATE_SYMBOLS, /* a group for each table; its symbols under one hash */
    TESS_STATE_TABLES, /* a group for each table; a checksum over all of a row */
    TESS_STATE_MLP, /* checksums of every TESS_CHECK_FLOATS floats */
    TESS_STATE_SCHEDULE, /* what steps leave behind */
    TESS_STATE_SCALING, /* there if the data are normalised */
    TESS_STATE_TRAITS, /* a group for each table; there if its symbols have features */
    TESS_STATE_FURTHER, /* the same; there if they have some of further symbols */
    TESS_STATE_N_GROUPS
};

enum tess_state_kind {
    TESS_STATE_TEXT, /* ROOT: char[TESS_STATE_WORD], the same on every rank */
    TESS_STATE_SETTINGS, /* ROOT: struct tess_config, as YAML */
    TESS_STATE_NUMBER, /* ROOT: one number, the same on every rank */
    TESS_STATE_NAMES, /* SYMBOLS: struct tess_vocab [table], the same on every rank */
    TESS_STATE_FLAGS, /* SYMBOLS: (n) [table], the same on every rank */
    TESS_STATE_MATRIX, /* TABLES: (n, D), each row at its owner */
    TESS_STATE_COLUMN, /* TABLES: (n), each row at its owner */
    TESS_STATE_WHOLE, /* MLP: (N), all of it on every rank; each writes its slice */
    TESS_STATE_SLICE, /* MLP: (N), each rank its slice */
    TESS_STATE_STEPS, /* SCHEDULE: (steps done + 1), the same on every rank */
    TESS_STATE_FACTORS, /* SCALING: (contexts, readouts), the same on every rank */
    TESS_STATE_FEATURES, /* TRAITS: (n, features.axes) [table], the same on every rank */
    TESS_STATE_LISTED, /* FURTHER: struct tess_vocab [table], the same on every rank */
    TESS_STATE_NAMED, /* FURTHER: (names, features.axes) [table], the same on every rank */
    TESS_STATE_N_KINDS
};

enum tess_state_type {
    TESS_STATE_STRING,
    TESS_STATE_UINT8,
    TESS_STATE_INT64,
    TESS_STATE_UINT64,
    TESS_STATE_FLOAT,
    TESS_STATE_DOUBLE,
    TESS_STATE_N_TYPES
};

/* What every number of a piece must be (src/model/state_rules.c). */
struct tess_state_rule {
    int (*holds)(const struct tess_state *state, double x);
    int (*holds_for_all)(const float *x, int64_t n); /* the same, fast; NULL: there is none */
    const char *words; /* for the documentation */
    const char *broken; /* for the sentence of an error */
};

struct tess_state_field {
    const char *name; /* within its group */
    enum tess_state_kind kind;
    enum tess_state_type type;
    size_t offset; /* in struct tess_state, of the first table's */
    const struct tess_state_rule *rule;
    int moves; /* 1: steps change it, so that a copy of the state must hold it */
    const char *meaning;
};
/* Groups stand together, in the order of the file. */
extern const struct tess_state_field tess_state_fields[];
extern const int tess_n_state_fields;

enum tess_state_group tess_state_group_of(const struct tess_state_field *field);
/* The first field of a group, and the one after it in the same group; NULL: there is none. */
const struct tess_state_field *tess_state_first(enum tess_state_group group);
const struct tess_state_field *tess_state_next(const struct tess_state_field *field);
/* How many times it is there: TESS_N_TABLES, or 1. */
int tess_state_group_tables(enum tess_state_group group);
/* The paths of a field, and of the dataset with its checksums ("": it has none); `table` counts for
 * groups of tables only. */
#define TESS_STATE_NAME      64
#define TESS_STATE_ANY_TABLE (-1) /* as the documentation writes it: T */
void tess_state_field_name(const struct tess_state_field *field, int table,
                           char out[TESS_STATE_NAME]);
void tess_state_check_name(const struct tess_state_field *field, int table,
                           char out[TESS_STATE_NAME]);
hid_t tess_state_hdf5_type(enum tess_state_type type);
size_t tess_state_size(enum tess_state_type type); /* bytes of an element */

/* Does such a state have the piece at all? */
int tess_state_has(const struct tess_state *state, const struct tess_state_field *field, int table);
/* Rows of a table: of its symbols, and of parts behind them. */
int64_t tess_state_rows(const struct tess_state *state, int table);
/* The shape of a whole array, as symbols, settings and steps of the state imply. */
struct tess_h5_extent tess_state_extent(const struct tess_state *state,
                                        const struct tess_state_field *field, int table);
/* Checksums of each array of the MLP. */
int64_t tess_state_blocks(const struct tess_state *state);
/* The elements (rows) of it that this state holds in memory; of numbers: one. */
struct tess_state_range tess_state_range_of(const struct tess_state *state,
                                            const struct tess_state_field *field, int table);
/* The place of the number, or of the array's pointer. */
void *tess_state_member(const struct tess_state *state, const struct tess_state_field *field,
                        int table);
/* The numbers themselves: of this state, or of rows that lie elsewhere (TABLES only). */
void *tess_state_data(const struct tess_state *state, const struct tess_state_field *field,
                      int table);
void *tess_row_state_data(const struct tess_row_state *rows, const struct tess_state_field *field);
/* Bytes of that. */
size_t tess_state_bytes(const struct tess_state *state, const struct tess_state_field *field,
                        int table);
/* About the bytes of all that steps change in a group, on the one of n_ranks ranks that has most of
 * it: slices of the MLP are told as equal ones. */
int64_t tess_state_moving_bytes(const struct tess_state *state, enum tess_state_group group,
                                int n_ranks);

/* Frees all that a state which was read owns. */
void tess_state_release(struct tess_state *state);

/* Zeroed room for n rows in every array that is still NULL. TESS_EOS if the memory is not there. */
int tess_row_state_reserve(struct tess_row_state *rows, int64_t n, int dim,
                           struct tess_error *error);
void tess_row_state_release(struct tess_row_state *rows);
/* Bytes of one row. */
int64_t tess_row_state_bytes(int dim);
/* Checksum of the i-th row: all of its arrays, in the order of the table. */
uint64_t tess_row_state_sum(const struct tess_row_state *rows, int dim, int64_t i);

/* Checksum of block number `block` among n floats of the MLP. */
uint64_t tess_state_block_sum(const float *x, int64_t n, int64_t block);

/* The number at place i of an array; of a text its length. */
double tess_state_number(const struct tess_state_field *field, const void *data, int64_t i);
/* The first of n numbers that breaks the field's rule, or -1. */
int64_t tess_state_first_broken(const struct tess_state *state,
                                const struct tess_state_field *field, const void *data, int64_t n);
/* Is none of n numbers NaN or infinite? */
int tess_state_finite(const float *x, int64_t n);

/* The tables of docs/formats.md, section Checkpoint; own of the caller. */
char *tess_state_markdown(void);

#endif
