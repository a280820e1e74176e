/* blend_features.c -- how far off predictions of perturbations are that are known by their features
 * alone. */
#include "tessera/blend.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/model.h"
#include "tessera/text.h"

#include <math.h>

/* Of one member. */
static double deviation_of(const struct tess_model *member, int blended)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    char *directory = tess_text_directory(member->path);
    struct tess_blend blend;
    double found = NAN;
    int there;

    if (tess_blend_read(directory, &blend, &there, &ignored) == TESS_OK && there &&
        blend.model_hash == member->own_hash)
        found = blended ? blend.feature_rmse : blend.feature_model_rmse;
    tess_free(directory);
    return found;
}

double tess_blender_feature_deviation(const struct tess_blender *blender, MPI_Comm comm)
{
    const struct tess_model *member = blender->model;
    double square = 0;
    int rank;

    MPI_Comm_rank(comm, &rank);
    for (int i = 0; rank == 0 && i < blender->n; i++, member = member->next) {
        double one = deviation_of(member, blender->active && blender->blend[i].feature_weight < 1);

        square += one * one / blender->n;
    }
    MPI_Bcast(&square, 1, MPI_DOUBLE, 0, comm);
    return sqrt(square);
}
