/* impute_delta.c -- the control that changes are against: what the model predicts for it, so that
 * what all its predictions have in common goes; without a control in the model, what was measured.
 */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <math.h>
#include <string.h>

static int measure_control(struct imputation *work, int64_t context, struct tess_error *error);

/* Each context has its measured control: found out before anything is written. Rank 0. */
static void look_for_controls(struct imputation *work, struct tess_error *error)
{
    for (int64_t i = 0; i < work->context.n && error->code == TESS_OK; i++)
        measure_control(work, work->context.member[i], error);
}

int tess_imputation_open_delta(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    struct imputation_delta *delta = &work->delta;
    const struct tess_model *model = &work->model;
    int64_t control = tess_vocab_find(&model->perturbation, TESS_CONTROL);

    delta->control = control >= 0 && model->trained_perturbation[control] ? control : -1;
    delta->context = -1;
    delta->mean = TESS_NEW(float, work->readout.n);
    delta->member = TESS_NEW(float, delta->control < 0 ? 1 : model->n_members * work->readout.n);
    if (delta->control < 0 && tess_imputation_open_measured(work, comm, error) == TESS_OK) {
        int rank;

        MPI_Comm_rank(comm, &rank);
        if (rank == 0)
            look_for_controls(work, error);
        tess_agree(comm, error);
    }
    if (error->code != TESS_OK)
        return error->code;
    tess_info("%s: changes against the control of each context, as %s", work->impute->output,
              delta->control < 0 ? "it was measured" : "the model predicts it");
    return error->code;
}

/* A member's prediction of the control, kept on its way into the mean. */
static void take(const void *closure, int member, float *out)
{
    const struct imputation *work = closure;
    size_t n = (size_t)work->readout.n;

    memcpy(work->delta.member + (size_t)member * n, out, n * sizeof *out);
}

static int predict_control(struct imputation *work, int64_t context, struct tess_error *error)
{
    const int64_t begin[2] = {0, 1};
    struct tess_model_change then = {work, take};

    return tess_blender_predict(&work->blender,
                                &(struct tess_rows){1, begin, &work->delta.control, &context},
                                &(struct tess_model_columns){.n_readouts = work->readout.n,
                                                             .readout = work->readout.member,
                                                             .out = work->delta.mean,
                                                             .then = &then},
                                error);
}

static int measure_control(struct imputation *work, int64_t context, struct tess_error *error)
{
    const struct tess_store *store = &work->measured.store;
    const char *name = work->model.context.symbol[context];
    float *mean = work->delta.mean;
    int found;

    if (tess_imputation_measured(work, &(struct imputation_experiment){0, context, NULL}, mean,
                                 &found, error) != TESS_OK)
        return error->code;
    for (int64_t k = 0; found && k < work->readout.n; k++)
        if (isnan(mean[k]))
            return tess_error_set(error, TESS_EDATA,
                                  "%s: the control of context %s was not measured for readout %s: "
                                  "leave one of them out, or --delta",
                                  store->h5.path, name,
                                  work->model.readout.symbol[work->readout.member[k]]);
    if (!found)
        tess_error_set(error, TESS_EDATA,
                       "%s: has no measured control of context %s, and the model knows none: leave "
                       "the context out, or --delta",
                       store->h5.path, name);
    return error->code;
}

int tess_imputation_control(struct imputation *work, int64_t context, struct tess_error *error)
{
    if (work->delta.context == context)
        return TESS_OK;
    work->delta.context = -1;
    if (work->delta.control >= 0)
        predict_control(work, context, error);
    else
        measure_control(work, context, error);
    if (error->code == TESS_OK)
        work->delta.context = context;
    return error->code;
}

void tess_imputation_delta_release(struct imputation_delta *delta)
{
    tess_free(delta->member);
    tess_free(delta->mean);
    *delta = (struct imputation_delta){0};
}
