/* checkpoint_info.c -- what a checkpoint holds, as ordered JSON. */
#include "tessera/checkpoint.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <inttypes.h>
#include <math.h>

static json_t *tables_json(const struct tess_state *state)
{
    json_t *list = json_array();

    for (int t = 0; t < TESS_N_TABLES; t++) {
        int64_t trained = 0;

        for (int64_t i = 0; i < state->vocab[t].n; i++)
            trained += state->trained[t][i] != 0;
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:i}", "table", tess_table_names[t],
                                              "rows", (json_int_t)state->vocab[t].n, "trained",
                                              (json_int_t)trained, "columns", state->shape.dim));
    }
    return list;
}

static json_t *config_json(const struct tess_config *config)
{
    json_t *all = json_object();

    for (int i = 0; i < tess_n_params; i++) {
        char *text;

        if (!tess_params[i].numeric)
            continue;
        text = tess_config_get(config, &tess_params[i]);
        json_object_set_new(all, tess_params[i].name, json_string(text));
        tess_free(text);
    }
    return all;
}

/* Axes of the features that rows are made of. */
static json_t *features_json(const struct tess_state *state)
{
    return json_pack("{s:I, s:I}", tess_table_names[TESS_TABLE_P],
                     (json_int_t)state->features[TESS_TABLE_P].k, tess_table_names[TESS_TABLE_R],
                     (json_int_t)state->features[TESS_TABLE_R].k);
}

static json_int_t count_parameters(const struct tess_state *state)
{
    json_int_t n = tess_shape_size(state->shape);

    for (int t = 0; t < TESS_N_TABLES; t++)
        n += (json_int_t)state->vocab[t].n * state->shape.dim;
    return n;
}

/* From the head alone: no table is read, however large they are. */
json_t *tess_checkpoint_info(const char *path, struct tess_error *error)
{
    struct tess_state state = {.version = 0};
    struct tess_h5 h5 = TESS_H5_INIT;
    json_t *all = json_object();

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK &&
        tess_checkpoint_read_head(&h5, &state, error) == TESS_OK) {
        json_object_set_new(all, "file", json_string(path));
        json_object_set_new(all, "kind", json_string("checkpoint"));
        json_object_set_new(all, "created_by", json_sprintf("tessera %s", state.created_by));
        json_object_set_new(all, "step", json_integer(state.optimizer.step));
        json_object_set_new(all, "epoch", json_integer(state.progress.epoch));
        json_object_set_new(all, "best_validation_rmse",
                            isfinite(state.progress.best_score)
                                ? json_real(state.progress.best_score)
                                : json_null());
        json_object_set_new(all, "best_epoch", json_integer(state.progress.best_epoch));
        json_object_set_new(all, "store_hash", json_sprintf("%016" PRIx64, state.store_hash));
        json_object_set_new(all, "split_hash", json_sprintf("%016" PRIx64, state.split_hash));
        json_object_set_new(all, "blas_core", json_string(state.blas_core));
        json_object_set_new(all, "parameters", json_integer(count_parameters(&state)));
        json_object_set_new(all, "table", tables_json(&state));
        if (state.features[TESS_TABLE_P].k + state.features[TESS_TABLE_R].k > 0)
            json_object_set_new(all, "features", features_json(&state));
        json_object_set_new(all, "config", config_json(&state.config));
    }
    tess_state_release(&state);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    if (error->code == TESS_OK)
        return all;
    json_decref(all);
    return NULL;
}
