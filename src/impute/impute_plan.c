/* impute_plan.c -- what an imputation takes of the disk and of memory, said before it begins. */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/platform.h"
#include "tessera/predictor.h"
#include "tessera/rounds.h"
#include "tessera/unfinished.h"
#include "tessera/writer.h"

#include <math.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL_BYTES  4e6 /* labels are made and written block by block */
#define THREAD_BYTES 4e6 /* of each thread's tiles */

/* Bytes of the disk that a file has; 0 if there is none. */
static double disk_of(const char *path)
{
    struct stat about;

    return lstat(path, &about) == 0 && S_ISREG(about.st_mode) ? 512.0 * (double)about.st_blocks : 0;
}

/* Of the `share` that an output takes, what it has already: all of it where it is whole and stays
 * (if it is of something else it is refused, later); of an unfinished one with its copy, which is
 * written over, their bytes. */
static double bytes_there(const char *output, int replace, double share)
{
    char *part = tess_format("%s.part", output);
    char *copy = tess_format("%s." TESS_UNFINISHED_DEFLATED, part);
    double bytes = access(part, F_OK) == 0                 ? disk_of(part) + disk_of(copy)
                   : !replace && access(output, F_OK) == 0 ? share
                                                           : 0;

    tess_free(copy);
    tess_free(part);
    return bytes;
}

static double all_there(const struct imputation *work, double file)
{
    double bytes = 0;

    if (!work->impute->directory)
        return bytes_there(work->output, work->impute->replace, file);
    for (int64_t i = 0; i < work->context.n; i++) {
        char *path = tess_imputation_context_path(work, i);

        bytes += bytes_there(path, work->impute->replace, file / (double)work->context.n);
        tess_free(path);
    }
    return bytes;
}

/* Free bytes where the files will lie: a folder that is there may be another disk than the one that
 * it lies in. */
static double room_of(const struct imputation *work)
{
    char *inside = tess_format("%s/.", work->output);
    double room = tess_commit_free(
        work->impute->directory && access(inside, F_OK) == 0 ? inside : work->output);

    tess_free(inside);
    return room;
}

/* Values of float32 hardly shrink, so that nothing is promised of what was asked for; where nothing
 * was, deflation leaves a thousandth, and the slots of chunks a page each. */
static double value_bytes(const struct imputation *work)
{
    double width = (double)work->readout.n * (work->impute->half ? 2 : 4) * work->n_matrices;
    double marks = work->impute->keep ? (double)work->readout.n : 0;
    double all = (double)work->n_rows * (width + marks);
    const struct imputation_rows *rows = &work->rows;

    if (!work->impute->level || !rows->asked)
        return all;
    return fmin(all, 0.01 * all + (double)rows->asked_first[rows->n] * (width + marks) /
                                      (double)work->readout.n);
}

/* Compressed files are put together one at a time. Of a row its name, perturbation (index and
 * categories) and target, and codes. */
struct imputation_size tess_imputation_size(const struct imputation *work)
{
    double set = (work->rows.pairs ? 2.0 : 1.0) * (double)(work->model.perturbation.width + 1);
    double name = 3 * set + (double)work->model.context.width + 2;
    double file = value_bytes(work) + (double)work->n_rows * (name + 40) + 1e5;

    double copy = work->impute->directory ? file / (double)work->context.n : file;

    return (struct imputation_size){file, work->impute->level ? file + copy : file};
}

/* Rank 0. */
static void check_room(const struct imputation *work, const struct imputation_size *size,
                       struct tess_error *error)
{
    double bytes = size->file;
    double there = all_there(work, bytes), room = room_of(work);
    double limit = work->impute->max_size > 0 ? work->impute->max_size
                   : room < 0                 ? INFINITY
                                              : there + room / 2;

    if (there >= bytes)
        return;
    if (room >= 0)
        tess_info("%s: %.3g GB are free there%s", work->output, room / 1e9,
                  there > 0 ? ", beside what an unfinished one has already" : "");
    if (bytes > limit)
        tess_error_set(
            error, TESS_EUSAGE,
            "%s: would take %.4g GB, and without asking at most %.4g GB are written%s: ask "
            "for less, or allow it with --max-size %.1fG",
            work->output, bytes / 1e9, limit / 1e9,
            work->impute->max_size > 0 ? "" : " (half of what is free)", ceil(bytes / 1e8) / 10);
    if (size->peak > there)
        tess_commit_check_room(work->output, size->peak - there, error);
}

int tess_imputation_check_room(const struct imputation *work, const struct imputation_size *size,
                               MPI_Comm comm, struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        check_room(work, size, error);
    return tess_agree(comm, error);
}

/* Of a row in a block, on its way: its values; the sums of several models, the baselines of a
 * blend; what the predictor keeps of it. */
static double row_bytes(const struct imputation *work)
{
    int members = work->model.n_members;
    struct tess_shape shape = work->model.network.shape;
    double value = (members > 1 ? 16 : 0) + (tess_model_has_noise(&work->model) ? 12 : 0) +
                   tess_blender_value_bytes(&work->blender, 0);

    return value * (double)work->readout.n +
           4.0 * TESS_IMPUTATION_BLOCKS * (double)tess_imputation_row_floats(work) +
           4.0 * (shape.hidden + shape.dim) + 64;
}

/* By the widest of the values, so that all matrices of a file have chunks of as many rows. */
struct tess_writer_packing tess_imputation_packing(const struct imputation *work)
{
    int64_t row = work->readout.n * (work->impute->half ? 2 : 4);

    if (work->impute->level == 0)
        return (struct tess_writer_packing){0, 0};
    return (struct tess_writer_packing){
        work->impute->level, tess_writer_chunk_rows(work->n_rows, row, work->model.predictor->E)};
}

int64_t tess_imputation_unit(const struct imputation *work)
{
    int64_t tile = work->model.predictor->E, rows = tess_imputation_packing(work).rows;

    return rows > tile ? (rows + tile - 1) / tile * tile : tile;
}

/* What a rank has, in bytes; doubles alone (they are reduced together). */
struct memory {
    double program; /* now, with the model; the largest of the ranks */
    double
        opening; /* at most until now: symbols, and the store's index, may take more than stays */
    double labels; /* and threads */
    double rows; /* of the table of perturbations, which are read as they are needed and kept */
    double row; /* of blocks, each of their rows */
};

/* With an allowance the smallest blocks come first, then kept rows up to half of what is left, then
 * larger blocks. Blocks are whole tiles, so that few places in them stay empty. */
static int share(struct imputation *work, struct memory *memory, int64_t tile,
                 struct tess_error *error)
{
    double given = work->impute->memory, left;
    double fixed = memory->program + memory->labels + memory->row * (double)tile;

    if (given <= 0)
        return TESS_OK;
    if (fmax(fixed, memory->opening) > given)
        return tess_error_set(error, TESS_EUSAGE,
                              "--memory: %.4g MB are too little for a rank, which needs %.4g MB: "
                              "%.3g of the program with its model (%.3g while it was opened), %.3g "
                              "of labels and threads, %.3g of the smallest blocks",
                              given / 1e6, fmax(fixed, memory->opening) / 1e6,
                              memory->program / 1e6, memory->opening / 1e6, memory->labels / 1e6,
                              memory->row * (double)tile / 1e6);
    left = given - fixed;
    memory->rows = fmin(memory->rows, left / 2);
    tess_model_allow(&work->model, memory->rows);
    left -= memory->rows;
    if (memory->row * (double)(work->block_rows - tile) > left)
        work->block_rows = tile + (int64_t)(left / memory->row) / tile * tile;
    return TESS_OK;
}

static double packing_bytes(const struct imputation *work)
{
    int64_t rows = tess_imputation_packing(work).rows;

    return rows == 0
               ? 0
               : tess_writer_packing_bytes(rows * work->readout.n * (work->impute->half ? 2 : 4));
}

int tess_imputation_plan_blocks(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    int64_t tile = tess_imputation_unit(work), most = (work->n_rows + tile - 1) / tile * tile;
    int64_t suits = (tess_rounds_rows(work->readout.n, tile) + tile - 1) / tile * tile;
    struct memory memory = {.program = tess_platform_memory(0),
                            .opening = tess_platform_memory(1),
                            .labels = LABEL_BYTES + THREAD_BYTES * omp_get_max_threads() +
                                      packing_bytes(work) + tess_blender_growth(&work->blender) +
                                      tess_model_working_bytes(&work->model, TESS_MODEL_ROWS),
                            .rows = tess_model_rows_bytes(&work->model),
                            .row = row_bytes(work)};
    double all;

    /* Of the rank that needs most: blocks are alike on all, whatever their threads. */
    MPI_Allreduce(MPI_IN_PLACE, &memory, sizeof memory / sizeof(double), MPI_DOUBLE, MPI_MAX, comm);
    work->block_rows = suits < most ? suits : most;
    share(work, &memory, tile, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    all = fmax(memory.opening, memory.program + memory.rows + memory.labels +
                                   memory.row * (double)work->block_rows);
    if (work->impute->plan)
        work->impute->plan->memory = all;
    tess_info("memory: about %.3g MB a rank: %.3g of the program with its model (%.3g while it was "
              "opened), %.3g of rows of perturbations, %.3g of labels and threads, %.3g of blocks "
              "of %lld rows",
              all / 1e6, memory.program / 1e6, memory.opening / 1e6, memory.rows / 1e6,
              memory.labels / 1e6, memory.row * (double)work->block_rows / 1e6,
              (long long)work->block_rows);
    return error->code;
}
