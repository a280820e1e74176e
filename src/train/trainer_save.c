/* trainer_save.c -- writing a checkpoint: every rank its rows and its slice. */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/platform.h"
#include "tessera/share.h"
#include "tessera/sums.h"
#include "tessera/version.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static void write_vocab(struct tess_h5 *h5, const char *table, const struct tess_vocab *vocab,
                        const uint8_t *trained, struct tess_error *error)
{
    uint64_t hash = tess_vocab_hash(vocab);
    char name[64];

    snprintf(name, sizeof name, "%s/symbol", table);
    if (tess_h5_write_strings(h5, name, vocab->n, vocab->width, vocab->width + 1, vocab->text,
                              error) != TESS_OK)
        return;
    snprintf(name, sizeof name, "%s/trained", table);
    if (tess_h5_write(h5, name, H5T_NATIVE_UINT8, 1, &vocab->n, trained, error) == TESS_OK)
        tess_h5_write_attribute(h5, table, "hash", H5T_NATIVE_UINT64, 1, &hash, error);
}

static void write_attributes(struct tess_h5 *h5, const struct tess_trainer *trainer,
                             struct tess_error *error)
{
    const struct tess_progress_state *at = &trainer->progress;
    int64_t version = 1;
    const struct {
        const char *name;
        hid_t type;
        const void *at;
    } field[] = {
        {"version", H5T_NATIVE_INT64, &version},
        {"step", H5T_NATIVE_INT64, &trainer->optimizer.step},
        {"epoch", H5T_NATIVE_INT64, &at->epoch},
        {"step_in_epoch", H5T_NATIVE_INT64, &at->step_in_epoch},
        {"best_epoch", H5T_NATIVE_INT64, &at->best_epoch},
        {"best_step", H5T_NATIVE_INT64, &at->best_step},
        {"best_score", H5T_NATIVE_DOUBLE, &at->best_score},
        {"epoch_loss", H5T_NATIVE_DOUBLE, &at->epoch_loss},
        {"epoch_measured", H5T_NATIVE_DOUBLE, &at->epoch_measured},
        {"store_hash", H5T_NATIVE_UINT64, &trainer->store.index.hash},
        {"split_hash", H5T_NATIVE_UINT64, &trainer->store.index.split_hash},
    };
    char *yaml = tess_config_yaml(&trainer->config, 1, 0);

    tess_h5_write_string(h5, "/", "format", TESS_CHECKPOINT_FORMAT, error);
    tess_h5_write_string(h5, "/", "created_by", tess_version, error);
    tess_h5_write_string(h5, "/", "blas_core", tess_platform_blas_core(), error);
    tess_h5_write_string(h5, "/", "config", yaml, error);
    for (size_t i = 0; i < sizeof field / sizeof field[0] && error->code == TESS_OK; i++)
        tess_h5_write_attribute(h5, "/", field[i].name, field[i].type, 1, field[i].at, error);
    tess_free(yaml);
}

/* Rows of one dataset of a table. */
static void write_part(struct tess_h5 *h5, const struct tess_shard *shard, const char *table,
                       const char *part, hid_t type, const void *data, struct tess_error *error)
{
    int64_t shape[2] = {shard->n_rows, shard->dim};
    char name[64];

    snprintf(name, sizeof name, "table/%s/%s", table, part);
    if (error->code == TESS_OK && tess_h5_define(h5, name, type, type == H5T_NATIVE_FLOAT ? 2 : 1,
                                                 shape, NULL, error) == TESS_OK)
        tess_h5_write_rows(h5, name, type, shard->first[shard->rank], shard->n_local, data, error);
}

static void write_table(struct tess_h5 *h5, const struct tess_shard *shard, const char *table,
                        struct tess_error *error)
{
    uint64_t *sum = TESS_NEW(uint64_t, shard->n_local);
    int64_t dim = shard->dim;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < shard->n_local; i++)
        sum[i] = tess_checkpoint_row_sum(shard->dim, shard->value + i * dim, shard->m + i * dim,
                                         shard->v + i * dim, shard->last[i]);
    write_part(h5, shard, table, "value", H5T_NATIVE_FLOAT, shard->value, error);
    write_part(h5, shard, table, "m", H5T_NATIVE_FLOAT, shard->m, error);
    write_part(h5, shard, table, "v", H5T_NATIVE_FLOAT, shard->v, error);
    write_part(h5, shard, table, "last", H5T_NATIVE_INT64, shard->last, error);
    write_part(h5, shard, table, "check", H5T_NATIVE_UINT64, sum, error);
    tess_free(sum);
}

/* This rank's slice of one array of the MLP, and its checksums (slices are whole blocks). */
static void write_slice(struct tess_h5 *h5, const struct tess_trainer *trainer, const char *part,
                        const float *data, struct tess_error *error)
{
    int64_t n = trainer->n_parameters, blocks = (n + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    int64_t first = trainer->slice[trainer->rank], size = trainer->slice[trainer->rank + 1] - first;
    int64_t mine = (size + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    uint64_t *sum = TESS_NEW(uint64_t, mine);
    char name[64];

    for (int64_t b = 0; b < mine; b++) {
        int64_t left = size - b * TESS_CHECK_FLOATS;

        sum[b] = XXH3_64bits(data + b * TESS_CHECK_FLOATS,
                             sizeof *data *
                                 (size_t)(left < TESS_CHECK_FLOATS ? left : TESS_CHECK_FLOATS));
    }
    snprintf(name, sizeof name, "mlp/%s", part);
    if (error->code == TESS_OK &&
        tess_h5_define(h5, name, H5T_NATIVE_FLOAT, 1, &n, NULL, error) == TESS_OK)
        tess_h5_write_rows(h5, name, H5T_NATIVE_FLOAT, first, size, data, error);
    snprintf(name, sizeof name, "mlp/check_%s", part);
    if (error->code == TESS_OK &&
        tess_h5_define(h5, name, H5T_NATIVE_UINT64, 1, &blocks, NULL, error) == TESS_OK)
        tess_h5_write_rows(h5, name, H5T_NATIVE_UINT64, first / TESS_CHECK_FLOATS, mine, sum,
                           error);
    tess_free(sum);
}

static void write_scaling(struct tess_h5 *h5, const struct tess_trainer *trainer,
                          struct tess_error *error)
{
    const struct tess_dataset *dataset = &trainer->dataset;
    int64_t shape[2] = {trainer->store.index.context.n, dataset->readout.n};

    if (!dataset->shift || error->code != TESS_OK)
        return;
    if (tess_h5_write(h5, "normalize/shift", H5T_NATIVE_FLOAT, 2, shape, dataset->shift, error) ==
        TESS_OK)
        tess_h5_write(h5, "normalize/scale", H5T_NATIVE_FLOAT, 2, shape, dataset->scale, error);
}

static void write_all(struct tess_h5 *h5, struct tess_trainer *trainer, struct tess_error *error)
{
    const struct tess_index *index = &trainer->store.index;
    const struct tess_dataset *dataset = &trainer->dataset;
    int64_t n_rates = trainer->optimizer.step + 1;

    write_attributes(h5, trainer, error);
    if (error->code == TESS_OK)
        write_vocab(h5, tess_table_names[0], &index->perturbation, dataset->trained_perturbation,
                    error);
    if (error->code == TESS_OK)
        write_vocab(h5, tess_table_names[1], &dataset->readout, dataset->trained_readout, error);
    if (error->code == TESS_OK)
        write_vocab(h5, tess_table_names[2], &index->context, dataset->trained_context, error);
    for (int t = 0; t < TESS_N_TABLES; t++)
        write_table(h5, &trainer->shard[t], tess_table_names[t], error);
    write_slice(h5, trainer, "value", trainer->parameter + trainer->slice[trainer->rank], error);
    write_slice(h5, trainer, "m", trainer->m, error);
    write_slice(h5, trainer, "v", trainer->v, error);
    if (error->code == TESS_OK)
        tess_h5_write(h5, "schedule/rate", H5T_NATIVE_DOUBLE, 1, &n_rates, trainer->optimizer.rate,
                      error);
    write_scaling(h5, trainer, error);
}

double tess_trainer_save_bytes(const struct tess_trainer *trainer)
{
    double bytes = 12.0 * (double)trainer->n_parameters + 16.0 * (double)trainer->optimizer.step;

    for (int t = 0; t < TESS_N_TABLES; t++)
        bytes += (double)trainer->shard[t].n_rows * (12.0 * trainer->shape.dim + 96);
    return bytes + (1 << 20);
}

/* Numbers that ran away are not worth keeping, least of all in place of the last good checkpoint.
 * Local. */
static void look_at_numbers(const struct tess_trainer *trainer, struct tess_error *error)
{
    int64_t first = trainer->slice[trainer->rank], n = trainer->slice[trainer->rank + 1] - first;

    if (!tess_checkpoint_finite(trainer->parameter + first, n))
        tess_error_set(error, TESS_EDATA,
                       "weights of the MLP are not finite any more at step %lld: lower "
                       "train.learning_rate; the last checkpoint stands",
                       (long long)trainer->optimizer.step);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        const struct tess_shard *shard = &trainer->shard[t];

        for (int64_t i = 0; i < shard->n_local && error->code == TESS_OK; i++)
            if (!tess_checkpoint_finite(shard->value + i * shard->dim, shard->dim))
                tess_error_set(
                    error, TESS_EDATA,
                    "the embedding of %s %lld is not finite any more at step %lld: lower "
                    "train.learning_rate; the last checkpoint stands",
                    tess_table_names[t], (long long)(shard->first[shard->rank] + i),
                    (long long)trainer->optimizer.step);
    }
}

int tess_trainer_save(struct tess_trainer *trainer, const char *path, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_commit commit = {0};

    look_at_numbers(trainer, error);
    /* a disk that is clearly too full is noticed before anything is written; that may pass */
    if (trainer->rank == 0 && tess_commit_open(&commit, path, error) == TESS_OK &&
        tess_commit_check_room(path, tess_trainer_save_bytes(trainer), error) == TESS_ECREATE)
        error->code = TESS_EIO;
    if (tess_agree(trainer->comm, error) == TESS_OK) {
        tess_share_commit(trainer->comm, &commit);
        if (tess_h5_create(&h5, commit.aside, trainer->comm, error) == TESS_OK)
            write_all(&h5, trainer, error);
    }
    tess_h5_close(&h5, error);
    if (tess_agree(trainer->comm, error) == TESS_OK)
        tess_sums_write(&commit, trainer->comm, error);
    if (error->code == TESS_OK && trainer->rank == 0)
        tess_commit_finish(&commit, error);
    tess_commit_release(&commit);
    return tess_agree(trainer->comm, error);
}
