/* impute_notes.c -- notes of an imputed file, and the store that its labels come from. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/store.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <inttypes.h>
#include <time.h>

static const char kept[] = "training values stand as measured where the layer observed is 1";
static const char missing[] = "NaN: no triple asks for it";

/* Which model made it, and how; a text that is NULL is left out. */
int tess_imputation_write_notes(const struct imputation *work, struct tess_writer *file,
                                struct tess_error *error)
{
    char *config = tess_config_yaml(&work->model.config, 1, 0);
    char *hash = tess_format("%016" PRIx64, work->model.hash),
         *store = tess_format("%016" PRIx64, work->model.store_hash), when[32];
    char *blend = work->blender.active ? tess_blender_name(&work->blender) : NULL;
    const char *delta = !work->impute->delta      ? NULL
                        : work->delta.control < 0 ? "less the context's control as measured"
                                                  : "less the context's control as predicted";
    time_t now = time(NULL);
    struct tm utc;
    const char *const text[][2] = {{"format", TESS_IMPUTED_FORMAT},
                                   {"model_hash", hash},
                                   {"store_hash", store},
                                   {"config", config},
                                   {"blend", blend},
                                   {"delta", delta},
                                   {"measured", work->impute->keep ? kept : NULL},
                                   {"missing", work->rows.asked ? missing : NULL},
                                   {"precision", tess_model_precision(&work->model)},
                                   {"provenance/model", work->model.path},
                                   {"provenance/program", tess_version},
                                   {"provenance/created", when},
                                   {"provenance/command", work->impute->command}};

    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    tess_writer_write_number(file, "step", (double)work->model.step, error);
    if (error->code == TESS_OK)
        tess_writer_write_number(file, "n_models", work->model.n_members, error);
    if (error->code == TESS_OK && work->n_matrices > 2 &&
        tess_writer_write_number(file, "deviation_scale", work->calibration.scale, error) ==
            TESS_OK)
        tess_writer_write_number(file, "deviation_noise", work->calibration.noise, error);
    for (int i = 0; i < (int)(sizeof text / sizeof text[0]) && error->code == TESS_OK; i++)
        if (text[i][1])
            tess_writer_write_text(file, text[i][0], text[i][1], error);
    tess_free(config);
    tess_free(hash);
    tess_free(store);
    tess_free(blend);
    return error->code;
}

int tess_imputation_open_store(struct imputation *work, struct tess_store *store,
                               struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;
    const char *path = tess_model_store(&work->model, work->impute->store, 1, error);

    if (!path)
        return error->code;
    if (tess_store_open(store, path, MPI_COMM_SELF, &mine) != TESS_OK)
        return tess_error_set(error, mine.code, "%s", mine.text);
    work->marks.other = tess_model_trained_elsewhere(&work->model, store->index.hash,
                                                     store->index.split_hash) != NULL;
    if (work->marks.other)
        tess_warn(
            "%s is not what %s was trained on, or its split has changed since: 'observed' says "
            "what this store measured, and nothing says what was trained on",
            path, work->model.path);
    tess_mapping_init(&work->component, &store->index.perturbation, &work->model.perturbation,
                      NULL);
    return TESS_OK;
}

void tess_imputation_add_combinations(struct imputation *work, const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    uint8_t *trained = TESS_NEW(uint8_t, index->n_combinations);

    for (int64_t e = 0; e < index->n_experiments; e++)
        trained[index->combination[e]] |= index->split[e] == TESS_TRAIN;
    for (int64_t i = 0; i < index->n_combinations; i++) {
        int64_t first = index->combination_first[i], n = index->combination_first[i + 1] - first;

        if (trained[i] && n > 1)
            tess_mapping_add_set(&work->component, n, index->combination_member + first,
                                 &work->perturbation);
    }
    tess_free(trained);
}
