/* checkpoint.c -- reading checkpoints: what every rank has, rows, MLP, and the checksums over them.
 */
#include "tessera/checkpoint.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/sums.h"

#include <stdio.h>
#include <string.h>

static int check_format(const struct tess_h5 *h5, struct tess_error *error)
{
    char *format = NULL;
    int64_t version = 0;

    tess_h5_read_string(h5, "/", "format", &format, error);
    if (error->code == TESS_OK && (!format || strcmp(format, TESS_STATE_FORMAT) != 0))
        tess_error_set(error, TESS_EDATA, "%s: is no checkpoint of Tessera", h5->path);
    tess_free(format);
    if (error->code == TESS_OK)
        tess_h5_read_attribute(h5, (struct tess_h5_attribute){"/", "version"}, H5T_NATIVE_INT64, 1,
                               &version, error);
    if (error->code == TESS_OK && version != TESS_STATE_VERSION)
        tess_error_set(
            error, TESS_EDATA,
            "%s: checkpoint version %lld, this program reads version %d: train again, or use "
            "the program that wrote it",
            h5->path, (long long)version, TESS_STATE_VERSION);
    return error->code;
}

static int take_settings(const struct tess_h5 *h5, struct tess_state *state, const char *yaml,
                         struct tess_error *error)
{
    struct tess_config *config = &state->config;

    if (tess_config_parse(config, yaml, h5->path, error) == TESS_ECONFIG)
        error->code = TESS_EDATA; /* of the file, not of the user */
    if (!strstr(yaml, "activation:")) /* a model from before there was a choice */
        config->model.activation = TESS_ACTIVATION_RELU;
    return error->code;
}

static int read_text(const struct tess_h5 *h5, struct tess_state *state,
                     const struct tess_state_field *field, struct tess_error *error)
{
    char *text = NULL;

    if (tess_h5_read_string(h5, "/", field->name, &text, error) != TESS_OK)
        return error->code;
    if (!text)
        return tess_error_set(error, TESS_EDATA, "%s: attribute '%s' is missing", h5->path,
                              field->name);
    if (field->kind == TESS_STATE_SETTINGS)
        take_settings(h5, state, text, error);
    else
        snprintf(tess_state_data(state, field, 0), TESS_STATE_WORD, "%s", text);
    tess_free(text);
    return error->code;
}

static int read_attributes(const struct tess_h5 *h5, struct tess_state *state,
                           struct tess_error *error)
{
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_ROOT);
         field && error->code == TESS_OK; field = tess_state_next(field)) {
        if (field->kind == TESS_STATE_NUMBER)
            tess_h5_read_attribute(h5, (struct tess_h5_attribute){"/", field->name},
                                   tess_state_hdf5_type(field->type), 1,
                                   tess_state_data(state, field, 0), error);
        else
            read_text(h5, state, field, error);
    }
    /* Arrays have step + 1 entries: that must not overflow. */
    if (error->code == TESS_OK && (state->optimizer.step < 0 || state->optimizer.step == INT64_MAX))
        tess_error_set(error, TESS_EDATA, "%s: step %lld: the file is damaged", h5->path,
                       (long long)state->optimizer.step);
    return error->code;
}

static int read_vocab(const struct tess_h5 *h5, int table, const char *name,
                      struct tess_vocab *vocab, struct tess_error *error)
{
    char *block = NULL;
    uint64_t hash = 0;
    int64_t n;
    int width;

    if (tess_h5_read_strings(h5, name, &n, &width, &block, error) == TESS_OK &&
        tess_vocab_init_block(vocab, n, width, block, h5->path, error) == TESS_OK &&
        tess_h5_read_attribute(h5, (struct tess_h5_attribute){tess_table_names[table], "hash"},
                               H5T_NATIVE_UINT64, 1, &hash, error) == TESS_OK &&
        !tess_sums_match(tess_vocab_hash(vocab), hash))
        tess_error_set(error, TESS_EDATA, "%s: %s does not match its checksum: the file is damaged",
                       h5->path, name);
    tess_free(block);
    return error->code;
}

/* A new array: no memory is taken before the file is known to hold as much. */
static int read_array(const struct tess_h5 *h5, const struct tess_state *state,
                      const struct tess_state_field *field, int table, struct tess_error *error)
{
    struct tess_h5_extent extent = tess_state_extent(state, field, table);
    void **member = tess_state_member(state, field, table);
    char name[TESS_STATE_NAME];

    tess_state_field_name(field, table, name);
    if (tess_h5_check(h5, name, extent, error) != TESS_OK)
        return error->code;
    *member = tess_alloc_large((size_t)extent.shape[0] * (size_t)extent.shape[1],
                               tess_state_size(field->type), name, error);
    return error->code == TESS_OK
               ? tess_h5_read(h5, name, tess_state_hdf5_type(field->type), extent, *member, error)
               : error->code;
}

/* Symbols, flags, and what steps left behind. */
static int read_shared(const struct tess_h5 *h5, struct tess_state *state, struct tess_error *error)
{
    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];
        enum tess_state_group group = tess_state_group_of(field);
        char name[TESS_STATE_NAME];

        if (group != TESS_STATE_SYMBOLS && group != TESS_STATE_SCHEDULE)
            continue;
        for (int t = 0; t < tess_state_group_tables(group) && error->code == TESS_OK; t++) {
            tess_state_field_name(field, t, name);
            if (field->kind == TESS_STATE_NAMES)
                read_vocab(h5, t, name, tess_state_member(state, field, t), error);
            else
                read_array(h5, state, field, t, error);
        }
    }
    return error->code;
}

/* The optimiser's other scalars follow from the learning rates and are not stored: they are
 * computed by the same function as in training, so that they have its bits. The array that was read
 * is freed: the optimiser keeps the rates in its own. */
static void replay_rates(struct tess_state *state)
{
    double *rate = state->optimizer.rate;
    int64_t step = state->optimizer.step;

    tess_optimizer_init(&state->optimizer, &state->config);
    for (int64_t t = 1; t <= step; t++)
        tess_optimizer_begin(&state->optimizer, rate[t]);
    tess_free(rate);
}

/* Is there what not every checkpoint has, the scaling or features? Either all of it is, or none. */
static int is_there(const struct tess_h5 *h5, enum tess_state_group group, int table)
{
    char name[TESS_STATE_NAME];

    tess_state_field_name(tess_state_first(group), table, name);
    return tess_h5_kind(h5, name) != 0;
}

/* Every array that the head's settings and symbols imply: there, and as large as they say, so that
 * whoever takes memory by the head reads into it what fits. */
static void check_extents(const struct tess_h5 *h5, const struct tess_state *state,
                          struct tess_error *error)
{
    int scaled = is_there(h5, TESS_STATE_SCALING, 0);

    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];
        enum tess_state_group group = tess_state_group_of(field);
        char name[TESS_STATE_NAME];

        if (group <= TESS_STATE_SYMBOLS || (group == TESS_STATE_SCALING && !scaled) ||
            group == TESS_STATE_TRAITS || group == TESS_STATE_FURTHER) /* which are read already */
            continue;
        for (int t = 0; t < tess_state_group_tables(group) && error->code == TESS_OK; t++) {
            tess_state_field_name(field, t, name);
            tess_h5_check(h5, name, tess_state_extent(state, field, t), error);
            tess_state_check_name(field, t, name);
            if (name[0] != '\0' && error->code == TESS_OK)
                tess_h5_check(h5, name,
                              TESS_H5_LINE(group == TESS_STATE_MLP ? tess_state_blocks(state)
                                                                   : tess_state_rows(state, t)),
                              error);
        }
    }
}

/* And of symbols that it does not have itself. */
static int read_further(const struct tess_h5 *h5, struct tess_state *state, int table,
                        struct tess_error *error)
{
    const struct tess_state_field *names = tess_state_first(TESS_STATE_FURTHER);
    char name[TESS_STATE_NAME], *block = NULL;
    int64_t n;
    int width;

    tess_state_field_name(names, table, name);
    if (tess_h5_read_strings(h5, name, &n, &width, &block, error) == TESS_OK &&
        tess_vocab_init_block(&state->features[table].name, n, width, block, h5->path, error) ==
            TESS_OK)
        read_array(h5, state, tess_state_next(names), table, error);
    tess_free(block);
    return error->code;
}

/* What is known of symbols: as many axes as the settings say. */
static int read_features(const struct tess_h5 *h5, struct tess_state *state, int table,
                         struct tess_error *error)
{
    struct tess_features *features = &state->features[table];

    features->n = state->vocab[table].n;
    if (!is_there(h5, TESS_STATE_TRAITS, table))
        return error->code;
    features->k = state->config.features.axes;
    if (read_array(h5, state, tess_state_first(TESS_STATE_TRAITS), table, error) == TESS_OK &&
        is_there(h5, TESS_STATE_FURTHER, table))
        read_further(h5, state, table, error);
    return error->code;
}

/* What vectors are made of. */
static int compose(const struct tess_h5 *h5, struct tess_state *state, struct tess_error *error)
{
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        if (tess_composition_init(&state->composition[t], t, &state->config, &state->vocab[t],
                                  h5->path, error) == TESS_OK &&
            read_features(h5, state, t, error) == TESS_OK) {
            tess_features_compose(&state->features[t], &state->composition[t]);
            state->n_parts[t] = state->composition[t].n_rows - state->vocab[t].n;
        }
    return error->code;
}

/* In this order: symbols and settings say how large everything else must be. */
int tess_checkpoint_read_head(const struct tess_h5 *h5, struct tess_state *state,
                              struct tess_error *error)
{
    *state = (struct tess_state){.version = 0};
    if (check_format(h5, error) == TESS_OK && read_attributes(h5, state, error) == TESS_OK &&
        read_shared(h5, state, error) == TESS_OK) {
        if (state->config.model.kind == TESS_KIND_AUTO ||
            state->config.model.combination == TESS_COMBINE_AUTO ||
            state->config.train.sampling == TESS_SAMPLING_AUTO)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: its settings do not say which kind of model it is, how "
                                  "combinations are made, or how its training data are drawn: "
                                  "the file is damaged",
                                  h5->path);
        state->shape = tess_shape_of(&state->config, state->vocab[TESS_TABLE_R].n);
        replay_rates(state);
        if (compose(h5, state, error) == TESS_OK)
            check_extents(h5, state, error);
    }
    return error->code;
}

static int damaged(const struct tess_h5 *h5, const char *what, int64_t row,
                   struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s, row %lld: checksum does not match: the file is damaged",
                          h5->path, what, (long long)row);
}

/* Do the columns hold what they must (the step that a row last moved at leads to places in memory)?
 */
static int columns_hold(const struct tess_state *state, const struct tess_row_state *rows,
                        int64_t i)
{
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field)) {

        if (field->kind == TESS_STATE_COLUMN &&
            !field->rule->holds(state,
                                tess_state_number(field, tess_row_state_data(rows, field), i)))
            return 0;
    }
    return 1;
}

/* Rows' checksums, and columns whose numbers are used as indices. */
static int check_rows(const struct tess_h5 *h5, const struct tess_state *state,
                      enum tess_embedding table, struct tess_state_range part,
                      const struct tess_row_state *rows, struct tess_error *error)
{
    struct tess_h5_rows some = {TESS_H5_LINE(tess_state_rows(state, table)), part.first, part.n};
    uint64_t *sum = TESS_NEW(uint64_t, part.n);
    char name[TESS_STATE_NAME];

    tess_state_check_name(tess_state_first(TESS_STATE_TABLES), table, name);
    tess_h5_read_rows(h5, name, H5T_NATIVE_UINT64, some, sum, error);
    for (int64_t i = 0; i < part.n && error->code == TESS_OK; i++)
        if (!tess_sums_match(tess_row_state_sum(rows, state->shape.dim, i), sum[i]) ||
            !columns_hold(state, rows, i))
            damaged(h5, tess_table_names[table], part.first + i, error);
    tess_free(sum);
    return error->code;
}

int tess_checkpoint_read_state(const struct tess_h5 *h5, const struct tess_state *state,
                               enum tess_embedding table, struct tess_state_range part,
                               const struct tess_row_state *out, struct tess_error *error)
{
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES);
         field && error->code == TESS_OK; field = tess_state_next(field)) {
        struct tess_h5_rows some = {tess_state_extent(state, field, table), part.first, part.n};
        char name[TESS_STATE_NAME];

        tess_state_field_name(field, table, name);
        tess_h5_read_rows(h5, name, tess_state_hdf5_type(field->type), some,
                          tess_row_state_data(out, field), error);
    }
    return error->code == TESS_OK ? check_rows(h5, state, table, part, out, error) : error->code;
}

int tess_checkpoint_read_rows(const struct tess_h5 *h5, const struct tess_state *state,
                              enum tess_embedding table, struct tess_state_range part, float *out,
                              struct tess_error *error)
{
    int dim = state->shape.dim;
    struct tess_row_state rows = {.value = out};

    const struct tess_optimizer *optimizer = tess_optimizer_of(&state->optimizer, (int)table);

    if (tess_row_state_reserve(&rows, part.n, dim, error) == TESS_OK &&
        tess_checkpoint_read_state(h5, state, table, part, &rows, error) == TESS_OK) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < part.n; i++)
            tess_optimizer_catch_up(
                optimizer, dim, rows.last[i], state->optimizer.step,
                (struct tess_parameters){out + i * dim, rows.m + i * dim, rows.v + i * dim});
    }
    /* The values are the caller's: only what was made here is freed. */
    rows.value = NULL;
    tess_row_state_release(&rows);
    return error->code;
}

/* One array of the MLP, whole, and its checksums. */
static int read_block(const struct tess_h5 *h5, const struct tess_state *state,
                      const struct tess_state_field *field, float *out, struct tess_error *error)
{
    int64_t n = tess_shape_size(state->shape), blocks = tess_state_blocks(state);
    uint64_t *sum = TESS_NEW(uint64_t, blocks);
    char name[TESS_STATE_NAME];

    tess_state_field_name(field, 0, name);
    tess_h5_read(h5, name, H5T_NATIVE_FLOAT, TESS_H5_LINE(n), out, error);
    tess_state_check_name(field, 0, name);
    if (error->code == TESS_OK)
        tess_h5_read(h5, name, H5T_NATIVE_UINT64, TESS_H5_LINE(blocks), sum, error);
    for (int64_t b = 0; b < blocks && error->code == TESS_OK; b++)
        if (!tess_sums_match(tess_state_block_sum(out, n, b), sum[b]))
            damaged(h5, "mlp", b, error);
    tess_free(sum);
    return error->code;
}

int tess_checkpoint_read_mlp(const struct tess_h5 *h5, const struct tess_state *state,
                             struct tess_error *error)
{
    int64_t n = tess_shape_size(state->shape);

    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_MLP);
         field && error->code == TESS_OK; field = tess_state_next(field)) {
        struct tess_state_range part = tess_state_range_of(state, field, 0);
        float *to = tess_state_data(state, field, 0), *whole = to;

        if (!to)
            continue;
        if (part.n < n) /* checksums are of the whole */
            whole = TESS_NEW(float, n);
        if (read_block(h5, state, field, whole, error) == TESS_OK && whole != to)
            memcpy(to, whole + part.first, (size_t)part.n * sizeof *to);
        if (whole != to)
            tess_free(whole);
    }
    return error->code;
}

int tess_checkpoint_read_scaling(const struct tess_h5 *h5, struct tess_state *state,
                                 struct tess_error *error)
{
    if (!is_there(h5, TESS_STATE_SCALING, 0))
        return error->code;
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_SCALING);
         field && error->code == TESS_OK; field = tess_state_next(field))
        read_array(h5, state, field, 0, error);
    state->scaling.n_readouts = state->vocab[TESS_TABLE_R].n;
    return error->code;
}
