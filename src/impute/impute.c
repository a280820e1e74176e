/* impute.c -- choose, count, predict and write, a round of blocks at a time:
 *   1. all ranks open the model; rank 0 chooses symbols and looks at the store, all get the choice
 *   2. the size is said, and refused if the disk has no room
 *   3. labels, then rows: block i is rank i mod n's, a whole number of the predictor's tiles, and
 * is written while the rank predicts its next one */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/predictor.h"
#include "tessera/rounds.h"
#include "tessera/store.h"
#include "tessera/writer.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define DEVIATION  "std" /* the layer of several models' standard deviation */
#define CALIBRATED "std_calibrated" /* and of that of a measured value (calibration.h) */
#define BLOCKS     2 /* of a rank: one is predicted, one is written */

/* What the file must be able to hold. */
static unsigned parts_of(const struct tess_impute *impute)
{
    return impute->n_models > 1 ? TESS_WRITER_LAYERS : 0;
}

int tess_impute_check(const struct tess_impute *impute, struct tess_error *error)
{
    char *endings;

    if (impute->output && impute->output[0])
        return tess_writer_check("-o", impute->output, parts_of(impute), error);
    endings = tess_writer_endings(parts_of(impute), "|");
    tess_error_set(error, TESS_EUSAGE, "-o OUT%s is missing; see tessera impute --help", endings);
    tess_free(endings);
    return error->code;
}

void tess_impute_release(struct tess_impute *impute)
{
    tess_strings_release(&impute->context);
    tess_strings_release(&impute->perturbation);
    tess_strings_release(&impute->readout);
    *impute = (struct tess_impute){0};
}

static void release(struct imputation *work)
{
    tess_blender_release(&work->blender);
    tess_blend_store_release(&work->learned);
    tess_model_release(&work->model);
    tess_sets_release(&work->perturbation);
    tess_sets_release(&work->context);
    tess_sets_release(&work->readout);
    tess_mapping_release(&work->component);
    tess_free(work->observed);
}

/* The perturbations: names, and the store's combinations if they are asked for. */
static int choose_perturbations(struct imputation *work, const struct tess_store *store,
                                struct tess_error *error)
{
    const struct tess_strings *given = &work->impute->perturbation;
    struct tess_choice choice = {&work->model.perturbation, work->model.trained_perturbation,
                                 "perturbation", work->model.path, 1};
    struct tess_strings names = {0};
    int combinations = 0;

    for (size_t i = 0; i < given->n; i++)
        if (strcmp(given->item[i], TESS_IMPUTE_COMBINATIONS) == 0)
            combinations = 1;
        else
            tess_strings_add(&names, given->item[i]);
    if (combinations && store)
        tess_imputation_add_combinations(work, store);
    if (combinations && names.n == 0) {
        tess_sets_sort(&work->perturbation, NULL);
        if (work->perturbation.n == 0)
            tess_error_set(error, TESS_EDATA, "%s: its training data hold no combinations",
                           work->model.path);
    } else
        tess_select(&choice, &names, &work->perturbation, error);
    tess_strings_release(&names);
    return error->code;
}

/* Rank 0's part of choosing. Local. */
static void choose(struct imputation *work, struct tess_error *error)
{
    const struct tess_model *model = &work->model;
    const struct tess_impute *impute = work->impute;
    struct tess_choice context = {&model->context, model->trained_context, "context", model->path,
                                  0},
                       readout = {&model->readout, model->trained_readout, "readout", model->path,
                                  0};
    struct tess_error no_store = TESS_ERROR_INIT;
    struct tess_store store = {0};
    int needed =
        impute->store || tess_strings_find(&impute->perturbation, TESS_IMPUTE_COMBINATIONS) >= 0;

    if (tess_imputation_open_store(work, &store, &no_store) != TESS_OK) {
        if (needed || no_store.code == TESS_EIO)
            tess_error_set(error, no_store.code, "%s", no_store.text);
        else
            tess_warn("no column 'observed': %s", no_store.text);
    }
    if (error->code == TESS_OK)
        choose_perturbations(work, &store, error);
    if (error->code == TESS_OK)
        tess_select(&context, &impute->context, &work->context, error);
    if (error->code == TESS_OK)
        tess_select(&readout, &impute->readout, &work->readout, error);
    work->n_rows = work->perturbation.n * work->context.n;
    if (error->code == TESS_OK && no_store.code == TESS_OK)
        tess_imputation_mark(work, &store);
    tess_store_release(&store);
}

/* Values, names, codes. */
static double bytes_of(const struct imputation *work)
{
    double name = work->model.perturbation.width + work->model.context.width + 2;

    return (double)work->n_rows * (4.0 * work->n_matrices * (double)work->readout.n + name + 10) +
           1e5;
}

/* Blocks are whole tiles of the predictor, so that few places in them stay empty. */
static struct tess_rounds rounds_of(const struct imputation *work, MPI_Comm comm)
{
    return tess_rounds_make(comm, work->n_rows, work->readout.n, work->model.predictor->E);
}

/* Floats of a block: the values, and the deviations of several models, as they are and calibrated.
 */
static int64_t block_values(const struct imputation *work, const struct tess_rounds *rounds)
{
    return rounds->size * work->readout.n * work->n_matrices;
}

static int check_size(const struct imputation *work, int rank, MPI_Comm comm,
                      struct tess_error *error)
{
    struct tess_rounds rounds = rounds_of(work, comm);
    double bytes = bytes_of(work), blocks = 4.0 * BLOCKS * (double)block_values(work, &rounds);

    tess_info("%s: %lld perturbations × %lld readouts × %lld contexts = %.4g values, about %.3g "
              "%s; blocks of rows take %.3g MB of a rank",
              work->impute->output, (long long)work->perturbation.n, (long long)work->readout.n,
              (long long)work->context.n, (double)work->n_rows * (double)work->readout.n,
              bytes < 1e9 ? bytes / 1e6 : bytes / 1e9, bytes < 1e9 ? "MB" : "GB", blocks / 1e6);
    if (rank == 0)
        tess_commit_check_room(work->impute->output, bytes, error);
    return tess_agree(comm, error);
}

/* Rows [first, first + n) as the model takes them; the arrays are own. */
static void describe(const struct imputation *work, int64_t first, int64_t n, int64_t **begin,
                     int64_t **member, int64_t **context)
{
    const struct tess_sets *sets = &work->perturbation;
    size_t room = 0;

    *begin = TESS_NEW(int64_t, n + 1);
    *context = TESS_NEW(int64_t, n);
    *member = NULL;
    for (int64_t i = 0; i < n; i++) {
        int64_t set = (first + i) % sets->n, at = (*begin)[i];
        int64_t size = sets->first[set + 1] - sets->first[set];

        *member = tess_grow(*member, &room, (size_t)(at + size), sizeof **member);
        memcpy(*member + at, sets->member + sets->first[set], (size_t)size * sizeof **member);
        (*begin)[i + 1] = at + size;
        (*context)[i] = work->context.member[(first + i) / sets->n];
    }
}

static int predict(const struct imputation *work, int64_t first, int64_t n, float *out,
                   float *deviation, struct tess_error *error)
{
    int64_t *begin, *member, *context;

    describe(work, first, n, &begin, &member, &context);
    tess_blender_predict(
        &work->blender, &(struct tess_rows){n, begin, member, context},
        &(struct tess_model_columns){work->readout.n, work->readout.member, out, deviation, NULL},
        error);
    tess_free(begin);
    tess_free(member);
    tess_free(context);
    return error->code;
}

/* The deviation of n measured values. */
static void calibrate(const struct imputation *work, int64_t n, const float *deviation, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)tess_calibration_apply(&work->calibration, (double)deviation[i]);
}

/* One round: this rank's rows are predicted into `block`, which may hold older ones on their way
 * into the file. */
static int do_round(struct imputation *work, struct tess_writer *file,
                    const struct tess_rounds *rounds, int64_t round, float *block,
                    struct tess_error *error)
{
    int64_t first, rows = tess_rounds_take(rounds, round, &first);
    int64_t size = rounds->size * work->readout.n;
    float *deviation = work->n_matrices > 1 ? block + size : NULL;
    float *calibrated = work->n_matrices > 2 ? block + 2 * size : NULL;
    double start = tess_clock(), free, done;

    tess_writer_wait(file, block);
    tess_writer_wait(file, deviation);
    tess_writer_wait(file, calibrated);
    free = tess_clock();
    if (rows > 0 && predict(work, first, rows, block, deviation, error) != TESS_OK)
        return error->code;
    if (calibrated)
        calibrate(work, rows * work->readout.n, deviation, calibrated);
    done = tess_clock();
    tess_writer_put_rows(file, NULL, first, rows, block, error);
    if (deviation && error->code == TESS_OK)
        tess_writer_put_rows(file, DEVIATION, first, rows, deviation, error);
    if (calibrated && error->code == TESS_OK)
        tess_writer_put_rows(file, CALIBRATED, first, rows, calibrated, error);
    work->times.predict += done - free;
    work->times.wait += free - start + tess_clock() - done;
    return error->code;
}

/* A block is written while the next one is predicted. Ranks do so without each other; they settle
 * in the end. */
static int write_values(struct imputation *work, struct tess_writer *file, MPI_Comm comm,
                        struct tess_error *error)
{
    struct tess_rounds rounds = rounds_of(work, comm);
    int64_t values = block_values(work, &rounds);
    float *blocks =
        tess_alloc_large((size_t)(BLOCKS * values), sizeof *blocks, "the blocks of rows", error);
    struct tess_progress progress;
    double start;

    if (tess_agree(comm, error) != TESS_OK) {
        tess_free(blocks);
        return error->code;
    }
    tess_progress_init(&progress, "imputing", "rows", work->n_rows);
    tess_writer_define_matrix(file, NULL, error);
    if (work->n_matrices > 1 && error->code == TESS_OK)
        tess_writer_define_matrix(file, DEVIATION, error);
    if (work->n_matrices > 2 && error->code == TESS_OK)
        tess_writer_define_matrix(file, CALIBRATED, error);
    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        do_round(work, file, &rounds, round, blocks + round % BLOCKS * values, error);
        tess_progress_show(&progress, tess_rounds_done(&rounds, round));
    }
    start = tess_clock();
    tess_writer_settle(file, error);
    work->times.wait += tess_clock() - start;
    tess_progress_release(&progress);
    tess_free(blocks);
    return error->code;
}

static int write_file(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    struct tess_writer_shape shape = {.n_rows = work->n_rows,
                                      .n_readouts = work->readout.n,
                                      .parts = parts_of(work->impute),
                                      .times = &work->times.file};
    struct tess_writer file = {0};
    double start = tess_clock();

    if (tess_writer_open(&file, work->impute->output, &shape, comm, error) == TESS_OK &&
        tess_imputation_write_labels(work, &file, error) == TESS_OK) {
        work->times.labels = tess_clock() - start;
        if (write_values(work, &file, comm, error) == TESS_OK)
            tess_writer_finish(&file, 1, error);
    }
    tess_writer_release(&file);
    return error->code;
}

static void tell_times(const struct imputation *work)
{
    const struct tess_impute_times *t = &work->times;
    const struct tess_stream_times *stream = &t->file.stream;

    tess_debug("%s: %.2f s: %.2f opening, %.2f labels, %.2f predicting, %.2f waiting for the "
               "writing of values, %.2f closing until all is on the disk, %.2f checksums and name; "
               "meanwhile %.2f hashing, %.2f writing, %.2f beginning with the disk",
               work->impute->output, t->all, t->open, t->labels, t->predict, t->wait, t->file.close,
               t->file.commit, stream->hash, stream->write, stream->flush);
    if (work->impute->times)
        *work->impute->times = *t;
}

/* The model, and what is asked of it. Collective. */
static int open_work(struct imputation *work, int rank, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_impute *impute = work->impute;

    if (tess_model_open_ensemble(&work->model, impute->n_models, impute->model, impute->precision,
                                 comm, error) == TESS_OK &&
        rank == 0)
        choose(work, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    tess_sets_broadcast(comm, &work->perturbation);
    tess_sets_broadcast(comm, &work->context);
    tess_sets_broadcast(comm, &work->readout);
    work->n_rows = work->perturbation.n * work->context.n;
    tess_imputation_count_matrices(work, comm);
    return check_size(work, rank, comm, error);
}

int tess_impute_write(const struct tess_impute *impute, MPI_Comm comm, struct tess_error *error)
{
    struct imputation work = {.impute = impute};
    double start = tess_clock();
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (impute->threads > 0)
        omp_set_num_threads(tess_int(impute->threads));
    else if (!getenv("OMP_NUM_THREADS"))
        omp_set_num_threads(1);
    if (open_work(&work, rank, comm, error) == TESS_OK && !impute->dry_run &&
        tess_blender_open_store(
            &work.blender, &work.learned,
            &(struct tess_blend_request){&work.model, impute->store, impute->blend}, comm,
            error) == TESS_OK) {
        tess_imputation_find_calibration(&work, comm);
        work.times.open = tess_clock() - start;
        write_file(&work, comm, error);
        work.times.all = tess_clock() - start;
        tell_times(&work);
    }
    release(&work);
    return error->code;
}
