/* simulate_write.c -- the labelled matrices of a simulation: the data and the noise-free truth. */
#include "simulate_write.h"

#include "simulate_cells.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/rounds.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

static void narrow(const double *from, int64_t n, float *to)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}

/* Numbers of the settings, and how the file came to be. */
static int write_notes(struct tess_writer *file, const struct tess_design *design,
                       struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;

    for (int i = 0; i < tess_n_simulate_fields && error->code == TESS_OK; i++) {
        const struct tess_simulate_field *field = &tess_simulate_fields[i];
        const char *at = (const char *)s + field->offset;
        char *name = tess_format("simulation/%s", field->name);
        double x = field->is_real ? *(const double *)at : (double)*(const int64_t *)at;

        tess_writer_write_number(file, name, x, error);
        tess_free(name);
    }
    if (error->code == TESS_OK)
        tess_writer_write_text(file, "simulation/truth", s->network ? "network" : "low rank",
                               error);
    if (error->code == TESS_OK)
        tess_writer_write_text(file, "simulation/split", design->split_text, error);
    if (error->code == TESS_OK)
        tess_writer_write_text(file, "provenance/program", tess_version, error);
    if (error->code == TESS_OK && s->command)
        tess_writer_write_text(file, "provenance/command", s->command, error);
    return error->code;
}

/* The columns of obs that follow from a list of pairs. Rank 0's data; NULL elsewhere. */
struct obs {
    char **name;
    int32_t *perturbation, *context, *split, *replicate, *batch;
    uint8_t *measured;
};

static void obs_release(struct obs *obs, int64_t n)
{
    for (int64_t i = 0; obs->name && i < n; i++)
        tess_free(obs->name[i]);
    tess_free(obs->name);
    tess_free(obs->perturbation);
    tess_free(obs->context);
    tess_free(obs->split);
    tess_free(obs->replicate);
    tess_free(obs->batch);
    tess_free(obs->measured);
}

static struct obs obs_init(int64_t n)
{
    return (struct obs){TESS_NEW(char *, n),  TESS_NEW(int32_t, n), TESS_NEW(int32_t, n),
                        TESS_NEW(int32_t, n), TESS_NEW(int32_t, n), TESS_NEW(int32_t, n),
                        TESS_NEW(uint8_t, n)};
}

static char **combination_names(const struct tess_index *index)
{
    char **name = TESS_NEW(char *, index->n_combinations);

    for (int64_t i = 0; i < index->n_combinations; i++)
        name[i] = tess_index_combination_name(index, i);
    return name;
}

static void free_names(char **name, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        tess_free(name[i]);
    tess_free(name);
}

/* Names, and the columns perturbation, context and split, which all our files have. */
static int write_labels(struct tess_writer *file, const struct tess_design *design,
                        const struct obs *obs, char **combination, struct tess_error *error)
{
    static const char *const splits[] = {"train", "val", "test"};
    const struct tess_index *index = &design->index;

    if (tess_writer_write_names(file, TESS_WRITER_ROWS, (const char *const *)obs->name, error) ==
            TESS_OK &&
        tess_writer_write_names(file, TESS_WRITER_READOUTS, index->readout.symbol, error) ==
            TESS_OK &&
        tess_writer_write_codes(file, "perturbation", index->n_combinations,
                                (const char *const *)combination, obs->perturbation,
                                error) == TESS_OK &&
        tess_writer_write_codes(file, "context", index->context.n, index->context.symbol,
                                obs->context, error) == TESS_OK &&
        tess_writer_write_codes(file, "split", 3, splits, obs->split, error) == TESS_OK)
        write_notes(file, design, error);
    return error->code;
}

/* Rows of the data file. */
static void fill_rows(const struct tess_design *design, char **combination, struct obs *obs)
{
    const struct tess_index *index = &design->index;
    const struct tess_simulate *s = design->simulate;

    for (int64_t e = 0; e < index->n_experiments; e++)
        for (int64_t row = design->row_first[e]; row < design->row_first[e + 1]; row++) {
            int64_t replicate = tess_design_replicate_of(design, e, row - design->row_first[e]);

            obs->perturbation[row] = (int32_t)index->combination[e];
            obs->context[row] = (int32_t)index->context_of[e];
            obs->split[row] = index->split[e];
            obs->replicate[row] = (int32_t)replicate;
            obs->batch[row] = (int32_t)(index->context_of[e] * s->n_replicates + replicate);
            obs->name[row] = s->n_cells
                                 ? tess_format("cell%09lld", (long long)row + 1)
                                 : tess_format("%s@%s#%lld", combination[index->combination[e]],
                                               index->context.symbol[index->context_of[e]],
                                               (long long)replicate + 1);
        }
}

/* "rep1" …, and for cells "C1-1" …: the batches of a context. */
static int write_replicates(struct tess_writer *file, const struct tess_design *design,
                            const struct obs *obs, struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    int64_t most = s->n_replicates > s->n_controls ? s->n_replicates : s->n_controls;
    int64_t n = s->n_cells ? s->n_replicates : most, n_batches = n * s->n_contexts;
    char **name = TESS_NEW(char *, n), **batch = TESS_NEW(char *, n_batches);

    for (int64_t i = 0; i < n; i++)
        name[i] = tess_format("rep%lld", (long long)i + 1);
    for (int64_t i = 0; i < n_batches; i++)
        batch[i] =
            tess_format("%s-%lld", design->index.context.symbol[i / n], (long long)(i % n) + 1);
    tess_writer_write_codes(file, "replicate", n, (const char *const *)name, obs->replicate, error);
    if (error->code == TESS_OK && s->n_cells)
        tess_writer_write_codes(file, "batch", n_batches, (const char *const *)batch, obs->batch,
                                error);
    free_names(name, n);
    free_names(batch, n_batches);
    return error->code;
}

static int write_profiles(struct tess_writer *file, const struct tess_design *design, MPI_Comm comm,
                          struct tess_error *error)
{
    int64_t n = design->simulate->n_readouts;
    struct tess_rounds rounds = tess_rounds_make(comm, file->n_rows, n, 1);
    float *block = TESS_NEW(float, rounds.size *n);
    struct tess_progress progress;
    struct cursor cursor;

    tess_cursor_init(&cursor, design);
    tess_progress_init(&progress, "simulating", "profiles", file->n_rows);
    tess_writer_define_matrix(file, NULL, error);
    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        int64_t first, rows = tess_rounds_take(&rounds, round, &first);

        for (int64_t i = 0; i < rows; i++) {
            tess_cursor_row(&cursor, first + i);
            narrow(cursor.value, n, block + i * n);
        }
        tess_writer_put_rows(file, NULL, first, rows, block, error);
        tess_writer_settle(file, error); /* all stop where one cannot write */
        tess_progress_show(&progress, tess_rounds_done(&rounds, round));
    }
    tess_progress_release(&progress);
    tess_cursor_release(&cursor);
    tess_free(block);
    return error->code;
}

/* first[i]: values before row i * size, for every block; own. Made by all ranks. */
static int64_t *count_cells(const struct tess_rounds *rounds, struct cursor *cursor,
                            struct tess_progress *progress)
{
    int64_t n_blocks = rounds->n_rounds * rounds->n_ranks;
    int64_t *first = TESS_NEW(int64_t, n_blocks + 1);
    struct cells cells = {0};

    for (int64_t round = 0; round < rounds->n_rounds; round++) {
        int64_t row, n = tess_rounds_take(rounds, round, &row);

        tess_simulate_cells_make(&cells, cursor, row, n, 0);
        first[round * rounds->n_ranks + rounds->rank + 1] = cells.indptr[n];
        tess_progress_show(progress, tess_rounds_done(rounds, round) / 2);
    }
    tess_simulate_cells_release(&cells);
    MPI_Allreduce(MPI_IN_PLACE, first, tess_int(n_blocks + 1), MPI_INT64_T, MPI_SUM, rounds->comm);
    for (int64_t i = 0; i < n_blocks; i++)
        first[i + 1] += first[i];
    return first;
}

/* Twice over the cells: a sparse matrix must know where its rows lie before it has them. */
static int write_cells(struct tess_writer *file, const struct tess_design *design, MPI_Comm comm,
                       struct tess_error *error)
{
    struct tess_rounds rounds =
        tess_rounds_make(comm, file->n_rows, design->simulate->n_readouts, 1);
    struct cells cells = {0};
    struct tess_progress progress;
    struct cursor cursor;
    int64_t *first_data;

    tess_cursor_init(&cursor, design);
    tess_progress_init(&progress, "simulating", "cells", file->n_rows);
    first_data = count_cells(&rounds, &cursor, &progress);
    tess_writer_define_sparse(file, first_data[rounds.n_rounds * rounds.n_ranks], error);
    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        int64_t first, n = tess_rounds_take(&rounds, round, &first);

        tess_simulate_cells_make(&cells, &cursor, first, n, 1);
        tess_writer_write_sparse(
            file,
            &(struct tess_writer_sparse){first, n, first_data[round * rounds.n_ranks + rounds.rank],
                                         cells.indptr, cells.index, cells.count},
            error);
        tess_progress_show(&progress, (file->n_rows + tess_rounds_done(&rounds, round)) / 2);
    }
    tess_progress_release(&progress);
    tess_simulate_cells_release(&cells);
    tess_cursor_release(&cursor);
    tess_free(first_data);
    return error->code;
}

int tess_design_write_matrix(const struct tess_design *design, MPI_Comm comm,
                             struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    int64_t n_rows = design->row_first[design->index.n_experiments];
    struct tess_writer_shape shape = {.n_rows = n_rows,
                                      .n_readouts = s->n_readouts,
                                      .parts = s->n_cells > 0 ? TESS_WRITER_SPARSE : 0};
    char **combination = combination_names(&design->index);
    struct tess_writer file = {0};
    struct obs obs = {0};

    if (tess_writer_open(&file, s->output, &shape, comm, error) == TESS_OK && file.rank == 0) {
        obs = obs_init(n_rows);
        fill_rows(design, combination, &obs);
    }
    if (error->code == TESS_OK && write_labels(&file, design, &obs, combination, error) == TESS_OK)
        write_replicates(&file, design, &obs, error);
    obs_release(&obs, n_rows);
    free_names(combination, design->index.n_combinations);
    if (error->code == TESS_OK && s->n_cells > 0)
        write_cells(&file, design, comm, error);
    else if (error->code == TESS_OK)
        write_profiles(&file, design, comm, error);
    if (error->code == TESS_OK)
        tess_writer_finish(&file, 0, error);
    tess_writer_release(&file);
    return error->code;
}

static void fill_truth(const struct tess_design *design, char **combination, struct obs *obs)
{
    const struct tess_index *index = &design->index;
    int64_t n = index->n_combinations;

    for (int64_t i = 0; i < n * index->context.n; i++) {
        int64_t e = design->experiment[i];

        obs->perturbation[i] = (int32_t)(i % n);
        obs->context[i] = (int32_t)(i / n);
        obs->split[i] = e < 0 ? -1 : index->split[e];
        obs->measured[i] = e >= 0;
        obs->name[i] = tess_format("%s@%s", combination[i % n], index->context.symbol[i / n]);
    }
}

/* All pairs, measured or not: row i is combination i mod n in context i / n, as in fill_truth. */
static int write_true_values(struct tess_writer *file, const struct tess_design *design,
                             MPI_Comm comm, struct tess_error *error)
{
    int64_t n = design->simulate->n_readouts, n_combinations = design->index.n_combinations;
    struct tess_rounds rounds = tess_rounds_make(comm, file->n_rows, n, 1);
    float *block = TESS_NEW(float, rounds.size *n);
    double *row = TESS_NEW(double, n);
    struct tess_progress progress;

    tess_progress_init(&progress, "writing the truth", "profiles", file->n_rows);
    tess_writer_define_matrix(file, NULL, error);
    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        int64_t first, rows = tess_rounds_take(&rounds, round, &first);

        for (int64_t i = 0; i < rows; i++) {
            tess_design_truth(design, (first + i) % n_combinations, (first + i) / n_combinations,
                              row);
            narrow(row, n, block + i * n);
        }
        tess_writer_put_rows(file, NULL, first, rows, block, error);
        tess_writer_settle(file, error); /* all stop where one cannot write */
        tess_progress_show(&progress, tess_rounds_done(&rounds, round));
    }
    tess_progress_release(&progress);
    tess_free(row);
    tess_free(block);
    return error->code;
}

int tess_design_write_truth(const struct tess_design *design, MPI_Comm comm,
                            struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    int64_t n_rows = design->index.n_combinations * s->n_contexts;
    struct tess_writer_shape shape = {.n_rows = n_rows, .n_readouts = s->n_readouts};
    char **combination = combination_names(&design->index);
    struct tess_writer file = {0};
    struct obs obs = {0};

    if (tess_writer_open(&file, s->truth, &shape, comm, error) == TESS_OK && file.rank == 0) {
        obs = obs_init(n_rows);
        fill_truth(design, combination, &obs);
    }
    if (error->code == TESS_OK && write_labels(&file, design, &obs, combination, error) == TESS_OK)
        tess_writer_write_flags(&file, "observed", obs.measured, error);
    obs_release(&obs, n_rows);
    free_names(combination, design->index.n_combinations);
    if (error->code == TESS_OK && write_true_values(&file, design, comm, error) == TESS_OK)
        tess_writer_finish(&file, 0, error);
    tess_writer_release(&file);
    return error->code;
}
