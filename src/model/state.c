/* state.c -- the table of what a checkpoint holds, and what follows from it: names, shapes, places,
 * bytes. */
#include "tessera/state.h"

#include "state_rules.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define AT(member) offsetof(struct tess_state, member)

const char *const tess_table_names[TESS_N_TABLES] = {"perturbation", "readout", "context"};

enum { RESTS, MOVES }; /* does a step change it? */

#define DIGITS(number)    WRITTEN_OUT(number)
#define WRITTEN_OUT(text) #text
#define PIECE(name, kind, type, member, rule, moves, meaning)                                      \
    {                                                                                              \
        name, TESS_STATE_##kind, TESS_STATE_##type, AT(member), &tess_rule_##rule, moves, meaning  \
    }
/* In the order in which the file is written, on which its bytes depend; a row's checksum runs over
 * the pieces of a table in this order. */
const struct tess_state_field tess_state_fields[] = {
    PIECE("format", TEXT, STRING, format, any, RESTS, "`" TESS_STATE_FORMAT "`"),
    PIECE("created_by", TEXT, STRING, created_by, any, RESTS, "the program's version"),
    PIECE("blas_core", TEXT, STRING, blas_core, core, RESTS,
          "OpenBLAS kernels that computed it; after a + the unit for bfloat16"),
    PIECE("config", SETTINGS, STRING, config, settings, RESTS, "the numeric settings, YAML"),
    PIECE("version", NUMBER, INT64, version, any, RESTS,
          "of this layout: " DIGITS(TESS_STATE_VERSION)),
    PIECE("step", NUMBER, INT64, optimizer.step, step, MOVES, "steps done"),
    PIECE("epoch", NUMBER, INT64, progress.epoch, epoch, MOVES, "whole epochs done"),
    PIECE("step_in_epoch", NUMBER, INT64, progress.step_in_epoch, step_in_epoch, MOVES,
          "steps done of the current epoch"),
    PIECE("best_epoch", NUMBER, INT64, progress.best_epoch, best_epoch, MOVES,
          "epochs done when `best_score` was reached; 0: none yet"),
    PIECE("best_step", NUMBER, INT64, progress.best_step, best_step, MOVES, "steps done then"),
    PIECE("best_score", NUMBER, DOUBLE, progress.best_score, best_score, MOVES,
          "lowest validation RMSE"),
    PIECE("epoch_loss", NUMBER, DOUBLE, progress.epoch_loss, loss, MOVES,
          "squared error of the current epoch so far, of scaled values"),
    PIECE("epoch_measured", NUMBER, DOUBLE, progress.epoch_measured, measured, MOVES,
          "number of observations of the current epoch so far"),
    PIECE("center", NUMBER, FLOAT, scaling.center, center, RESTS,
          "with `data.scale`: the mean of all training values, and 0 without"),
    PIECE("spread", NUMBER, FLOAT, scaling.spread, spread, RESTS,
          "their deviation / `data.scale`, and 1 without: normalised value = center + spread × "
          "output"),
    PIECE("store_hash", NUMBER, UINT64, store_hash, any, RESTS, "of the store it was trained on"),
    PIECE("split_hash", NUMBER, UINT64, split_hash, any, RESTS, "of the store's split"),
    PIECE("symbol", NAMES, STRING, vocab[0], any, RESTS, "the vocabulary, in byte order"),
    PIECE("trained", FLAGS, UINT8, trained[0], flag, RESTS,
          "1: the symbol has training data; 2: it has none, but all of its parts have; 3: it has, "
          "and "
          "had none in the model of `train.init`"),
    PIECE("value", MATRIX, FLOAT, rows[0].value, finite, MOVES,
          "embeddings, as of the step in `last`"),
    PIECE("m", MATRIX, FLOAT, rows[0].m, first_moment, MOVES,
          "the optimiser's first moment (of `sgd` the momentum)"),
    PIECE("v", MATRIX, FLOAT, rows[0].v, second_moment, MOVES, "the optimiser's second moment"),
    PIECE("last", COLUMN, INT64, rows[0].last, last, MOVES,
          "the step at which a row last moved. Rows are caught up when a step touches them; "
          "prediction catches up a copy"),
    PIECE("value", WHOLE, FLOAT, mlp.value, finite, MOVES,
          "the network's parameters as one block (order: `include/tessera/network.h`)"),
    PIECE("m", SLICE, FLOAT, mlp.m, finite, MOVES, "their first moments"),
    PIECE("v", SLICE, FLOAT, mlp.v, finite, MOVES, "their second moments"),
    PIECE("rate", STEPS, DOUBLE, optimizer.rate, rate, RESTS,
          "learning rate of each step so far, from 1; entry 0 is 0"),
    PIECE("shift", FACTORS, FLOAT, scaling.shift, shift, RESTS,
          "with `data.normalize`: value = shift + scale × normalised value"),
    PIECE("scale", FACTORS, FLOAT, scaling.scale, scale, RESTS, "the same"),
    PIECE("value", FEATURES, FLOAT, features[0].value, trait, RESTS,
          "with `features.…`: what is known of symbols, on its principal axes; NaN: nothing"),
    PIECE("symbol", LISTED, STRING, features[0].name, any, RESTS,
          "with `features.perturbations`: all names in that file, in byte order"),
    PIECE("value", NAMED, FLOAT, features[0].named, finite, RESTS,
          "what is known of them, on the same axes"),
};
const int tess_n_state_fields = sizeof tess_state_fields / sizeof tess_state_fields[0];

static const enum tess_state_group groups[TESS_STATE_N_KINDS] = {
    [TESS_STATE_TEXT] = TESS_STATE_ROOT,       [TESS_STATE_SETTINGS] = TESS_STATE_ROOT,
    [TESS_STATE_NUMBER] = TESS_STATE_ROOT,     [TESS_STATE_NAMES] = TESS_STATE_SYMBOLS,
    [TESS_STATE_FLAGS] = TESS_STATE_SYMBOLS,   [TESS_STATE_MATRIX] = TESS_STATE_TABLES,
    [TESS_STATE_COLUMN] = TESS_STATE_TABLES,   [TESS_STATE_WHOLE] = TESS_STATE_MLP,
    [TESS_STATE_SLICE] = TESS_STATE_MLP,       [TESS_STATE_STEPS] = TESS_STATE_SCHEDULE,
    [TESS_STATE_FACTORS] = TESS_STATE_SCALING, [TESS_STATE_FEATURES] = TESS_STATE_TRAITS,
    [TESS_STATE_LISTED] = TESS_STATE_FURTHER,  [TESS_STATE_NAMED] = TESS_STATE_FURTHER,
};

/* From one table's member to the next one's, in bytes of struct tess_state; 0 for what is there
 * once, whichever table is asked for. */
static const size_t strides[TESS_STATE_N_KINDS] = {
    [TESS_STATE_NAMES] = sizeof(struct tess_vocab),
    [TESS_STATE_FLAGS] = sizeof(void *),
    [TESS_STATE_MATRIX] = sizeof(struct tess_row_state),
    [TESS_STATE_COLUMN] = sizeof(struct tess_row_state),
    [TESS_STATE_FEATURES] = sizeof(struct tess_features),
    [TESS_STATE_LISTED] = sizeof(struct tess_features),
    [TESS_STATE_NAMED] = sizeof(struct tess_features),
};

enum tess_state_group tess_state_group_of(const struct tess_state_field *field)
{
    return groups[field->kind];
}

const struct tess_state_field *tess_state_first(enum tess_state_group group)
{
    int i = 0;

    while (i < tess_n_state_fields && groups[tess_state_fields[i].kind] != group)
        i++;
    return i < tess_n_state_fields ? &tess_state_fields[i] : NULL;
}

const struct tess_state_field *tess_state_next(const struct tess_state_field *field)
{
    const struct tess_state_field *next = field + 1;

    return next < tess_state_fields + tess_n_state_fields &&
                   groups[next->kind] == groups[field->kind]
               ? next
               : NULL;
}

int tess_state_group_tables(enum tess_state_group group)
{
    return group == TESS_STATE_SYMBOLS || group == TESS_STATE_TABLES ||
                   group == TESS_STATE_TRAITS || group == TESS_STATE_FURTHER
               ? TESS_N_TABLES
               : 1;
}

/* The path of a name in a group. */
static void put_name(enum tess_state_group group, int table, const char *name,
                     char out[TESS_STATE_NAME])
{
    static const char *const place[TESS_STATE_N_GROUPS] = {
        [TESS_STATE_ROOT] = "",
        [TESS_STATE_SYMBOLS] = "",
        [TESS_STATE_TABLES] = "table/",
        [TESS_STATE_MLP] = "mlp/",
        [TESS_STATE_SCHEDULE] = "schedule/",
        [TESS_STATE_SCALING] = "normalize/",
        [TESS_STATE_TRAITS] = "features/",
        [TESS_STATE_FURTHER] = "further/",
    };
    const char *of = table == TESS_STATE_ANY_TABLE ? "T" : tess_table_names[table];

    if (tess_state_group_tables(group) > 1)
        snprintf(out, TESS_STATE_NAME, "%s%s/%s", place[group], of, name);
    else
        snprintf(out, TESS_STATE_NAME, "%s%s", place[group], name);
}

void tess_state_field_name(const struct tess_state_field *field, int table,
                           char out[TESS_STATE_NAME])
{
    put_name(groups[field->kind], table, field->name, out);
}

void tess_state_check_name(const struct tess_state_field *field, int table,
                           char out[TESS_STATE_NAME])
{
    enum tess_state_group group = groups[field->kind];
    char name[TESS_STATE_NAME] = "check";

    if (group == TESS_STATE_MLP)
        snprintf(name, sizeof name, "check_%s", field->name);
    out[0] = '\0';
    if (group == TESS_STATE_MLP || group == TESS_STATE_TABLES)
        put_name(group, table, name, out);
}

hid_t tess_state_hdf5_type(enum tess_state_type type)
{
    switch (type) {
    case TESS_STATE_UINT8:
        return H5T_NATIVE_UINT8;
    case TESS_STATE_INT64:
        return H5T_NATIVE_INT64;
    case TESS_STATE_UINT64:
        return H5T_NATIVE_UINT64;
    case TESS_STATE_FLOAT:
        return H5T_NATIVE_FLOAT;
    case TESS_STATE_DOUBLE:
        return H5T_NATIVE_DOUBLE;
    default:
        return H5I_INVALID_HID; /* strings have functions of their own in h5.h */
    }
}

int tess_state_has(const struct tess_state *state, const struct tess_state_field *field, int table)
{
    return groups[field->kind] == TESS_STATE_FURTHER ? state->features[table].name.n > 0
           : field->kind == TESS_STATE_FEATURES      ? state->features[table].k > 0
           : field->kind == TESS_STATE_FACTORS       ? tess_state_data(state, field, table) != NULL
                                                     : 1;
}

int64_t tess_state_rows(const struct tess_state *state, int table)
{
    return state->vocab[table].n + state->n_parts[table];
}

struct tess_h5_extent tess_state_extent(const struct tess_state *state,
                                        const struct tess_state_field *field, int table)
{
    switch (field->kind) {
    case TESS_STATE_NAMES:
    case TESS_STATE_FLAGS:
        return TESS_H5_LINE(state->vocab[table].n);
    case TESS_STATE_COLUMN:
        return TESS_H5_LINE(tess_state_rows(state, table));
    case TESS_STATE_MATRIX:
        return TESS_H5_MATRIX(tess_state_rows(state, table), state->shape.dim);
    case TESS_STATE_WHOLE:
    case TESS_STATE_SLICE:
        return TESS_H5_LINE(tess_shape_size(state->shape));
    case TESS_STATE_STEPS:
        return TESS_H5_LINE(state->optimizer.step + 1);
    case TESS_STATE_FACTORS:
        return TESS_H5_MATRIX(state->vocab[TESS_TABLE_C].n, state->vocab[TESS_TABLE_R].n);
    case TESS_STATE_FEATURES:
        return TESS_H5_MATRIX(state->features[table].n, state->features[table].k);
    case TESS_STATE_LISTED:
        return TESS_H5_LINE(state->features[table].name.n);
    case TESS_STATE_NAMED:
        return TESS_H5_MATRIX(state->features[table].name.n, state->features[table].k);
    default:
        return (struct tess_h5_extent){0, {1, 1}};
    }
}

size_t tess_state_size(enum tess_state_type type)
{
    static const size_t size[TESS_STATE_N_TYPES] = {
        [TESS_STATE_STRING] = 1,
        [TESS_STATE_UINT8] = sizeof(uint8_t),
        [TESS_STATE_INT64] = sizeof(int64_t),
        [TESS_STATE_UINT64] = sizeof(uint64_t),
        [TESS_STATE_FLOAT] = sizeof(float),
        [TESS_STATE_DOUBLE] = sizeof(double),
    };

    return size[type];
}

int64_t tess_state_blocks(const struct tess_state *state)
{
    return (tess_shape_size(state->shape) + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
}

struct tess_state_range tess_state_range_of(const struct tess_state *state,
                                            const struct tess_state_field *field, int table)
{
    if (groups[field->kind] == TESS_STATE_TABLES)
        return state->row_range[table];
    if (field->kind == TESS_STATE_SLICE)
        return state->slice;
    return (struct tess_state_range){0, tess_state_extent(state, field, table).shape[0]};
}

/* Const is cast away: one walk over the table serves writing, reading and freeing. */
void *tess_state_member(const struct tess_state *state, const struct tess_state_field *field,
                        int table)
{
    return (void *)((uintptr_t)state + field->offset + (size_t)table * strides[field->kind]);
}

void *tess_state_data(const struct tess_state *state, const struct tess_state_field *field,
                      int table)
{
    void *member = tess_state_member(state, field, table);

    return groups[field->kind] == TESS_STATE_ROOT ? member : *(void **)member;
}

void *tess_row_state_data(const struct tess_row_state *rows, const struct tess_state_field *field)
{
    TESS_BUG_IF(groups[field->kind] != TESS_STATE_TABLES);
    /* Offsets are those in struct tess_state, of the first table's rows. */
    return *(void **)((uintptr_t)rows + field->offset - AT(rows));
}

size_t tess_state_bytes(const struct tess_state *state, const struct tess_state_field *field,
                        int table)
{
    struct tess_h5_extent extent = tess_state_extent(state, field, table);

    return (size_t)(tess_state_range_of(state, field, table).n * extent.shape[1]) *
           tess_state_size(field->type);
}

int64_t tess_state_moving_bytes(const struct tess_state *state, enum tess_state_group group,
                                int n_ranks)
{
    int64_t bytes = 0;

    for (const struct tess_state_field *field = tess_state_first(group); field;
         field = tess_state_next(field))
        for (int t = 0; field->moves && t < tess_state_group_tables(group); t++) {
            struct tess_h5_extent extent = tess_state_extent(state, field, t);
            int shared = group == TESS_STATE_TABLES || field->kind == TESS_STATE_SLICE;
            int64_t rows = shared ? (extent.shape[0] + n_ranks - 1) / n_ranks : extent.shape[0];

            bytes += rows * extent.shape[1] * (int64_t)tess_state_size(field->type);
        }
    return bytes;
}

void tess_state_release(struct tess_state *state)
{
    tess_optimizer_release(&state->optimizer);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_composition_release(&state->composition[t]);
    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];

        for (int t = 0; t < tess_state_group_tables(groups[field->kind]); t++)
            if (field->kind == TESS_STATE_NAMES || field->kind == TESS_STATE_LISTED)
                tess_vocab_release(tess_state_member(state, field, t));
            else if (groups[field->kind] != TESS_STATE_ROOT)
                tess_free(tess_state_data(state, field, t));
    }
    *state = (struct tess_state){.version = 0};
}

/* Numbers that one row has in an array. */
static int64_t columns_of(const struct tess_state_field *field, int dim)
{
    return field->kind == TESS_STATE_MATRIX ? dim : 1;
}

int tess_row_state_reserve(struct tess_row_state *rows, int64_t n, int dim,
                           struct tess_error *error)
{
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field)) {
        void **member = (void **)((uintptr_t)rows + field->offset - AT(rows));

        if (!*member)
            *member = tess_alloc_large((size_t)n * (size_t)columns_of(field, dim),
                                       tess_state_size(field->type), "an embedding table", error);
    }
    return error->code;
}

void tess_row_state_release(struct tess_row_state *rows)
{
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field))
        tess_free(tess_row_state_data(rows, field));
    *rows = (struct tess_row_state){.value = NULL};
}

int64_t tess_row_state_bytes(int dim)
{
    int64_t bytes = 0;

    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field))
        bytes += columns_of(field, dim) * (int64_t)tess_state_size(field->type);
    return bytes;
}

uint64_t tess_row_state_sum(const struct tess_row_state *rows, int dim, int64_t i)
{
    XXH3_state_t *sum = XXH3_createState();
    uint64_t digest;

    XXH3_64bits_reset(sum);
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field)) {
        size_t bytes = (size_t)columns_of(field, dim) * tess_state_size(field->type);

        XXH3_64bits_update(sum, (const char *)tess_row_state_data(rows, field) + (size_t)i * bytes,
                           bytes);
    }
    digest = XXH3_64bits_digest(sum);
    XXH3_freeState(sum);
    return digest;
}

uint64_t tess_state_block_sum(const float *x, int64_t n, int64_t block)
{
    int64_t first = block * TESS_CHECK_FLOATS, left = n - first;

    return XXH3_64bits(x + first,
                       sizeof *x * (size_t)(left < TESS_CHECK_FLOATS ? left : TESS_CHECK_FLOATS));
}

double tess_state_number(const struct tess_state_field *field, const void *data, int64_t i)
{
    switch (field->type) {
    case TESS_STATE_STRING:
        return field->kind == TESS_STATE_TEXT ? (double)strlen(data) : 0;
    case TESS_STATE_UINT8:
        return ((const uint8_t *)data)[i];
    case TESS_STATE_INT64:
        return (double)((const int64_t *)data)[i];
    case TESS_STATE_UINT64:
        return (double)((const uint64_t *)data)[i];
    case TESS_STATE_FLOAT:
        return ((const float *)data)[i];
    default:
        return ((const double *)data)[i];
    }
}

int64_t tess_state_first_broken(const struct tess_state *state,
                                const struct tess_state_field *field, const void *data, int64_t n)
{
    /* The fast test says only whether all are right; the place of the first wrong one is searched
     * after. */
    if (field->type == TESS_STATE_FLOAT && field->rule->holds_for_all &&
        field->rule->holds_for_all(data, n))
        return -1;
    for (int64_t i = 0; i < n; i++)
        if (!field->rule->holds(state, tess_state_number(field, data, i)))
            return i;
    return -1;
}
