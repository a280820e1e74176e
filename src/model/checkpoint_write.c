/* checkpoint_write.c -- writing a checkpoint: every rank its rows and its slice. */
#include "tessera/checkpoint.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checksums.h"
#include "tessera/commit.h"
#include "tessera/error.h"

/* Room for what HDF5 itself puts into a file: headers, and gaps between datasets. */
#define FILE_BYTES (1 << 20)

/* An array of which each rank writes a part. */
struct dataset {
    char name[TESS_STATE_NAME];
    hid_t type;
    struct tess_h5_extent extent;
    struct tess_state_range part;
    const void *data; /* of the part */
};

static void write_dataset(struct tess_h5 *h5, const struct dataset *set, struct tess_error *error)
{
    if (error->code == TESS_OK &&
        tess_h5_define(h5, set->name, set->type, set->extent, error) == TESS_OK)
        tess_h5_write_rows(h5, set->name, set->type,
                           (struct tess_h5_range){set->part.first, set->part.n}, set->data, error);
}

static void write_attribute(struct tess_h5 *h5, const struct tess_state *state,
                            const struct tess_state_field *field, struct tess_error *error)
{
    const void *data = tess_state_data(state, field, 0);
    char *yaml;

    if (field->kind == TESS_STATE_TEXT) {
        tess_h5_write_string(h5, "/", field->name, data, error);
    } else if (field->kind == TESS_STATE_SETTINGS) {
        yaml = tess_config_yaml(data, 1, 0);
        tess_h5_write_string(h5, "/", field->name, yaml, error);
        tess_free(yaml);
    } else {
        tess_h5_write_attribute(h5, (struct tess_h5_attribute){"/", field->name},
                                tess_state_hdf5_type(field->type), 1, data, error);
    }
}

/* Of pieces that are symbols; else NULL. */
static const struct tess_vocab *vocab_of(const struct tess_state *state,
                                         const struct tess_state_field *field, int table)
{
    return field->kind == TESS_STATE_NAMES    ? &state->vocab[table]
           : field->kind == TESS_STATE_LISTED ? &state->features[table].name
                                              : NULL;
}

/* What every rank has: rank 0's. A training without scaling has no such arrays, and none are made.
 */
static void write_shared(struct tess_h5 *h5, const struct tess_state *state,
                         const struct tess_state_field *field, int table, struct tess_error *error)
{
    struct tess_h5_extent extent = tess_state_extent(state, field, table);
    const void *data = tess_state_data(state, field, table);
    const struct tess_vocab *vocab = vocab_of(state, field, table);
    char name[TESS_STATE_NAME];

    tess_state_field_name(field, table, name);
    if (vocab && tess_state_has(state, field, table))
        tess_h5_write_strings(
            h5, name,
            &(struct tess_h5_strings){vocab->n, vocab->width, vocab->width + 1, vocab->text},
            error);
    else if (!vocab && tess_state_has(state, field, table))
        tess_h5_write(h5, name, tess_state_hdf5_type(field->type), extent, data, error);
}

/* This rank's rows. */
static void write_rows(struct tess_h5 *h5, const struct tess_state *state,
                       const struct tess_state_field *field, int table, struct tess_error *error)
{
    struct dataset set = {.type = tess_state_hdf5_type(field->type),
                          .extent = tess_state_extent(state, field, table),
                          .part = tess_state_range_of(state, field, table),
                          .data = tess_state_data(state, field, table)};

    tess_state_field_name(field, table, set.name);
    write_dataset(h5, &set, error);
}

/* A row's checksum is of all its arrays together, so that any rank can check any row by itself. */
static void write_row_sums(struct tess_h5 *h5, const struct tess_state *state, int table,
                           struct tess_error *error)
{
    const struct tess_state_field *any = tess_state_first(TESS_STATE_TABLES);
    struct tess_state_range part = state->row_range[table];
    uint64_t *sum = TESS_NEW(uint64_t, part.n);
    struct dataset set = {.type = H5T_NATIVE_UINT64,
                          .extent = TESS_H5_LINE(tess_state_rows(state, table)),
                          .part = part,
                          .data = sum};

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < part.n; i++)
        sum[i] = tess_row_state_sum(&state->rows[table], state->shape.dim, i);
    tess_state_check_name(any, table, set.name);
    write_dataset(h5, &set, error);
    tess_free(sum);
}

/* This rank's slice of one array of the MLP, and its checksums (slices are whole blocks). */
static void write_slice(struct tess_h5 *h5, const struct tess_state *state,
                        const struct tess_state_field *field, struct tess_error *error)
{
    struct tess_state_range slice = state->slice;
    int64_t n_sums = (slice.n + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    const float *held = tess_state_data(state, field, 0);
    const float *data = held + (field->kind == TESS_STATE_WHOLE ? slice.first : 0);
    uint64_t *sum = TESS_NEW(uint64_t, n_sums);
    struct dataset values = {.type = H5T_NATIVE_FLOAT,
                             .extent = tess_state_extent(state, field, 0),
                             .part = slice,
                             .data = data};
    struct dataset sums = {.type = H5T_NATIVE_UINT64,
                           .extent = TESS_H5_LINE(tess_state_blocks(state)),
                           .part = {slice.first / TESS_CHECK_FLOATS, n_sums},
                           .data = sum};

    for (int64_t b = 0; b < n_sums; b++)
        sum[b] = tess_state_block_sum(data, slice.n, b);
    tess_state_field_name(field, 0, values.name);
    tess_state_check_name(field, 0, sums.name);
    write_dataset(h5, &values, error);
    write_dataset(h5, &sums, error);
    tess_free(sum);
}

static void write_field(struct tess_h5 *h5, const struct tess_state *state,
                        const struct tess_state_field *field, int table, struct tess_error *error)
{
    if (error->code != TESS_OK)
        return;
    switch (tess_state_group_of(field)) {
    case TESS_STATE_ROOT:
        write_attribute(h5, state, field, error);
        break;
    case TESS_STATE_TABLES:
        write_rows(h5, state, field, table, error);
        break;
    case TESS_STATE_MLP:
        write_slice(h5, state, field, error);
        break;
    default:
        write_shared(h5, state, field, table, error);
    }
}

/* The checksums of a table's rows, or of its symbols, once they are there. The MLP has its own, in
 * blocks (write_slice); all else is guarded by the file's sidecar (checksums.h) alone. */
static void write_group_sum(struct tess_h5 *h5, const struct tess_state *state,
                            enum tess_state_group group, int table, struct tess_error *error)
{
    uint64_t hash;

    if (group == TESS_STATE_TABLES) {
        write_row_sums(h5, state, table, error);
    } else if (group == TESS_STATE_SYMBOLS && error->code == TESS_OK) {
        hash = tess_vocab_hash(&state->vocab[table]);
        tess_h5_write_attribute(h5, (struct tess_h5_attribute){tess_table_names[table], "hash"},
                                H5T_NATIVE_UINT64, 1, &hash, error);
    }
}

/* Group by group as the table lists them: the order of writing decides the file's bytes. Defining
 * and writing are collective, so all ranks walk the same way. */
static void write_all(struct tess_h5 *h5, const struct tess_state *state, struct tess_error *error)
{
    for (int g = 0; g < TESS_STATE_N_GROUPS; g++)
        for (int t = 0; t < tess_state_group_tables(g); t++) {
            for (const struct tess_state_field *field = tess_state_first(g); field;
                 field = tess_state_next(field))
                write_field(h5, state, field, t, error);
            write_group_sum(h5, state, g, t, error);
        }
}

/* Of one piece, with the checksums that it has of its own. */
static double bytes_of(const struct tess_state *state, const struct tess_state_field *field,
                       int table)
{
    struct tess_h5_extent extent = tess_state_extent(state, field, table);
    double n = (double)extent.shape[0] * (double)extent.shape[1];

    if (vocab_of(state, field, table))
        return n * vocab_of(state, field, table)->width;
    if (!tess_state_has(state, field, table))
        return 0;
    return n * (double)tess_state_size(field->type) +
           (tess_state_group_of(field) == TESS_STATE_MLP
                ? (double)tess_state_blocks(state) * sizeof(uint64_t)
                : 0);
}

double tess_checkpoint_bytes(const struct tess_state *state)
{
    double bytes = FILE_BYTES;

    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];

        for (int t = 0; t < tess_state_group_tables(tess_state_group_of(field)); t++)
            bytes += bytes_of(state, field, t);
    }
    for (int t = 0; t < TESS_N_TABLES; t++)
        bytes += (double)tess_state_rows(state, t) * sizeof(uint64_t); /* checksums of rows */
    return bytes;
}

/* NaN and infinity are not worth keeping, least of all in place of the last good checkpoint.
 * Local. */
static void look_at_numbers(const struct tess_state *state, struct tess_error *error)
{
    int dim = state->shape.dim;

    if (!tess_state_finite(state->mlp.value + state->slice.first, state->slice.n))
        tess_error_set(error, TESS_EDATA,
                       "weights of the MLP are not finite any more at step %lld: lower "
                       "train.learning_rate; the last checkpoint stands",
                       (long long)state->optimizer.step);
    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int64_t i = 0; i < state->row_range[t].n && error->code == TESS_OK; i++)
            if (!tess_state_finite(state->rows[t].value + i * dim, dim))
                tess_error_set(
                    error, TESS_EDATA,
                    "the embedding of %s %lld is not finite any more at step %lld: lower "
                    "train.learning_rate; the last checkpoint stands",
                    tess_table_names[t], (long long)(state->row_range[t].first + i),
                    (long long)state->optimizer.step);
}

int tess_checkpoint_write(const struct tess_state *state, MPI_Comm comm, const char *path,
                          struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_commit commit = {0};
    int rank;

    MPI_Comm_rank(comm, &rank);
    look_at_numbers(state, error);
    /* A disk that is clearly too full is noticed before anything is written. It may have room
     * later: TESS_EIO, after which a training goes on. */
    if (rank == 0 && tess_commit_open(&commit, path, error) == TESS_OK &&
        tess_commit_check_room(path, tess_checkpoint_bytes(state), error) == TESS_ECREATE)
        error->code = TESS_EIO;
    if (tess_agree(comm, error) == TESS_OK) {
        tess_broadcast_commit(comm, &commit);
        if (tess_h5_create(&h5, commit.aside, comm, error) == TESS_OK)
            write_all(&h5, state, error);
    }
    tess_h5_close(&h5, error);
    if (tess_agree(comm, error) == TESS_OK)
        tess_checksums_write(&commit, NULL, comm, error);
    if (error->code == TESS_OK && rank == 0)
        tess_commit_finish(&commit, error);
    tess_commit_release(&commit);
    return tess_agree(comm, error);
}
