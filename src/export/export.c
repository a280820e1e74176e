/* export.c -- which arrays a model is. */
#include "tessera/export.h"

#include "arrays.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/known.h"
#include "tessera/model.h"

#include <inttypes.h>
#include <string.h>

#define PART 4096 /* rows of a table at a time */
#define WAY  8 /* bytes of the longest of tess_known_names */

static int put_floats(struct tess_arrays *arrays, const char *name, int n_dims,
                      const int64_t *shape, const float *x, struct tess_error *error)
{
    struct tess_array array = {name, "<f4", sizeof(float), n_dims, {0}};
    int64_t n = 1;

    for (int i = 0; i < n_dims; i++) {
        array.shape[i] = shape[i];
        n *= shape[i];
    }
    if (tess_arrays_begin(arrays, &array, error) == TESS_OK)
        tess_arrays_put(arrays, x, (size_t)n * sizeof *x, error);
    return error->code;
}

static int put_text(struct tess_arrays *arrays, const char *name, const char *text,
                    struct tess_error *error)
{
    struct tess_array array = {name, "", (int64_t)strlen(text), 0, {0}};

    snprintf(array.type, sizeof array.type, "|S%lld", (long long)array.item);
    if (tess_arrays_begin(arrays, &array, error) == TESS_OK)
        tess_arrays_put(arrays, text, (size_t)array.item, error);
    return error->code;
}

/* Choices by their names, all numeric settings as YAML, what it was trained on. */
static int put_settings(struct tess_arrays *arrays, const struct tess_model *model,
                        struct tess_error *error)
{
    static const char *const choice[] = {"model.kind", "model.combination"};
    int silu = model->network.shape.silu; /* what auto chose */
    char *yaml = tess_config_yaml(&model->config, 1, 0);
    char *hash = tess_format("%016" PRIx64, model->own_hash);

    for (int i = 0; i < tess_n_params && error->code == TESS_OK; i++)
        for (int k = 0; k < 2; k++)
            if (strcmp(tess_params[i].name, choice[k]) == 0) {
                char *value = tess_config_get(&model->config, &tess_params[i]);

                put_text(arrays, strchr(choice[k], '.') + 1, value, error);
                tess_free(value);
            }
    if (error->code == TESS_OK)
        put_text(arrays, "activation", silu ? "silu" : "relu", error);
    if (error->code == TESS_OK && model->network.shape.kind != TESS_KIND_MLP)
        put_text(arrays, "right",
                 model->network.shape.right == TESS_TABLE_C ? "context" : "readout", error);
    if (error->code == TESS_OK && put_text(arrays, "settings", yaml, error) == TESS_OK)
        put_text(arrays, "model_hash", hash, error);
    tess_free(yaml);
    tess_free(hash);
    return error->code;
}

/* By what the model knows the symbols of a table. */
static int put_ways(struct tess_arrays *arrays, const struct tess_model *model, int table,
                    int64_t n, struct tess_error *error)
{
    char *name = tess_format("%s_" TESS_KNOWN_COLUMN, tess_table_names[table]);
    const struct tess_array array = {name, "|S8", WAY, 1, {n}};
    char *text = TESS_NEW(char, n *WAY);

    for (int64_t i = 0; i < n; i++) {
        const char *way = tess_known_names[tess_known_symbol(model, table, i)];

        memcpy(text + i * WAY, way, strlen(way));
    }
    if (tess_arrays_begin(arrays, &array, error) == TESS_OK)
        tess_arrays_put(arrays, text, (size_t)(n * WAY), error);
    tess_free(text);
    tess_free(name);
    return error->code;
}

/* The symbols as they lie in memory, filled up with NULs, and whether each was trained. */
static int put_symbols(struct tess_arrays *arrays, const struct tess_model *model, int table,
                       struct tess_error *error)
{
    const struct tess_vocab *const vocabs[] = {&model->perturbation, &model->readout,
                                               &model->context},
                                   *vocab = vocabs[table];
    const char *what = tess_table_names[table];
    char *name = tess_format("%s_symbols", what), *flags = tess_format("%s_trained", what);
    struct tess_array array = {name, "", vocab->width + 1, 1, {vocab->n}};
    uint8_t *flag = TESS_NEW(uint8_t, vocab->n);

    for (int64_t i = 0; i < vocab->n; i++)
        flag[i] = tess_known_symbol(model, table, i) == TESS_KNOWN_DATA;
    snprintf(array.type, sizeof array.type, "|S%d", vocab->width + 1);
    if (tess_arrays_begin(arrays, &array, error) == TESS_OK &&
        tess_arrays_put(arrays, vocab->text, (size_t)(vocab->n * array.item), error) == TESS_OK &&
        tess_arrays_begin(arrays, &(struct tess_array){flags, "|b1", 1, 1, {vocab->n}}, error) ==
            TESS_OK)
        tess_arrays_put(arrays, flag, (size_t)vocab->n, error);
    if (error->code == TESS_OK && tess_known_differs(model))
        put_ways(arrays, model, table, vocab->n, error);
    tess_free(flag);
    tess_free(name);
    tess_free(flags);
    return error->code;
}

/* The vectors of a table's symbols as they stand at the checkpoint's step, a part at a time. */
static int put_table(struct tess_arrays *arrays, const struct tess_h5 *h5,
                     const struct tess_state *state, int table, struct tess_error *error)
{
    int64_t n = state->vocab[table].n, dim = state->shape.dim;
    const struct tess_array array = {tess_table_names[table], "<f4", sizeof(float), 2, {n, dim}};
    float *part = TESS_NEW(float, PART *dim);

    tess_arrays_begin(arrays, &array, error);
    for (int64_t first = 0; first < n && error->code == TESS_OK; first += PART) {
        const struct tess_state_range some = {first, n - first < PART ? n - first : PART};

        if (tess_checkpoint_read_vectors(h5, state, table, some, part, error) == TESS_OK)
            tess_arrays_put(arrays, part, (size_t)(some.n * dim) * sizeof *part, error);
    }
    tess_free(part);
    return error->code;
}

static int put_tables(struct tess_arrays *arrays, const struct tess_model *model,
                      struct tess_error *error)
{
    struct tess_state state = {.version = 0};
    struct tess_h5 h5 = TESS_H5_INIT;

    tess_h5_guard_start(model->path);
    if (tess_h5_open(&h5, model->path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, &state, error) == TESS_OK)
        for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
            if (put_symbols(arrays, model, t, error) == TESS_OK)
                put_table(arrays, &h5, &state, t, error);
    tess_state_release(&state);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return error->code;
}

/* The pieces of the network that the kind of model has (network.h), each in its shape. */
static int put_network(struct tess_arrays *arrays, const struct tess_network *network,
                       struct tess_error *error)
{
    const struct tess_mlp *mlp = &network->mlp;
    int64_t D = network->shape.dim, H = tess_shape_width(network->shape);
    int64_t outputs = tess_shape_outputs(network->shape), more = network->shape.layers - 1;
    const struct {
        const char *name;
        const float *x;
        int n_dims;
        int64_t shape[3];
    } piece[] = {{"wp", mlp->wp, 2, {H, D}},    {"wr", mlp->wr, 2, {H, D}},
                 {"wc", mlp->wc, 2, {H, D}},    {"wg", mlp->wg, 2, {H, D}},
                 {"b1", mlp->b1, 1, {H}},       {"w", mlp->w, 3, {more, H, H}},
                 {"b", mlp->b, 2, {more, H}},   {"wo", mlp->wo, 2, {outputs, H}},
                 {"bo", mlp->bo, 1, {outputs}}, {"ws", mlp->ws, 1, {H}},
                 {"bs", mlp->bs, 1, {1}},       {"wv", mlp->wv, 1, {outputs}}};
    const float *end = network->parameter + tess_shape_size(network->shape);

    for (int i = 0; i < 12 && error->code == TESS_OK; i++)
        if ((i < 11 ? piece[i + 1].x : end) > piece[i].x)
            put_floats(arrays, piece[i].name, piece[i].n_dims, piece[i].shape, piece[i].x, error);
    return error->code;
}

static int put_scaling(struct tess_arrays *arrays, const struct tess_model *model,
                       struct tess_error *error)
{
    const struct tess_scaling *scaling = &model->scaling;
    const int64_t shape[] = {model->context.n, model->readout.n};

    if (put_floats(arrays, "center", 0, NULL, &scaling->center, error) != TESS_OK ||
        put_floats(arrays, "spread", 0, NULL, &scaling->spread, error) != TESS_OK ||
        !scaling->shift)
        return error->code;
    if (put_floats(arrays, "shift", 2, shape, scaling->shift, error) == TESS_OK)
        put_floats(arrays, "scale", 2, shape, scaling->scale, error);
    return error->code;
}

int tess_export_write(const struct tess_model *model, const char *path, int force, MPI_Comm comm,
                      struct tess_error *error)
{
    struct tess_arrays arrays = {.path = NULL};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        if (tess_arrays_open(&arrays, path, force, error) == TESS_OK &&
            put_settings(&arrays, model, error) == TESS_OK &&
            put_network(&arrays, &model->network, error) == TESS_OK &&
            put_scaling(&arrays, model, error) == TESS_OK &&
            put_tables(&arrays, model, error) == TESS_OK)
            tess_arrays_finish(&arrays, error);
        tess_arrays_release(&arrays);
    }
    return tess_agree(comm, error);
}
