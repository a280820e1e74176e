/* checkpoint_verify.c -- every checksum and invariant of a checkpoint, and all that is wrong. */
#include "tessera/checkpoint.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/h5_guard.h"
#include "tessera/text.h"

#include <string.h>

#define PIECE_FLOATS ((int64_t)1 << 22)

struct look {
    const struct tess_h5 *h5;
    struct tess_state *state;
    struct tess_strings *problems;
};

static void complain(struct look *look, const char *what, const char *where, int64_t row)
{
    char *text = tess_format("%s: %s, row %lld: %s", look->h5->path, where, (long long)row, what);

    tess_strings_add(look->problems, text);
    tess_free(text);
}

/* Bad data are problems of the file; anything else (no memory) ends the verification. */
static int take(struct tess_strings *problems, struct tess_error *error)
{
    if (error->code == TESS_EDATA) {
        tess_strings_add(problems, error->text);
        *error = (struct tess_error)TESS_ERROR_INIT;
    }
    return error->code;
}

/* A number of one row, in any of its arrays: said once. */
static void check_row(struct look *look, const struct tess_row_state *rows,
                      enum tess_embedding table, int64_t row, int64_t at)
{
    const char *said = "";

    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field)) {
        int64_t n = field->kind == TESS_STATE_MATRIX ? look->state->shape.dim : 1;
        const char *data = tess_row_state_data(rows, field);

        data += at * n * (int64_t)tess_state_size(field->type);
        if (strcmp(field->rule->broken, said) != 0 &&
            tess_state_first_broken(look->state, field, data, n) >= 0) {
            complain(look, field->rule->broken, tess_table_names[table], row);
            said = field->rule->broken;
        }
    }
}

/* This rank's share of a table, in pieces of bounded memory; a damaged piece is one problem, and
 * the next is looked at. */
static int check_table(struct look *look, enum tess_embedding table, int rank, int n_ranks,
                       struct tess_error *error)
{
    int64_t rows = tess_state_rows(look->state, table), dim = look->state->shape.dim;
    int64_t first = rows * rank / n_ranks, end = rows * (rank + 1) / n_ranks;
    int64_t step = PIECE_FLOATS / dim < 1 ? 1 : PIECE_FLOATS / dim;
    struct tess_row_state piece = {.value = NULL};

    tess_row_state_reserve(&piece, end - first < step ? end - first : step, tess_int(dim), error);
    for (int64_t i = first; i < end && error->code == TESS_OK; i += step) {
        struct tess_state_range part = {i, end - i < step ? end - i : step};

        if (tess_checkpoint_read_state(look->h5, look->state, table, part, &piece, error) ==
            TESS_OK)
            for (int64_t k = 0; k < part.n; k++)
                check_row(look, &piece, table, i + k, k);
        take(look->problems, error);
    }
    tess_row_state_release(&piece);
    return error->code;
}

/* One array of the MLP, whole. */
static int check_weights(struct look *look, const struct tess_state_field *field,
                         struct tess_error *error)
{
    int64_t n = tess_shape_size(look->state->shape);
    struct tess_state whole = *look->state;
    float *data = TESS_NEW(float, n);

    /* Of the copy only this array has a place to be read to: read_mlp leaves out those that are
     * NULL. */
    whole.slice = (struct tess_state_range){0, n};
    *(float **)tess_state_member(&whole, field, 0) = data;
    if (tess_checkpoint_read_mlp(look->h5, &whole, error) == TESS_OK &&
        tess_state_first_broken(look->state, field, data, n) >= 0)
        complain(look, field->rule->broken, "mlp", 0);
    tess_free(data);
    return take(look->problems, error);
}

/* This rank's share of the MLP's arrays: whole ones, as they are read whole. */
static int check_mlp(struct look *look, int rank, int n_ranks, struct tess_error *error)
{
    int k = 0;

    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_MLP);
         field && error->code == TESS_OK; field = tess_state_next(field))
        if (k++ % n_ranks == rank)
            check_weights(look, field, error);
    return error->code;
}

/* An array that every rank has; the first number that breaks its rule is named. */
static void check_array(struct look *look, const struct tess_state_field *field, int table)
{
    struct tess_h5_extent extent = tess_state_extent(look->state, field, table);
    const void *data = tess_state_data(look->state, field, table);
    char name[TESS_STATE_NAME];
    int64_t bad = -1;

    if (data)
        bad = tess_state_first_broken(look->state, field, data, extent.shape[0] * extent.shape[1]);
    tess_state_field_name(field, table, name);
    if (bad >= 0)
        complain(look, field->rule->broken,
                 field->kind == TESS_STATE_FLAGS ? tess_table_names[table] : name, bad);
}

static int check_scaling(struct look *look, struct tess_error *error)
{
    if (tess_checkpoint_read_scaling(look->h5, look->state, error) == TESS_OK)
        for (const struct tess_state_field *field = tess_state_first(TESS_STATE_SCALING); field;
             field = tess_state_next(field))
            check_array(look, field, 0);
    return take(look->problems, error);
}

static void say(struct look *look, const char *what)
{
    char *text = tess_format("%s: %s", look->h5->path, what);

    tess_strings_add(look->problems, text);
    tess_free(text);
}

/* What the numbers of the root must be, alone and to each other; what steps left behind; flags.
 * Neighbours in the table may share a sentence (state_rules.c), which is said once. */
static void check_head(struct look *look)
{
    const char *said = "";

    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];
        enum tess_state_group group = tess_state_group_of(field);
        const char *broken = field->rule->broken;

        if (field->kind == TESS_STATE_FLAGS || group == TESS_STATE_SCHEDULE ||
            group == TESS_STATE_TRAITS || field->kind == TESS_STATE_NAMED)
            for (int t = 0; t < tess_state_group_tables(group); t++)
                check_array(look, field, t);
        if (group != TESS_STATE_ROOT || strcmp(broken, said) == 0 ||
            tess_state_first_broken(look->state, field, tess_state_data(look->state, field, 0), 1) <
                0)
            continue;
        say(look, broken);
        said = broken;
    }
}

int tess_checkpoint_verify(const char *path, MPI_Comm comm, struct tess_strings *problems,
                           struct tess_error *error)
{
    struct tess_state state = {.version = 0};
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_strings mine = {0};
    struct look look = {&h5, &state, &mine};
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK)
        tess_checkpoint_read_head(&h5, &state, error);
    tess_h5_guard_finish();
    tess_agree(comm, error);
    tess_h5_guard_start(path);
    if (error->code == TESS_OK) {
        if (rank == 0)
            check_head(&look);
        for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
            check_table(&look, t, rank, n_ranks, error);
        if (error->code == TESS_OK)
            check_mlp(&look, rank, n_ranks, error);
        if (rank == n_ranks - 1 && error->code == TESS_OK)
            check_scaling(&look, error);
    }
    tess_state_release(&state);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    /* A head that cannot be read is the file's one problem; rank 0 turns it into one, and its code
     * goes to all below. */
    if (tess_agree(comm, error) == TESS_OK)
        tess_gather_strings(comm, &mine);
    else if (rank == 0)
        take(&mine, error);
    for (size_t i = 0; rank == 0 && i < mine.n; i++)
        tess_strings_add(problems, mine.item[i]);
    tess_strings_release(&mine);
    MPI_Bcast(error, (int)sizeof *error, MPI_BYTE, 0, comm);
    return error->code;
}
