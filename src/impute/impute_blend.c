/* impute_blend.c -- the baselines that the model is blended with. */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/error.h"
#include "tessera/log.h"

static int open_store(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    const char *path = work->impute->store ? work->impute->store : work->model.store_path;

    if (!path[0])
        return tess_error_set(error, TESS_EDATA,
                              "%s: does not say which store it was trained on: name it with "
                              "--store, or give --blend off",
                              work->model.path);
    return tess_store_open(&work->store, path, comm, error);
}

int tess_imputation_open_blend(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    enum tess_blend_choice choice = work->impute->blend;
    struct tess_baselines_options options = {.nearest_in = NULL};
    struct tess_error mine = TESS_ERROR_INIT;

    if (tess_blender_open(&work->blender, &work->model, choice, comm, error) != TESS_OK ||
        !work->blender.active)
        return error->code;
    if (open_store(work, comm, &mine) != TESS_OK) {
        work->blender.active = 0;
        if (choice == TESS_BLEND_ON)
            return tess_error_set(error, mine.code,
                                  "%s: to blend the model with a baseline its store is needed: "
                                  "name it with --store, or give --blend off",
                                  mine.text);
        tess_warn("%s; the model is not blended with a baseline", mine.text);
        return TESS_OK;
    }
    if (tess_blender_check(&work->blender, &work->store, choice, error) != TESS_OK ||
        !work->blender.active)
        return error->code;
    tess_profiles_init(&work->profiles, &work->store, TESS_PROFILES_BYTES);
    if (tess_baselines_init(&work->baselines, &work->profiles, &options, comm, error) == TESS_OK)
        tess_blender_join(&work->blender, &work->baselines);
    return error->code;
}

void tess_imputation_close_blend(struct imputation *work)
{
    tess_blender_release(&work->blender);
    tess_baselines_release(&work->baselines);
    tess_profiles_release(&work->profiles);
    tess_store_release(&work->store);
}
