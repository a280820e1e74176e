/* predicted.c -- a run opened, and its members' values kept apart. */
#include "tessera/predicted.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/rundir.h"
#include "tessera/state.h"
#include "tessera/text.h"

#include <string.h>

int tess_predicted_is(const char *path)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    return tess_rundir_is(path) || tess_h5_is(path, TESS_STATE_FORMAT, &ignored);
}

int tess_predicted_open(struct tess_predicted *predicted, const char *run, MPI_Comm comm,
                        struct tess_error *error)
{
    const struct tess_blend_request request = {&predicted->model, NULL, TESS_BLEND_AUTO, 0};
    struct tess_strings member = {0};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_rundir_expand(run, &member, error);
    if (tess_agree(comm, error) == TESS_OK) {
        tess_broadcast_strings(comm, &member);
        if (tess_model_open_ensemble(&predicted->model, (int)member.n, member.item, 0, comm,
                                     error) == TESS_OK)
            tess_blender_open_store(&predicted->blender, &predicted->learned, &request, comm,
                                    error);
    }
    tess_strings_release(&member);
    return error->code;
}

int tess_predicted_context(const struct tess_predicted *predicted, const char *context,
                           int64_t *number, struct tess_error *error)
{
    const struct tess_model *model = &predicted->model;

    *number = tess_vocab_find(&model->context, context);
    if (*number < 0 || !model->trained_context[*number])
        return tess_error_set(error, TESS_EDATA,
                              "%s: was not trained in a context '%s'; name one that it knows "
                              "(tessera info)",
                              model->path, context);
    return TESS_OK;
}

struct apart {
    int64_t n; /* values of a member */
    float *out;
};

static void keep(const void *closure, int member, float *out)
{
    const struct apart *apart = closure;

    memcpy(apart->out + member * apart->n, out, (size_t)apart->n * sizeof *out);
}

int tess_predicted_rows(const struct tess_predicted *predicted, const struct tess_rows *rows,
                        int64_t n_readouts, const int64_t *readout, float *out,
                        struct tess_error *error)
{
    const struct apart apart = {rows->n * n_readouts, out};
    float *mean = out + predicted->model.n_members * apart.n;
    const struct tess_model_change then = {&apart, keep};
    const struct tess_model_columns columns = {
        .n_readouts = n_readouts, .readout = readout, .out = mean, .then = &then};

    if (apart.n > 0)
        tess_blender_predict(&predicted->blender, rows, &columns, error);
    return error->code;
}

double tess_predicted_bytes(const struct tess_predicted *predicted, int64_t rows,
                            int64_t n_readouts)
{
    const struct tess_model *model = &predicted->model;
    double value =
        (model->n_members + 1.0) * sizeof(float) + tess_blender_value_bytes(&predicted->blender, 0);

    return tess_model_rows_bytes(model) + tess_model_working_bytes(model, TESS_MODEL_ROWS) +
           tess_blender_growth(&predicted->blender) + (double)rows * (double)n_readouts * value;
}

void tess_predicted_release(struct tess_predicted *predicted)
{
    tess_blender_release(&predicted->blender);
    tess_blend_store_release(&predicted->learned);
    tess_model_release(&predicted->model);
}
