/* evaluate_calibrate.c -- deviation.json, at the end of a training of several members. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/deviation.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/preempt.h"
#include "tessera/rundir.h"

/* Does the run have the one that belongs to these members? Rank 0 looks. */
static int is_made(const char *directory, const struct tess_model *model, MPI_Comm comm)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_deviation_file file;
    int there = 0, rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        there = tess_deviation_read(directory, &file, &there, &ignored) == TESS_OK && there &&
                file.model_hash == model->hash;
    MPI_Bcast(&there, 1, MPI_INT, 0, comm);
    return there;
}

/* One way to predict, another fit; off is the same as auto where that blends nothing. Collective.
 */
static int fit(struct tess_deviation_file *file, const struct tess_store *store,
               struct tess_model *model, enum tess_blend_choice choice, MPI_Comm comm,
               struct tess_error *error)
{
    struct tess_evaluate_options options = {.split = TESS_VAL, .blend = choice};
    struct tess_evaluation evaluation = {.comm = comm};

    if (tess_evaluate_begin(&evaluation, store, model, &options, 0, error) == TESS_OK &&
        tess_evaluate_spread(&evaluation, error) == TESS_OK) {
        const struct tess_spread *spread = &evaluation.spread;
        struct tess_deviation_fit *to = &file->fit[file->n_fits];

        to->blend_hash = tess_deviation_blend_hash(&evaluation.blender);
        tess_calibration_fit(&to->calibration, spread->n, spread->error, spread->deviation);
        to->rank_correlation = tess_calibration_rank(spread->n, spread->error, spread->deviation);
        to->raw = tess_calibration_coverage(NULL, spread->n, spread->error, spread->deviation);
        to->calibrated = tess_calibration_coverage(&to->calibration, spread->n, spread->error,
                                                   spread->deviation);
        file->n_experiments = spread->n_experiments;
        file->n_values = spread->n;
        file->n_fits += file->n_fits == 0 || to->blend_hash != file->fit[0].blend_hash;
    }
    tess_evaluate_release(&evaluation);
    return error->code;
}

/* The members' predictions of the validation values. Collective. */
static int make(const char *directory, struct tess_model *model, MPI_Comm comm,
                struct tess_error *error)
{
    struct tess_deviation_file file = {.model_hash = model->hash, .n_members = model->n_members};
    struct tess_store store;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (tess_store_open(&store, model->store_path, comm, error) == TESS_OK) {
        file.store_hash = store.index.hash;
        file.split_hash = store.index.split_hash;
        if (file.store_hash != model->store_hash || file.split_hash != model->split_hash)
            tess_error_set(error, TESS_EDATA, "%s: was changed since the training", store.h5.path);
        else if (tess_index_observed(&store.index, TESS_VAL) == 0)
            tess_info("no validation values: the deviation of the members is not calibrated");
        else if (fit(&file, &store, model, TESS_BLEND_AUTO, comm, error) == TESS_OK &&
                 fit(&file, &store, model, TESS_BLEND_OFF, comm, error) == TESS_OK &&
                 file.n_values > 0 && rank == 0 &&
                 tess_deviation_write(directory, &file, error) == TESS_OK)
            tess_info("deviation of %d model%s on the validation values: rank correlation with "
                      "the error %.2f; %.0f %% lie within their 95 %% interval, %.0f %% with %.3g "
                      "times the deviation and a noise of %.3g",
                      model->n_members, model->n_members > 1 ? "s" : "",
                      file.fit[0].rank_correlation, 100 * file.fit[0].raw.share[1],
                      100 * file.fit[0].calibrated.share[1], file.fit[0].calibration.scale,
                      file.fit[0].calibration.noise);
        else if (error->code == TESS_OK && rank == 0 && file.n_values == 0)
            tess_info("no validation value is of symbols that all members were trained on: their "
                      "deviation is not calibrated");
    }
    tess_store_release(&store);
    return tess_agree(comm, error);
}

#define ROWS_BYTES 64e6 /* of the members' tables of perturbations, kept */

/* Has any rank been asked to stop while the last member was trained? */
static int must_stop(MPI_Comm comm)
{
    int asked = tess_preempt_signal() != 0;

    MPI_Allreduce(MPI_IN_PLACE, &asked, 1, MPI_INT, MPI_MAX, comm);
    return asked;
}

int tess_evaluate_calibrate(const char *directory, MPI_Comm comm, struct tess_error *stopped)
{
    struct tess_strings member = {0};
    struct tess_model model = {.step = 0};
    struct tess_error error = TESS_ERROR_INIT;
    int rank;

    if (must_stop(comm))
        return tess_error_set(stopped, TESS_EINTERRUPTED,
                              "stopped by a signal before the deviation of the members was "
                              "calibrated: run the same command again");
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_rundir_expand(directory, &member, &error);
    if (tess_agree(comm, &error) == TESS_OK)
        tess_broadcast_strings(comm, &member);
    if (error.code == TESS_OK && member.n > 0 &&
        tess_model_open_ensemble(&model, (int)member.n, member.item, TESS_PRECISION_AUTO, comm,
                                 &error) == TESS_OK) {
        tess_model_allow(&model, ROWS_BYTES);
        if (tess_model_deviates(&model) && !is_made(directory, &model, comm))
            make(directory, &model, comm, &error);
    }
    if (error.code != TESS_OK)
        tess_warn("%s; the deviation of the members is not calibrated", error.text);
    tess_model_release(&model);
    tess_strings_release(&member);
    return TESS_OK;
}
