/* impute.c -- choose, count, predict and write:
 *   1. all ranks open the model; rank 0 chooses symbols and looks at the store, all get the choice
 *   2. size and memory are said, and refused if the disk or the allowance has no room
 *      (impute_plan.c)
 *   3. labels, and what the file is made of (impute_key.c), unless an earlier go has written them
 *   4. rows, a round of blocks at a time (impute_values.c) */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/store.h"
#include "tessera/writer.h"

#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int tess_impute_check(const struct tess_impute *impute, struct tess_error *error)
{
    char *endings;

    if (impute->triples &&
        (impute->pairs || impute->perturbation.n || impute->readout.n || impute->context.n))
        return tess_error_set(error, TESS_EUSAGE,
                              "--triples says all that is asked for: leave out --pairs, "
                              "--perturbations, --readouts and --contexts");
    if (impute->pairs && strcmp(impute->pairs, TESS_IMPUTE_ALL) != 0 && impute->perturbation.n)
        return tess_error_set(error, TESS_EUSAGE,
                              "--pairs %s names perturbations: leave out --perturbations, or give "
                              "--pairs all, which makes all pairs of them",
                              impute->pairs);
    if (impute->format && tess_writer_check_format("--format", impute->format,
                                                   tess_imputation_parts(impute), error) != TESS_OK)
        return error->code;
    if (impute->directory && impute->directory[0] && !impute->output)
        return TESS_OK;
    if (impute->directory)
        return tess_error_set(error, TESS_EUSAGE,
                              "--per-context names the directory of the files: leave out -o");
    if (impute->output && impute->output[0])
        return impute->format
                   ? TESS_OK
                   : tess_writer_check("-o", impute->output, tess_imputation_parts(impute), error);
    endings = tess_writer_endings(tess_imputation_parts(impute), "|");
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
    tess_imputation_rows_release(&work->rows);
    tess_imputation_delta_release(&work->delta);
    tess_imputation_measured_release(&work->measured);
    tess_imputation_marks_release(&work->marks);
    tess_mapping_release(&work->component);
    json_decref(work->key);
}

/* Rank 0's part of choosing. Local. */
static void choose(struct imputation *work, struct tess_error *error)
{
    const struct tess_impute *impute = work->impute;
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
        tess_imputation_choose(work, &store, error);
    if (error->code == TESS_OK && no_store.code == TESS_OK)
        tess_imputation_mark(work, &store);
    tess_store_release(&store);
}

static int check_size(const struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    const struct imputation_size size = tess_imputation_size(work);
    const char *most = work->impute->level ? "at most" : "about";
    double unit = size.file < 1e9 ? 1e6 : 1e9;
    struct tess_impute_plan *plan = work->impute->plan;

    tess_info("%s: %lld perturbations × %lld readouts × %lld contexts = %.4g values, %s %.3g %s",
              work->output, (long long)tess_imputation_n_sets(work), (long long)work->readout.n,
              (long long)work->context.n, (double)work->n_rows * (double)work->readout.n, most,
              size.file / unit, unit < 1e9 ? "MB" : "GB");
    if (work->impute->level)
        tess_info("%s: compressed, so how much it will be is not known yet; until %s whole, "
                  "at most %.3g %s are taken",
                  work->output, work->impute->directory ? "all of them are" : "it is",
                  size.peak / unit, unit < 1e9 ? "MB" : "GB");
    if (!plan)
        return tess_imputation_check_room(work, &size, comm, error);
    plan->rows = (double)work->n_rows;
    plan->readouts = (double)work->readout.n;
    plan->bytes = size.peak;
    return TESS_OK;
}

static int write_all(struct imputation *work, struct tess_writer *file, MPI_Comm comm,
                     struct tess_error *error)
{
    double start = tess_clock();

    if (!file->sealed && tess_imputation_write_labels(work, file, error) == TESS_OK &&
        tess_imputation_write_key(work, file, error) == TESS_OK &&
        tess_imputation_define(work, file, error) == TESS_OK)
        tess_writer_seal(file, error);
    work->times.labels = tess_clock() - start;
    if (error->code == TESS_OK && tess_imputation_write_values(work, file, comm, error) == TESS_OK)
        tess_writer_finish(file, 1, error);
    return error->code;
}

/* `again` is borrowed. */
static struct tess_writer_shape shape_of(struct imputation *work,
                                         const struct tess_writer_again *again)
{
    const char *format = work->impute->format;

    return (struct tess_writer_shape){.type = format ? tess_writer_format(format) : NULL,
                                      .n_rows = work->n_rows,
                                      .n_readouts = work->readout.n,
                                      .parts = tess_imputation_parts(work->impute) |
                                               (work->n_matrices > 1 ? TESS_WRITER_LAYERS : 0),
                                      .packing = tess_imputation_packing(work),
                                      .deadline = &work->deadline,
                                      .times = &work->times.file,
                                      .again = again};
}

static int write_file(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    char *machine = tess_imputation_machine(work);
    const struct tess_writer_again again = {work->key, machine, work->impute->replace,
                                            work->impute->fresh, work->impute->directory != NULL};
    const struct tess_writer_shape shape = shape_of(work, &again);
    struct tess_writer file = {0};

    if (tess_writer_open(&file, work->output, &shape, comm, error) == TESS_OK) {
        if (file.whole)
            tess_info("%s: is complete already: nothing was left to do", work->output);
        else
            write_all(work, &file, comm, error);
    }
    tess_writer_release(&file);
    tess_free(machine);
    return error->code;
}

/* Its key names that context alone, so that the file stays what it is when others are added. */
static void write_context(struct imputation *work, int64_t context, MPI_Comm comm,
                          struct tess_error *error)
{
    json_t *all = work->key;

    work->key = tess_imputation_context_key(work, context);
    write_file(work, comm, error);
    json_decref(work->key);
    work->key = all;
}

/* A file for each context, one after the other: each whole or not at all, and one that is there is
 * passed over, so that an interrupted command goes on with the next. */
static int write_contexts(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    const char *directory = work->impute->directory;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && mkdir(directory, 0777) < 0 && errno != EEXIST)
        tess_error_set(error, TESS_ECREATE, "%s: the directory cannot be made: %s", directory,
                       strerror(errno));
    tess_agree(comm, error);
    for (int64_t i = 0; i < work->context.n && error->code == TESS_OK; i++) {
        char *path = tess_imputation_context_path(work, i);

        work->output = path;
        tess_imputation_narrow(work, i);
        if (i > 0 && tess_imputation_must_stop(work, comm))
            tess_error_set(error, TESS_EINTERRUPTED,
                           "stopped after %lld of %lld contexts, whose files are whole: run the "
                           "same command again to go on",
                           (long long)i, (long long)work->context.n);
        else if (work->n_rows > 0)
            write_context(work, i, comm, error);
        work->output = directory;
        tess_free(path);
    }
    return error->code;
}

/* What an earlier go has left, for a dry run. Rank 0. */
static void tell_unfinished(struct imputation *work, struct tess_error *error)
{
    char *machine = tess_imputation_machine(work);
    const struct tess_writer_again again = {work->key, machine, work->impute->replace,
                                            work->impute->fresh, work->impute->directory != NULL};
    const struct tess_writer_shape shape = shape_of(work, &again);
    struct tess_unfinished there;

    if (tess_writer_look(&there, work->output, &shape, error) == TESS_OK) {
        if (there.state == TESS_UNFINISHED_WHOLE)
            tess_info("%s: is complete already: nothing would be done", there.output);
        else if (there.state == TESS_UNFINISHED_PART)
            tess_info("%s: %lld of %lld rows are there and would be gone on from", there.part,
                      (long long)there.record.finished, (long long)work->n_rows);
        else
            tess_info("%s: nothing of it is there: it would be begun", there.output);
    }
    tess_unfinished_release(&there);
    tess_free(machine);
}

static void tell_times(const struct imputation *work)
{
    const struct tess_impute_times *t = &work->times;
    const struct tess_stream_times *stream = &t->file.stream;

    tess_debug("%s: %.2f s: %.2f opening, %.2f labels, %.2f predicting, %.2f waiting for the "
               "writing of values, %.2f closing until all is on the disk, %.2f checksums and name; "
               "meanwhile %.2f hashing, %.2f writing, %.2f beginning with the disk",
               work->output, t->all, t->open, t->labels, t->predict, t->wait, t->file.close,
               t->file.commit, stream->hash, stream->write, stream->flush);
    if (work->impute->times)
        *work->impute->times = *t;
}

/* What changes and kept values need. Collective. */
static int open_measured(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    if (work->impute->delta && tess_imputation_open_delta(work, comm, error) != TESS_OK)
        return error->code;
    return work->impute->keep ? tess_imputation_open_measured(work, comm, error) : TESS_OK;
}

/* The model, what is asked of it, and what that takes. Collective. */
static int open_work(struct imputation *work, int rank, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_impute *impute = work->impute;
    const struct tess_blend_request request = {&work->model, impute->store, impute->blend,
                                               impute->memory};

    if (tess_model_open_ensemble(&work->model, impute->n_models, impute->model, impute->precision,
                                 comm, error) == TESS_OK &&
        rank == 0)
        choose(work, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    tess_model_share(&work->model, comm);
    tess_imputation_broadcast(work, comm);
    tess_imputation_count_matrices(work, comm);
    if (check_size(work, comm, error) != TESS_OK ||
        tess_blender_open_store(&work->blender, &work->learned, &request, comm, error) != TESS_OK)
        return error->code;
    tess_imputation_find_calibration(work, comm);
    if (open_measured(work, comm, error) != TESS_OK ||
        tess_imputation_plan_blocks(work, comm, error) != TESS_OK)
        return error->code;
    tess_imputation_make_key(work, comm);
    return TESS_OK;
}

int tess_impute_write(const struct tess_impute *impute, MPI_Comm comm, struct tess_error *error)
{
    struct imputation work = {.impute = impute,
                              .output = impute->directory ? impute->directory : impute->output};
    double start = tess_clock();
    int rank;

    MPI_Comm_rank(comm, &rank);
    tess_deadline_set(&work.deadline, impute->time_limit);
    tess_platform_threads(impute->threads);
    if (open_work(&work, rank, comm, error) == TESS_OK && impute->dry_run) {
        if (rank == 0 && !impute->directory && !impute->plan)
            tell_unfinished(&work, error);
        tess_agree(comm, error);
    } else if (error->code == TESS_OK) {
        work.times.open = tess_clock() - start;
        if (impute->directory)
            write_contexts(&work, comm, error);
        else
            write_file(&work, comm, error);
        work.times.all = tess_clock() - start;
        tell_times(&work);
    }
    release(&work);
    return error->code;
}
