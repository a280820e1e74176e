/* impute_measured.c -- what was measured of rows, and trained on: of each experiment the mean of
 * its replicates, in the units of the store. */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

/* The chosen readouts that the store has. Both vocabularies are sorted, so their numbers ascend. */
static void place_readouts(struct imputation *work)
{
    struct imputation_measured *measured = &work->measured;
    struct tess_mapping readout;

    tess_mapping_init(&readout, &work->model.readout, &measured->store.index.readout, NULL);
    measured->column = TESS_NEW(int64_t, work->readout.n);
    measured->readout = TESS_NEW(int64_t, work->readout.n);
    measured->place = TESS_NEW(int64_t, work->readout.n);
    measured->row = TESS_NEW(float, measured->store.index.readout.n);
    for (int64_t k = 0; k < work->readout.n; k++)
        if (readout.to[work->readout.member[k]] >= 0) {
            measured->column[measured->n_readouts] = k;
            measured->readout[measured->n_readouts++] = readout.to[work->readout.member[k]];
        }
    tess_mapping_release(&readout);
}

int tess_imputation_open_measured(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    struct imputation_measured *measured = &work->measured;
    const char *path;

    if (measured->is_open)
        return TESS_OK;
    path = tess_model_store(&work->model, work->impute->store, 1, error);
    if (!path || tess_store_open(&measured->store, path, comm, error) != TESS_OK)
        return error->code;
    measured->is_open = 1;
    if (work->impute->keep && !work->impute->store &&
        tess_model_trained_elsewhere(&work->model, measured->store.index.hash,
                                     measured->store.index.split_hash))
        return tess_error_set(
            error, TESS_EDATA,
            "%s: its values or its split have changed since the model was trained "
            "on it: give --store %s to keep what it says of training now",
            path, path);
    tess_profiles_init(&measured->profiles, &measured->store, 0);
    tess_mapping_init(&measured->component, &work->model.perturbation,
                      &measured->store.index.perturbation, NULL);
    tess_mapping_init(&measured->context, &work->model.context, &measured->store.index.context,
                      NULL);
    measured->here = -1;
    place_readouts(work);
    return error->code;
}

/* The store's number of a perturbation; without members: of the control; -1. */
static int64_t combination_of(const struct imputation_measured *measured,
                              const struct imputation_experiment *of)
{
    const struct tess_index *index = &measured->store.index;
    int64_t found = -1, *member = TESS_NEW(int64_t, of->n);

    if (of->n == 0 && index->control >= 0)
        found = tess_index_find(index, 1, &index->control);
    else if (of->n > 0 &&
             tess_mapping_translate(&measured->component, of->n, of->member, member) == of->n)
        found = tess_index_find(index, of->n, member);
    tess_free(member);
    return found;
}

int tess_imputation_measured(struct imputation *work, const struct imputation_experiment *of,
                             float *out, int *found, struct tess_error *error)
{
    struct imputation_measured *measured = &work->measured;
    int64_t context = tess_mapping_at(&measured->context, of->context), combination, unit = -1;
    const float *row;

    for (int64_t k = 0; k < work->readout.n; k++)
        out[k] = NAN;
    combination = context < 0 ? -1 : combination_of(measured, of);
    if (combination >= 0)
        unit = tess_profiles_find(&measured->profiles, context, combination, TESS_TRAIN);
    *found = unit >= 0;
    if (unit < 0)
        return TESS_OK;
    if (measured->here != context)
        tess_profiles_place(&measured->profiles, context, measured->n_readouts, measured->readout,
                            measured->place);
    measured->here = context;
    row = tess_profiles_row(&measured->profiles, unit, measured->row, error);
    for (int64_t k = 0; row && k < measured->n_readouts; k++)
        if (measured->place[k] >= 0)
            out[measured->column[k]] = row[measured->place[k]];
    return error->code;
}

void tess_imputation_measured_release(struct imputation_measured *measured)
{
    tess_profiles_release(&measured->profiles);
    tess_store_release(&measured->store);
    tess_mapping_release(&measured->component);
    tess_mapping_release(&measured->context);
    tess_free(measured->column);
    tess_free(measured->readout);
    tess_free(measured->place);
    tess_free(measured->row);
    *measured = (struct imputation_measured){0};
}
