/* trainer_state.c -- which of a trainer's numbers are its state (state.h), and saving that. */
#include "tessera/trainer.h"

#include "tessera/bfloat16.h"
#include "tessera/checkpoint.h"
#include "tessera/platform.h"
#include "tessera/version.h"

#include <stdio.h>

struct tess_state tess_trainer_state(const struct tess_trainer *trainer)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_dataset *dataset = &trainer->dataset;
    struct tess_state state = {
        .format = TESS_STATE_FORMAT,
        .version = TESS_STATE_VERSION,
        .config = trainer->config,
        .shape = trainer->shape,
        .optimizer = trainer->optimizer,
        .progress = trainer->progress,
        .store_hash = index->hash,
        .split_hash = index->split_hash,
        .vocab = {index->perturbation, dataset->readout, index->context},
        .trained = {dataset->trained_perturbation, dataset->trained_readout,
                    dataset->trained_context},
        .mlp = {trainer->parameter, trainer->m, trainer->v},
        .scaling = dataset->scaling,
    };
    /* Validation uses it, whatever the steps do. */
    int with_unit = trainer->shape.layers > 1 && tess_unit() != TESS_UNIT_SGEMM;

    for (int t = 0; t < TESS_N_TABLES; t++) {
        state.features[t] = dataset->features[t];
        state.composition[t] = dataset->composition[t];
        state.n_parts[t] = dataset->composition[t].n_rows - dataset->composition[t].n;
    }
    snprintf(state.created_by, sizeof state.created_by, "%s", tess_version);
    snprintf(state.blas_core, sizeof state.blas_core, "%s%s%s", tess_platform_blas_core(),
             with_unit ? "+" : "", with_unit ? tess_unit_name(tess_unit()) : "");
    if (!trainer->slice) /* opened, not loaded: sizes are known, no numbers */
        return state;
    state.slice.first = trainer->slice[trainer->rank];
    state.slice.n = trainer->slice[trainer->rank + 1] - state.slice.first;
    for (int t = 0; t < TESS_N_TABLES; t++) {
        const struct tess_shard *shard = &trainer->shard[t];

        state.rows[t] = shard->rows;
        state.row_range[t] = (struct tess_state_range){shard->first[shard->rank], shard->n_local};
    }
    return state;
}

void tess_trainer_adopt(struct tess_trainer *trainer, const struct tess_state *state)
{
    trainer->progress = state->progress;
    trainer->optimizer = state->optimizer;
}

int tess_trainer_save(const struct tess_trainer *trainer, const char *path,
                      struct tess_error *error)
{
    struct tess_state state = tess_trainer_state(trainer);

    return tess_checkpoint_write(&state, trainer->comm, path, error);
}

double tess_trainer_save_bytes(const struct tess_trainer *trainer)
{
    struct tess_state state = tess_trainer_state(trainer);

    return tess_checkpoint_bytes(&state);
}
