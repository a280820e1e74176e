/* impute_deviation.c -- whether the deviation of an ensemble is written calibrated as well. */
#include "impute.h"

#include "tessera/blend.h"
#include "tessera/deviation.h"
#include "tessera/log.h"

#include <math.h>

static const char *find(struct imputation *work, const struct tess_blender *blender, MPI_Comm comm)
{
    const char *why = NULL;

    work->n_matrices = 1;
    if (work->impute->delta && tess_model_deviates(&work->model)) {
        work->n_matrices = 2;
        why = "it was fitted to values, and these are changes";
    } else if (tess_model_deviates(&work->model)) {
        why = tess_deviation_find(blender, comm, &work->calibration);
        work->n_matrices = why ? 2 : 3;
    }
    return why;
}

/* Members that are not blended have a fit wherever there is a file. */
void tess_imputation_count_matrices(struct imputation *work, MPI_Comm comm)
{
    struct tess_blender alone = {.model = &work->model, .n = work->model.n_members};

    find(work, &alone, comm);
}

void tess_imputation_find_calibration(struct imputation *work, MPI_Comm comm)
{
    const char *why = find(work, &work->blender, comm);

    work->feature_deviation =
        work->impute->delta ? NAN : tess_blender_feature_deviation(&work->blender, comm);
    if (why)
        tess_info("the deviation is not calibrated: %s", why);
}
