/* model.c -- a checkpoint opened for prediction. */
#include "tessera/model.h"

#include "table_reader.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/checksums.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/predictor.h"
#include "tessera/rundir.h"

#include <math.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

/* What sizes follow from: moved. */
static void take_shape(struct tess_model *model, struct tess_state *state)
{
    model->network.shape = state->shape;
    for (int t = 0; t < TESS_N_TABLES; t++) {
        model->composition[t] = state->composition[t];
        state->composition[t] = (struct tess_composition){.n = 0};
        model->features[t] = state->features[t];
        state->features[t] = (struct tess_features){.n = 0};
    }
}

/* Tables grow with the data and may be refused; the MLP is small beside them. That of
 * perturbations stays in the file. */
static int allocate(struct tess_model *model, struct tess_error *error)
{
    struct tess_network *network = &model->network;

    network->parameter = TESS_NEW(float, tess_shape_size(network->shape));
    tess_mlp_point(&network->mlp, network->shape, network->parameter);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        network->rows[t] = model->composition[t].n_rows;
        if (t == TESS_TABLE_P)
            continue;
        network->table[t] = tess_alloc_large((size_t)network->rows[t] * (size_t)network->shape.dim,
                                             sizeof(float), "the model's tables", error);
    }
    return error->code;
}

/* Vocabularies, flags and scaling of the state become the model's: moved, not copied, so the state
 * gives them up, all but their sizes, before it is released. */
static void take_state(struct tess_model *model, struct tess_state *state)
{
    struct tess_vocab *vocab[] = {&model->perturbation, &model->readout, &model->context};
    uint8_t **trained[] = {&model->trained_perturbation, &model->trained_readout,
                           &model->trained_context};

    for (int t = 0; t < TESS_N_TABLES; t++) {
        *vocab[t] = state->vocab[t];
        *trained[t] = state->trained[t];
        for (int64_t i = 0; *trained[t] && i < vocab[t]->n; i++)
            if ((*trained[t])[i] == TESS_TRAINED_NEW)
                (*trained[t])[i] = TESS_TRAINED;
        state->vocab[t] = (struct tess_vocab){.n = vocab[t]->n};
        state->trained[t] = NULL;
    }
    model->config = state->config;
    model->step = state->optimizer.step;
    model->best_score = state->progress.best_score;
    model->store_hash = state->store_hash;
    model->split_hash = state->split_hash;
    model->scaling = state->scaling;
    state->scaling = (struct tess_scaling)TESS_SCALING_NONE;
}

/* Members predict side by side: their symbols must be the same. */
static int same_symbols(const struct tess_model *a, const struct tess_model *b,
                        struct tess_error *error)
{
    if (tess_vocab_hash(&a->perturbation) == tess_vocab_hash(&b->perturbation) &&
        tess_vocab_hash(&a->readout) == tess_vocab_hash(&b->readout) &&
        tess_vocab_hash(&a->context) == tess_vocab_hash(&b->context))
        return TESS_OK;
    return tess_error_set(
        error, TESS_EDATA,
        "%s and %s know different perturbations, readouts or contexts: an ensemble "
        "is of models trained on one store",
        a->path, b->path);
}

/* An ensemble knows what all of its members were trained on. */
static void narrow(struct tess_model *model, const struct tess_model *member)
{
    uint8_t *trained[] = {model->trained_perturbation, model->trained_readout,
                          model->trained_context};
    const uint8_t *other[] = {member->trained_perturbation, member->trained_readout,
                              member->trained_context};
    int64_t n[] = {model->perturbation.n, model->readout.n, model->context.n};

    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int64_t i = 0; i < n[t]; i++)
            if (trained[t][i] != other[t][i])
                trained[t][i] = trained[t][i] && other[t][i] ? TESS_BY_PARTS : TESS_UNTRAINED;
}

int tess_model_open_ensemble(struct tess_model *model, int n, char *const *path, int precision,
                             MPI_Comm comm, struct tess_error *error)
{
    struct tess_model *last = model;
    uint64_t both[2];

    if (tess_model_open(model, path[0], precision, comm, error) != TESS_OK)
        return error->code;
    /* Each member's hash is chained to the one before: their order counts. */
    for (int i = 1; i < n && error->code == TESS_OK; i++) {
        last->next = TESS_NEW(struct tess_model, 1);
        last = last->next;
        if (tess_model_open(last, path[i], precision, comm, error) != TESS_OK ||
            same_symbols(model, last, error) != TESS_OK)
            break;
        narrow(model, last);
        both[0] = model->hash;
        both[1] = last->hash;
        model->hash = XXH3_64bits(both, sizeof both);
        model->n_members++;
    }
    return error->code;
}

static void release_parameters(struct tess_model *model)
{
    struct tess_vocab *vocab[] = {&model->perturbation, &model->readout, &model->context};
    uint8_t **trained[] = {&model->trained_perturbation, &model->trained_readout,
                           &model->trained_context};

    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_vocab_release(vocab[t]);
        tess_intern_release(&model->made[t].name);
        tess_free(model->made[t].number);
        model->made[t] = (struct tess_made){.n_numbers = 0};
        tess_composition_release(&model->composition[t]);
        tess_features_release(&model->features[t]);
        tess_free(*trained[t]);
        *trained[t] = NULL;
        tess_free(model->network.table[t]);
        model->network.table[t] = NULL;
    }
    tess_free(model->network.parameter);
    model->network.parameter = NULL;
    tess_scaling_release(&model->scaling);
}

/* The table of perturbations, read from end to end, a part at a time: all of it is verified, and
 * its hash is what it would be of the whole. Local. */
static uint64_t hash_table(const struct tess_h5 *h5, const struct tess_state *state,
                           struct tess_error *error)
{
    int64_t n = tess_state_rows(state, TESS_TABLE_P), dim = state->shape.dim;
    XXH3_state_t *sum = XXH3_createState();
    float *part = TESS_NEW(float, (n < TESS_MODEL_ROWS ? n : TESS_MODEL_ROWS) * dim);
    uint64_t hash;

    XXH3_64bits_reset(sum);
    for (int64_t first = 0; first < n && error->code == TESS_OK; first += TESS_MODEL_ROWS) {
        const struct tess_state_range some = {first, n - first < TESS_MODEL_ROWS ? n - first
                                                                                 : TESS_MODEL_ROWS};

        tess_checkpoint_read_rows(h5, state, TESS_TABLE_P, some, part, error);
        XXH3_64bits_update(sum, part, (size_t)(some.n * dim) * sizeof *part);
    }
    hash = XXH3_64bits_digest(sum);
    XXH3_freeState(sum);
    tess_free(part);
    return hash;
}

/* Rank 0 reads and verifies everything. What the state still holds in the end is what reading the
 * table of perturbations goes by. Local. */
static int read_model(struct tess_model *model, struct tess_state *state, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(model->path);
    if (tess_h5_open(&h5, model->path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, state, error) == TESS_OK &&
        (take_shape(model, state), allocate(model, error)) == TESS_OK) {
        model->table_hash = hash_table(&h5, state, error);
        for (int t = TESS_TABLE_P + 1; t < TESS_N_TABLES && error->code == TESS_OK; t++)
            tess_checkpoint_read_rows(&h5, state, t,
                                      (struct tess_state_range){0, model->network.rows[t]},
                                      model->network.table[t], error);
        state->mlp.value = model->network.parameter;
        if (error->code == TESS_OK && tess_checkpoint_read_mlp(&h5, state, error) == TESS_OK)
            tess_checkpoint_read_scaling(&h5, state, error);
        state->mlp.value = NULL;
        take_state(model, state);
        state->blas_core[strcspn(state->blas_core, "+")] = '\0'; /* without the unit */
        if (error->code == TESS_OK && strcasecmp(state->blas_core, tess_platform_blas_core()) != 0)
            tess_debug("%s: written with %s kernels, read with %s", model->path, state->blas_core,
                       tess_platform_blas_core());
    }
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return error->code;
}

static void broadcast_features(MPI_Comm comm, struct tess_features *features)
{
    tess_broadcast(comm, &features->n, sizeof features->n);
    tess_broadcast(comm, &features->k, sizeof features->k);
    if (features->k == 0)
        return;
    features->value = tess_broadcast_array(comm, features->value, features->n * features->k,
                                           sizeof *features->value);
    tess_broadcast_vocab(comm, &features->name);
    features->named = tess_broadcast_array(comm, features->named, features->name.n * features->k,
                                           sizeof *features->named);
}

/* Everything that rank 0 has read, to all. What sizes follow from comes first; then all ranks take
 * memory and agree that they have it, before the large arrays are sent. Collective. */
static int broadcast_model(struct tess_model *model, MPI_Comm comm, struct tess_error *error)
{
    struct tess_vocab *vocab[] = {&model->perturbation, &model->readout, &model->context};
    uint8_t **trained[] = {&model->trained_perturbation, &model->trained_readout,
                           &model->trained_context};
    struct tess_scaling *scaling = &model->scaling;
    int64_t scaled = scaling->shift != NULL, n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    tess_broadcast(comm, &model->config, sizeof model->config);
    tess_broadcast(comm, &model->network.shape, sizeof model->network.shape);
    tess_broadcast(comm, &model->table_hash, sizeof model->table_hash);
    tess_broadcast(comm, &model->step, sizeof model->step);
    tess_broadcast(comm, &model->best_score, sizeof model->best_score);
    tess_broadcast(comm, &model->store_hash, sizeof model->store_hash);
    tess_broadcast(comm, &model->split_hash, sizeof model->split_hash);
    tess_broadcast(comm, &scaled, sizeof scaled);
    tess_broadcast(comm, &scaling->n_readouts, sizeof scaling->n_readouts);
    tess_broadcast(comm, &scaling->center, sizeof scaling->center);
    tess_broadcast(comm, &scaling->spread, sizeof scaling->spread);
    tess_broadcast_text(comm, &model->store_path);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_broadcast_vocab(comm, vocab[t]);
        *trained[t] = tess_broadcast_array(comm, *trained[t], vocab[t]->n, sizeof **trained[t]);
        broadcast_features(comm, &model->features[t]);
    }
    n = model->context.n * model->readout.n;
    if (rank != 0) {
        for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
            if (tess_composition_init(&model->composition[t], t, &model->config, vocab[t],
                                      model->path, error) == TESS_OK)
                tess_features_compose(&model->features[t], &model->composition[t]);
        if (error->code == TESS_OK)
            allocate(model, error);
        if (scaled) {
            scaling->shift = tess_alloc_large((size_t)n, sizeof(float), "the scaling", error);
            scaling->scale = tess_alloc_large((size_t)n, sizeof(float), "the scaling", error);
        }
    }
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    tess_broadcast(comm, model->network.parameter,
                   (size_t)tess_shape_size(model->network.shape) * sizeof(float));
    for (int t = TESS_TABLE_P + 1; t < TESS_N_TABLES; t++)
        tess_broadcast(comm, model->network.table[t],
                       (size_t)(model->network.rows[t] * model->network.shape.dim) * sizeof(float));
    if (scaled) {
        tess_broadcast(comm, scaling->shift, (size_t)n * sizeof(float));
        tess_broadcast(comm, scaling->scale, (size_t)n * sizeof(float));
    }
    return TESS_OK;
}

static uint64_t hash_of(const struct tess_model *model)
{
    const struct tess_network *network = &model->network;
    uint64_t part[] = {
        XXH3_64bits(network->parameter, (size_t)tess_shape_size(network->shape) * sizeof(float)),
        tess_vocab_hash(&model->perturbation),
        tess_vocab_hash(&model->readout),
        tess_vocab_hash(&model->context),
        model->table_hash,
        0,
        0};

    for (int t = TESS_TABLE_P + 1; t < TESS_N_TABLES; t++)
        part[4 + t] =
            XXH3_64bits(network->table[t],
                        (size_t)network->rows[t] * (size_t)network->shape.dim * sizeof(float));
    return XXH3_64bits(part, sizeof part);
}

/* The first intact one of the candidates, read by rank 0; damaged ones are named in warnings. A
 * single candidate's damage is the error. Collective. */
static int read_first_intact(struct tess_model *model, struct tess_state *state,
                             const struct tess_strings *candidate, MPI_Comm comm,
                             struct tess_error *error)
{
    int64_t n = (int64_t)candidate->n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    tess_broadcast(comm, &n, sizeof n);
    for (int64_t i = 0; i < n; i++) {
        struct tess_error mine = TESS_ERROR_INIT;

        tess_free(model->path);
        model->path = rank == 0 ? tess_strdup(candidate->item[i]) : NULL;
        tess_broadcast_text(comm, &model->path);
        if (tess_checksums_verify(model->path, comm, NULL, &mine) == TESS_OK && rank == 0)
            read_model(model, state, &mine);
        if (tess_agree(comm, &mine) == TESS_OK)
            return TESS_OK;
        if (i + 1 == n)
            *error = mine;
        else
            tess_warn("%s; trying an older checkpoint", mine.text);
        tess_state_release(state);
        release_parameters(model);
    }
    return error->code;
}

/* The vectors of a table's symbols, own of the caller; NULL where they are its rows. */
static float *make_vectors(const struct tess_model *model, int table)
{
    const struct tess_composition *composition = &model->composition[table];
    int dim = model->network.shape.dim;
    float *vectors;

    if (!composition->first)
        return NULL;
    vectors = TESS_NEW(float, composition->n *dim);
    tess_composition_vectors(composition, dim, model->network.table[table], vectors);
    return vectors;
}

/* What is projected once from the tables of readouts and contexts, which are then done with, unless
 * further symbols can be made of their rows. */
static void project(struct tess_model *model, int precision)
{
    struct tess_network *network = &model->network;

    float *readouts = make_vectors(model, TESS_TABLE_R);
    float *contexts = make_vectors(model, TESS_TABLE_C);

    model->predictor = TESS_NEW(struct tess_predictor, 1);
    tess_predictor_init(
        model->predictor, network->shape, &network->mlp, tess_precision_is_low(precision),
        (struct tess_embeddings){model->readout.n,
                                 readouts ? readouts : network->table[TESS_TABLE_R]},
        (struct tess_embeddings){model->context.n,
                                 contexts ? contexts : network->table[TESS_TABLE_C]});
    tess_free(readouts);
    tess_free(contexts);
    model->predictor->scaling = &model->scaling;
    for (int t = TESS_TABLE_P + 1; t < TESS_N_TABLES; t++) {
        if (model->composition[t].first)
            continue;
        tess_free(network->table[t]);
        network->table[t] = NULL;
    }
}

/* Rank 0 alone looks for the file and reads it; every rank then has the same numbers, and computes
 * the same hash and projections from them. Rows of perturbations each reads by itself. */
int tess_model_open(struct tess_model *model, const char *path, int precision, MPI_Comm comm,
                    struct tess_error *error)
{
    struct tess_strings candidate = {0};
    struct tess_state state = {.version = 0};
    int rank;

    *model = (struct tess_model){.step = 0};
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_rundir_find(path, &candidate, &model->store_path, error);
    if (tess_agree(comm, error) == TESS_OK &&
        read_first_intact(model, &state, &candidate, comm, error) == TESS_OK &&
        broadcast_model(model, comm, error) == TESS_OK) {
        model->n_members = 1;
        model->hash = model->own_hash = hash_of(model);
        tess_encoder_init(&model->encoder, &model->config);
        project(model, precision);
        model->rows = TESS_NEW(struct tess_table_reader, 1);
        tess_table_reader_open(model->rows, model->path, &state, TESS_TABLE_P, comm, error);
    }
    tess_strings_release(&candidate);
    tess_state_release(&state);
    return error->code;
}

void tess_model_release(struct tess_model *model)
{
    release_parameters(model);
    tess_free(model->store_path);
    tess_free(model->path);
    if (model->predictor)
        tess_predictor_release(model->predictor);
    tess_free(model->predictor);
    if (model->rows)
        tess_table_reader_release(model->rows);
    tess_free(model->rows);
    if (model->next)
        tess_model_release(model->next);
    tess_free(model->next);
    *model = (struct tess_model){.step = 0};
}

int tess_model_has_noise(const struct tess_model *model)
{
    while (model && !model->network.shape.noise)
        model = model->next;
    return model != NULL;
}

int tess_model_deviates(const struct tess_model *model)
{
    return model->n_members > 1 || tess_model_has_noise(model);
}

const char *tess_model_precision(const struct tess_model *model)
{
    while (model && !model->predictor->packed)
        model = model->next;
    return tess_precision_name(model ? TESS_PRECISION_BFLOAT16 : TESS_PRECISION_FLOAT32);
}

const struct tess_model *tess_model_trained_elsewhere(const struct tess_model *model,
                                                      uint64_t store_hash, uint64_t split_hash)
{
    while (model && store_hash == model->store_hash && split_hash == model->split_hash)
        model = model->next;
    return model;
}

void tess_model_allow(struct tess_model *model, double bytes)
{
    double share = bytes / model->n_members;

    for (struct tess_model *member = model; member; member = member->next)
        tess_table_reader_allow(member->rows, share);
}

double tess_model_rows_bytes(const struct tess_model *model)
{
    double bytes = 0;

    for (; model; model = model->next)
        bytes += tess_table_reader_bytes(model->rows);
    return bytes;
}

/* A batch's components (two a row, say), vectors and left rows; a run of pages with its optimiser's
 * state; a page of each member. */
double tess_model_working_bytes(const struct tess_model *model, int64_t rows)
{
    double bytes = 0, reading = 0;

    for (; model; model = model->next) {
        double dim = model->network.shape.dim, width = tess_shape_width(model->network.shape);
        double batch = (double)rows * (4 * (3 * dim + width) + 100);

        bytes += batch + tess_table_reader_least(model->rows);
        reading = fmax(reading, tess_table_reader_run(model->rows));
    }
    return bytes + reading;
}
