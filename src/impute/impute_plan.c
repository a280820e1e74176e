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

#include <math.h>
#include <omp.h>
#include <sys/stat.h>
#include <unistd.h>

#define LABEL_BYTES  4e6 /* labels are made and written block by block */
#define THREAD_BYTES 4e6 /* of each thread's tiles */

/* What an output, or the unfinished one, has of the disk already; of one that is to be replaced
 * only the latter counts. */
static double bytes_there(const char *output, int replace)
{
    char *part = tess_format("%s.part", output);
    struct stat about;
    double bytes = 0;

    if (lstat(part, &about) == 0 && S_ISREG(about.st_mode))
        bytes = 512.0 * (double)about.st_blocks;
    else if (!replace && lstat(output, &about) == 0 && S_ISREG(about.st_mode))
        bytes = 512.0 * (double)about.st_blocks;
    tess_free(part);
    return bytes;
}

static double all_there(const struct imputation *work)
{
    double bytes = 0;

    if (!work->impute->directory)
        return bytes_there(work->output, work->impute->replace);
    for (int64_t i = 0; i < work->context.n; i++) {
        char *path = tess_imputation_context_path(work, i);

        bytes += bytes_there(path, work->impute->replace);
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

/* Rank 0. */
static void check_room(const struct imputation *work, double bytes, struct tess_error *error)
{
    double there = all_there(work), room = room_of(work);
    double limit = work->impute->max_size > 0 ? work->impute->max_size
                   : room < 0                 ? INFINITY
                                              : there + room / 2;

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
    if (bytes > there)
        tess_commit_check_room(work->output, bytes - there, error);
}

int tess_imputation_check_room(const struct imputation *work, double bytes, MPI_Comm comm,
                               struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        check_room(work, bytes, error);
    return tess_agree(comm, error);
}

/* Of a row in a block, on its way: its values; the sums of several models, the baselines of a
 * blend; what the predictor keeps of it. */
static double row_bytes(const struct imputation *work)
{
    int members = work->model.n_members;
    struct tess_shape shape = work->model.network.shape;
    double value =
        (members > 1 ? 16 : 0) + 8.0 * (work->blender.active ? (members > 1 ? 2 : 1) : 0);

    return value * (double)work->readout.n +
           4.0 * TESS_IMPUTATION_BLOCKS * (double)tess_imputation_row_floats(work) +
           4.0 * (shape.hidden + shape.dim) + 64;
}

/* What a rank has, in bytes; doubles alone (they are reduced together). */
struct memory {
    double program; /* now, with the model; the largest of the ranks */
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
    if (fixed > given)
        return tess_error_set(error, TESS_EUSAGE,
                              "--memory: %.4g MB are too little for a rank, which needs %.4g MB: "
                              "%.3g of the program with its model, %.3g of labels and threads, "
                              "%.3g of the smallest blocks",
                              given / 1e6, fixed / 1e6, memory->program / 1e6, memory->labels / 1e6,
                              memory->row * (double)tile / 1e6);
    left = given - fixed;
    memory->rows = fmin(memory->rows, left / 2);
    tess_model_allow(&work->model, memory->rows);
    left -= memory->rows;
    if (memory->row * (double)(work->block_rows - tile) > left)
        work->block_rows = tile + (int64_t)(left / memory->row) / tile * tile;
    return TESS_OK;
}

int tess_imputation_plan_blocks(struct imputation *work, MPI_Comm comm, struct tess_error *error)
{
    int64_t tile = work->model.predictor->E, most = (work->n_rows + tile - 1) / tile * tile;
    int64_t suits = (tess_rounds_rows(work->readout.n, tile) + tile - 1) / tile * tile;
    struct memory memory = {.program = tess_platform_memory(0),
                            .labels = LABEL_BYTES + THREAD_BYTES * omp_get_max_threads() +
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
    all = memory.program + memory.rows + memory.labels + memory.row * (double)work->block_rows;
    if (work->impute->plan)
        work->impute->plan->memory = all;
    tess_info("memory: about %.3g MB a rank: %.3g of the program with its model, %.3g of rows of "
              "perturbations, %.3g of labels and threads, %.3g of blocks of %lld rows",
              all / 1e6, memory.program / 1e6, memory.rows / 1e6, memory.labels / 1e6,
              memory.row * (double)work->block_rows / 1e6, (long long)work->block_rows);
    return error->code;
}
