/* blend_store.c -- the store whose baselines models are blended with, for who predicts. */
#include "tessera/blend.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/model.h"

static int open_store(struct tess_store *store, const struct tess_model *model, const char *given,
                      MPI_Comm comm, struct tess_error *error)
{
    const char *path = tess_model_store(model, given, 1, error);

    return path ? tess_store_open(store, path, comm, error) : error->code;
}

int tess_blender_open_store(struct tess_blender *blender, struct tess_blend_store *of,
                            const struct tess_blend_request *request, MPI_Comm comm,
                            struct tess_error *error)
{
    struct tess_baselines_options options = {.nearest_in = NULL};
    enum tess_blend_choice choice = request->choice;
    struct tess_error mine = TESS_ERROR_INIT;

    *of = (struct tess_blend_store){.baselines = {0}};
    if (tess_blender_open(blender, request->model, choice, comm, error) != TESS_OK ||
        !blender->active)
        return error->code;
    if (open_store(&of->store, request->model, request->store, comm, &mine) != TESS_OK) {
        blender->active = 0;
        if (choice == TESS_BLEND_ON)
            return tess_error_set(error, mine.code,
                                  "%s: to blend the model with a baseline its store is needed: "
                                  "name it with --store, or give --blend off",
                                  mine.text);
        tess_warn("%s; the model is not blended with a baseline", mine.text);
        return TESS_OK;
    }
    if (tess_blender_check(blender, &of->store, choice, error) != TESS_OK || !blender->active)
        return error->code;
    tess_profiles_init(&of->profiles, &of->store,
                       request->memory > 0 ? (size_t)(request->memory / 8) : TESS_PROFILES_BYTES);
    tess_model_features(request->model, &of->store.index.perturbation, &of->features);
    options.features = &of->features;
    if (tess_baselines_init(&of->baselines, &of->profiles, &options, comm, error) == TESS_OK)
        tess_blender_join(blender, &of->baselines);
    return error->code;
}

void tess_blend_store_release(struct tess_blend_store *of)
{
    tess_baselines_release(&of->baselines);
    tess_free(of->features.value);
    tess_profiles_release(&of->profiles);
    tess_store_release(&of->store);
}
