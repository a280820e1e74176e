/* table_reader.c -- pages of rows: a place for each that is kept, a clock that says which one goes
 * (F. Corbató, "A paging experiment with the Multics system", 1968). */
#include "table_reader.h"

#include "tessera/alloc.h"
#include "tessera/agree.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"

#include <stdlib.h>
#include <string.h>

#define PAGE TESS_TABLE_READER_ROWS
#define RUN  64 /* pages that are read at once, if they are neighbours */

/* What of the state reading rows goes by. The rates are replayed, so that the optimiser's other
 * numbers have rank 0's bits. Collective. */
static void share_state(struct tess_state *mine, const struct tess_state *state, MPI_Comm comm)
{
    int64_t step = state->optimizer.step;
    int rank;
    double *rate;

    MPI_Comm_rank(comm, &rank);
    *mine = (struct tess_state){.version = 0};
    if (rank == 0) {
        mine->config = state->config;
        mine->shape = state->shape;
        for (int t = 0; t < TESS_N_TABLES; t++) {
            mine->vocab[t].n = state->vocab[t].n;
            mine->n_parts[t] = state->n_parts[t];
        }
    }
    tess_broadcast(comm, &step, sizeof step);
    tess_broadcast(comm, &mine->config, sizeof mine->config);
    tess_broadcast(comm, &mine->shape, sizeof mine->shape);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_broadcast(comm, &mine->vocab[t].n, sizeof mine->vocab[t].n);
    tess_broadcast(comm, mine->n_parts, sizeof mine->n_parts);
    rate = TESS_NEW(double, step + 1);
    if (rank == 0)
        memcpy(rate, state->optimizer.rate, (size_t)(step + 1) * sizeof *rate);
    tess_broadcast(comm, rate, (size_t)(step + 1) * sizeof *rate);
    tess_optimizer_init(&mine->optimizer, &mine->config);
    for (int64_t t = 1; t <= step; t++)
        tess_optimizer_begin(&mine->optimizer, rate[t]);
    tess_free(rate);
}

int tess_table_reader_open(struct tess_table_reader *reader, const char *path,
                           const struct tess_state *state, enum tess_embedding table, MPI_Comm comm,
                           struct tess_error *error)
{
    *reader = (struct tess_table_reader){.h5 = TESS_H5_INIT, .table = table};
    share_state(&reader->state, state, comm);
    reader->n_pages = (tess_state_rows(&reader->state, table) + PAGE - 1) / PAGE;
    reader->slot_of = TESS_NEW(int64_t, reader->n_pages);
    tess_table_reader_allow(reader, TESS_TABLE_READER_BYTES);
    tess_h5_guard_start(path);
    tess_h5_open(&reader->h5, path, MPI_COMM_NULL, 0, error);
    tess_h5_guard_finish();
    return tess_agree(comm, error);
}

static int64_t page_floats(const struct tess_table_reader *reader)
{
    return (int64_t)PAGE * reader->state.shape.dim;
}

static void release_slots(struct tess_table_reader *reader)
{
    for (int64_t s = 0; s < reader->n_slots; s++)
        tess_free(reader->row[s]);
    tess_free(reader->page_in);
    tess_free(reader->row);
    tess_free(reader->used);
    reader->n_slots = reader->hand = 0;
}

void tess_table_reader_allow(struct tess_table_reader *reader, double bytes)
{
    double pages = bytes / (double)(page_floats(reader) * (int64_t)sizeof(float));

    release_slots(reader);
    memset(reader->slot_of, 0, (size_t)reader->n_pages * sizeof *reader->slot_of);
    reader->n_slots = pages < 1                         ? 1
                      : pages < (double)reader->n_pages ? (int64_t)pages
                                                        : reader->n_pages;
    reader->page_in = TESS_NEW(int64_t, reader->n_slots);
    reader->row = TESS_NEW(float *, reader->n_slots);
    reader->used = TESS_NEW(uint8_t, reader->n_slots);
}

double tess_table_reader_bytes(const struct tess_table_reader *reader)
{
    return (double)(reader->n_slots * page_floats(reader)) * sizeof(float);
}

double tess_table_reader_least(const struct tess_table_reader *reader)
{
    return (double)page_floats(reader) * sizeof(float);
}

double tess_table_reader_run(const struct tess_table_reader *reader)
{
    double pages = reader->n_pages < RUN ? (double)reader->n_pages : RUN;

    return pages * (tess_table_reader_least(reader) +
                    (double)PAGE * (double)tess_row_state_bytes(reader->state.shape.dim));
}

void tess_table_reader_release(struct tess_table_reader *reader)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    release_slots(reader);
    tess_free(reader->slot_of);
    tess_optimizer_release(&reader->state.optimizer);
    tess_h5_close(&reader->h5, &ignored);
    *reader = (struct tess_table_reader){.h5 = TESS_H5_INIT};
}

/* A slot for a page: the first under the hand that was not used since the hand last came by. */
static int64_t take_slot(struct tess_table_reader *reader, int64_t page)
{
    int64_t s;

    while (reader->used[reader->hand]) {
        reader->used[reader->hand] = 0;
        reader->hand = (reader->hand + 1) % reader->n_slots;
    }
    s = reader->hand;
    reader->hand = (reader->hand + 1) % reader->n_slots;
    if (reader->page_in[s])
        reader->slot_of[reader->page_in[s] - 1] = 0;
    if (!reader->row[s])
        reader->row[s] = TESS_NEW(float, page_floats(reader));
    reader->page_in[s] = page + 1;
    reader->slot_of[page] = s + 1;
    return s;
}

/* The row's numbers, if its page is kept. */
static const float *kept(struct tess_table_reader *reader, int64_t row)
{
    int64_t s = reader->slot_of[row / PAGE] - 1;

    if (s < 0)
        return NULL;
    reader->used[s] = 1;
    return reader->row[s] + row % PAGE * reader->state.shape.dim;
}

/* A row that is asked for, and where it goes. */
struct asked {
    int64_t row, to;
};

static int compare(const void *a, const void *b)
{
    const struct asked *x = a, *y = b;

    return x->row != y->row ? (x->row < y->row ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

/* Reads the run of pages that begins with the first of n sorted rows, takes from it what of them
 * lies there, and keeps the pages. Returns how many rows that were. */
static int64_t read_run(struct tess_table_reader *reader, int64_t n, const struct asked *asked,
                        float *out, struct tess_error *error)
{
    int64_t dim = reader->state.shape.dim, first = asked[0].row / PAGE, end = first + 1, took = 0;
    int64_t n_rows = tess_state_rows(&reader->state, reader->table);
    struct tess_state_range part = {first * PAGE, 0};
    float *run;

    for (; took < n && asked[took].row / PAGE <= end && asked[took].row / PAGE < first + RUN;
         took++)
        end = asked[took].row / PAGE + 1;
    part.n = end * PAGE < n_rows ? (end - first) * PAGE : n_rows - part.first;
    run = TESS_NEW(float, (end - first) * page_floats(reader));
    tess_checkpoint_read_rows(&reader->h5, &reader->state, reader->table, part, run, error);
    for (int64_t i = 0; i < took; i++)
        memcpy(out + asked[i].to * dim, run + (asked[i].row - part.first) * dim,
               (size_t)dim * sizeof *out);
    for (int64_t page = first; page < end && error->code == TESS_OK; page++)
        if (!reader->slot_of[page])
            memcpy(reader->row[take_slot(reader, page)], run + (page - first) * page_floats(reader),
                   (size_t)page_floats(reader) * sizeof *run);
    tess_free(run);
    return took;
}

int tess_table_reader_rows(struct tess_table_reader *reader, int64_t n, const int64_t *row,
                           float *out, struct tess_error *error)
{
    int64_t dim = reader->state.shape.dim, missing = 0;
    struct asked *asked = TESS_NEW(struct asked, n);

    for (int64_t i = 0; i < n; i++) {
        const float *from = kept(reader, row[i]);

        if (from)
            memcpy(out + i * dim, from, (size_t)dim * sizeof *out);
        else
            asked[missing++] = (struct asked){row[i], i};
    }
    qsort(asked, (size_t)missing, sizeof *asked, compare);
    for (int64_t i = 0; i < missing && error->code == TESS_OK;)
        i += read_run(reader, missing - i, asked + i, out, error);
    tess_free(asked);
    return error->code;
}
