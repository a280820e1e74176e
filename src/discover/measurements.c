/* measurements.c -- the store of a model, seen as profiles of the model's perturbations. */
#include "measurements.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/mapping.h"
#include "tessera/model.h"

static void find_combinations(struct tess_measurements *measured, const struct tess_model *model)
{
    const struct tess_profiles *profiles = &measured->profiles;
    const struct tess_index *index = &measured->store.index;
    struct tess_mapping to;

    tess_mapping_init(&to, &model->perturbation, &index->perturbation, NULL);
    measured->combination = TESS_NEW(int64_t, model->perturbation.n);
    for (int64_t i = 0; i < model->perturbation.n; i++) {
        int64_t found = to.to[i] < 0 ? -1 : tess_index_find(index, 1, &to.to[i]);

        measured->combination[i] = -1;
        if (found >= 0 && profiles->trained_first[found] < profiles->trained_first[found + 1])
            measured->combination[i] = found;
    }
    tess_mapping_release(&to);
}

int tess_measurements_open(struct tess_measurements *measured, const struct tess_model *model,
                           MPI_Comm comm, struct tess_error *error)
{
    const struct tess_baselines_options options = {.nearest_in = NULL};
    const char *path = tess_model_store(model, NULL, 0, error);
    const struct tess_model *other;
    int n_ranks;

    *measured = (struct tess_measurements){.combination = NULL};
    MPI_Comm_size(comm, &n_ranks);
    if (!path || tess_store_open(&measured->store, path, comm, error) != TESS_OK)
        return error->code;
    other = tess_model_trained_elsewhere(model, measured->store.index.hash,
                                         measured->store.index.split_hash);
    if (other && measured->store.index.hash != other->store_hash)
        return tess_error_set(error, TESS_EDATA,
                              "%s: has other values than those that were trained on",
                              model->store_path);
    if (other)
        tess_warn(
            "%s: its split changed since %s was trained: what is measured there may have been "
            "held out from it, and held out now what it was trained on",
            model->store_path, other->path);
    tess_profiles_init(&measured->profiles, &measured->store,
                       TESS_PROFILES_BYTES / (size_t)n_ranks);
    find_combinations(measured, model);
    return tess_baselines_init(&measured->baselines, &measured->profiles, &options, comm, error);
}

void tess_measurements_release(struct tess_measurements *measured)
{
    if (measured->combination) {
        tess_baselines_release(&measured->baselines);
        tess_profiles_release(&measured->profiles);
    }
    tess_store_release(&measured->store);
    tess_free(measured->combination);
    measured->combination = NULL;
}

int64_t tess_measurements_units(const struct tess_measurements *measured, int64_t perturbation,
                                int64_t *first)
{
    int64_t combination = measured->combination[perturbation];

    if (combination < 0)
        return 0;
    *first = measured->profiles.trained_first[combination];
    return measured->profiles.trained_first[combination + 1] - *first;
}
