/* impute_values.c -- rows, a round of blocks at a time: block i is rank i mod n's, a whole number
 * of the predictor's tiles, and is written while the rank predicts its next one.
 *
 * After each round the ranks reduce a pulse: is one in trouble, is one asked to stop, is it time to
 * save? It is read a round later, so that nobody waits for it; all then do the same. Rows are
 * finished in their order, so one number says how far the file is, whoever wrote it. */
#include "impute.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/rounds.h"
#include "tessera/writer.h"

#define SAVE_SECONDS 20.0

enum { TROUBLE, STOP, SAVE, N_PULSE };

struct flow {
    struct imputation *work; /* borrowed */
    struct tess_writer *file; /* borrowed */
    struct tess_rounds rounds;
    float *blocks; /* TESS_IMPUTATION_BLOCKS of `values`; own */
    int64_t values; /* floats of a block */
    int mine[N_PULSE], all[N_PULSE];
    MPI_Request request; /* the pulse that is under way */
    const char *why; /* this rank is asked to stop; NULL: it is not */
    double saved, longest_save; /* when it last was; seconds */
};

/* One round: this rank's rows are predicted into `block`, which may hold older ones on their way
 * into the file. */
static int do_round(struct flow *flow, int64_t round, struct tess_error *error)
{
    struct imputation *work = flow->work;
    struct tess_writer *file = flow->file;
    float *block = flow->blocks + round % TESS_IMPUTATION_BLOCKS * flow->values;
    struct imputation_block of = tess_imputation_block(work, flow->rounds.size, block);
    int64_t first, rows = tess_rounds_take(&flow->rounds, round, &first);
    double start = tess_clock(), free, done;

    tess_imputation_wait(file, &of);
    free = tess_clock();
    if (rows > 0 && tess_imputation_fill(work, first, rows, &of, error) != TESS_OK)
        return error->code;
    done = tess_clock();
    tess_imputation_put(file, first, rows, &of, error);
    work->times.predict += done - free;
    work->times.wait += free - start + tess_clock() - done;
    return error->code;
}

/* A signal may reach any rank; the clocks are rank 0's. */
static void start_pulse(struct flow *flow, const struct tess_error *error)
{
    const struct tess_impute *impute = flow->work->impute;
    double every = impute->save_every > 0 ? impute->save_every : SAVE_SECONDS;
    int late = tess_deadline_over(&flow->work->deadline, 2 * flow->longest_save);

    if (tess_preempt_signal())
        flow->why = "a signal";
    else if (late && flow->rounds.rank == 0)
        flow->why = "the time limit";
    flow->mine[TROUBLE] = error->code != TESS_OK;
    flow->mine[STOP] = flow->why != NULL;
    flow->mine[SAVE] = flow->rounds.rank == 0 && tess_clock() - flow->saved >= every;
    MPI_Iallreduce(flow->mine, flow->all, N_PULSE, MPI_INT, MPI_SUM, flow->rounds.comm,
                   &flow->request);
}

/* Rows before `finished` are brought to the disk and noted; nobody may be in trouble. */
static int save(struct flow *flow, int64_t finished, struct tess_error *error)
{
    double start = tess_clock();

    tess_writer_save(flow->file, finished, error);
    flow->saved = tess_clock();
    if (flow->saved - start > flow->longest_save)
        flow->longest_save = flow->saved - start;
    return error->code;
}

/* What could not be saved now is tried again; what could not be written is said by the next row. */
static void save_if_possible(struct flow *flow, int64_t finished, const struct tess_error *error)
{
    struct tess_error mine = *error;

    if (save(flow, finished, &mine) != TESS_OK && mine.code != error->code)
        tess_warn("%s; the imputation goes on, what was saved before stands", mine.text);
}

static int stop(struct flow *flow, int64_t finished, struct tess_error *error)
{
    const char *why = flow->why ? flow->why : "a signal"; /* all that other ranks stop for */

    if (save(flow, finished, error) != TESS_OK)
        return error->code;
    if (!flow->file->sealed)
        return tess_error_set(error, TESS_EINTERRUPTED,
                              "stopped by %s: this kind of file is written in one go, so nothing "
                              "of it is kept: run the same command again",
                              why);
    return tess_error_set(error, TESS_EINTERRUPTED,
                          "stopped by %s after %lld of %lld rows, which are saved: run the same "
                          "command again to go on",
                          why, (long long)finished, (long long)flow->work->n_rows);
}

/* Does the pulse of the round before this one let all go on? */
static int go_on(struct flow *flow, int64_t round, struct tess_error *error)
{
    int64_t finished = tess_rounds_done(&flow->rounds, round);
    int last = round + 1 == flow->rounds.n_rounds;

    MPI_Wait(&flow->request, MPI_STATUS_IGNORE);
    if (flow->all[TROUBLE])
        return 0;
    if (flow->all[STOP] && !last) {
        stop(flow, finished, error);
        return 0;
    }
    if (flow->all[SAVE])
        save_if_possible(flow, finished, error);
    return 1;
}

/* A rank in trouble goes along with nothing in hand until all have heard of it. */
static void do_rounds(struct flow *flow, struct tess_error *error)
{
    struct tess_progress progress;

    tess_progress_init(&progress, "imputing", "rows", flow->work->n_rows);
    progress.begun = flow->rounds.begin;
    for (int64_t round = 0; round < flow->rounds.n_rounds; round++) {
        if (error->code == TESS_OK)
            do_round(flow, round, error);
        if (round > 0 && !go_on(flow, round, error))
            break;
        start_pulse(flow, error);
        tess_progress_show(&progress, tess_rounds_done(&flow->rounds, round));
    }
    MPI_Wait(&flow->request, MPI_STATUS_IGNORE); /* of the last one; at once if none is there */
    tess_progress_release(&progress);
}

int tess_imputation_must_stop(struct imputation *work, MPI_Comm comm)
{
    int stop = tess_preempt_signal() != 0 || tess_deadline_over(&work->deadline, 0);

    MPI_Allreduce(MPI_IN_PLACE, &stop, 1, MPI_INT, MPI_MAX, comm);
    return stop;
}

int tess_imputation_write_values(struct imputation *work, struct tess_writer *file, MPI_Comm comm,
                                 struct tess_error *error)
{
    struct flow flow = {.work = work,
                        .file = file,
                        .rounds =
                            tess_rounds_part(comm, file->finished, work->n_rows - file->finished,
                                             work->block_rows, tess_imputation_unit(work)),
                        .request = MPI_REQUEST_NULL,
                        .saved = tess_clock()};
    double start;

    if (file->finished > 0)
        tess_info("%s: going on after %lld of %lld rows", file->commit.path,
                  (long long)file->finished, (long long)work->n_rows);
    flow.values = flow.rounds.size * tess_imputation_row_floats(work);
    flow.blocks = tess_alloc_large((size_t)(TESS_IMPUTATION_BLOCKS * flow.values),
                                   sizeof *flow.blocks, "the blocks of rows", error);
    if (tess_agree(comm, error) == TESS_OK) {
        do_rounds(&flow, error);
        start = tess_clock();
        tess_writer_settle(file, error);
        work->times.wait += tess_clock() - start;
    }
    tess_free(flow.blocks);
    return error->code;
}
