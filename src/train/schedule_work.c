/* schedule_work.c -- the work of a step: observations, and the rows that they need. */
#include "tessera/schedule.h"

#include "tessera/alloc.h"

#include <string.h>

/* Are its vectors made of rows that are looked up first? */
static int is_gathered(const struct tess_dataset *dataset, int table)
{
    return table == TESS_TABLE_P || dataset->composition[table].first;
}

static int32_t *no_marks(int64_t n)
{
    int32_t *mark = TESS_NEW(int32_t, n);

    memset(mark, -1, (size_t)n * sizeof *mark);
    return mark;
}

void tess_marks_init(struct tess_marks *marks, const struct tess_dataset *dataset,
                     int64_t n_experiments)
{
    const struct tess_index *index = &dataset->store->index;

    marks->experiment = no_marks(n_experiments);
    marks->combination = no_marks(index->n_combinations);
    marks->readout = no_marks(dataset->readout.n);
    marks->context = no_marks(index->context.n);
    for (int t = 0; t < TESS_N_TABLES; t++)
        marks->row[t] = is_gathered(dataset, t) ? no_marks(dataset->composition[t].n_rows) : NULL;
}

void tess_marks_release(struct tess_marks *marks)
{
    tess_free(marks->experiment);
    tess_free(marks->combination);
    tess_free(marks->readout);
    tess_free(marks->context);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_free(marks->row[t]);
    *marks = (struct tess_marks){0};
}

int32_t tess_work_rows(const struct tess_work *work, const struct tess_dataset *dataset,
                       enum tess_embedding table, const int64_t **row)
{
    int gathered = is_gathered(dataset, table);

    *row = gathered                ? work->gathered[table].row
           : table == TESS_TABLE_R ? work->readout
                                   : work->context;
    return gathered ? work->gathered[table].n : table == TESS_TABLE_R ? work->n_r : work->n_c;
}

void tess_work_release(struct tess_work *work)
{
    tess_free(work->u);
    tess_free(work->v);
    tess_free(work->y);
    tess_free(work->dense);
    tess_free(work->row);
    tess_reads_release(&work->reads);
    tess_free(work->u_p);
    tess_free(work->u_c);
    tess_free(work->weight);
    tess_free(work->experiment);
    tess_free(work->combination);
    tess_free(work->readout);
    tess_free(work->context);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_free(work->gathered[t].row);
        tess_mix_release(&work->gathered[t].mix);
    }
    *work = (struct tess_work){0};
}

/* Room for one more in arrays that grow together. */
static int32_t more(int32_t n, int32_t room)
{
    return n < room ? room : 2 * room + 64;
}

/* The place of a number in a list without repeats: mark[number], or a new one at its end. */
static int32_t row_of(int32_t *mark, int64_t number, int32_t *n, int32_t *room, int64_t **list)
{
    if (mark[number] >= 0)
        return mark[number];
    if (*n == *room) {
        int32_t now = more(*n, *room);

        *list = tess_realloc(*list, (size_t)*n, (size_t)now, sizeof **list);
        *room = now;
    }
    (*list)[*n] = number;
    return mark[number] = (*n)++;
}

/* One more vector of a table, of n symbols; the rows that it is made of get places of their own,
 * and it lists these. */
static void gather(struct tess_work *work, struct tess_marks *marks,
                   const struct tess_schedule *schedule, enum tess_embedding table, int64_t n,
                   const int64_t *symbol)
{
    struct tess_gathered *to = &work->gathered[table];
    struct tess_mix *mix = &to->mix;

    tess_mix_add(mix, &schedule->dataset->composition[table], &schedule->encoder, n, symbol);
    for (int64_t k = mix->first[mix->n - 1]; k < mix->first[mix->n]; k++)
        mix->row[k] = row_of(marks->row[table], mix->row[k], &to->n, &to->room, &to->row);
}

/* The row of a combination at this step. */
static int32_t combination_row(struct tess_work *work, struct tess_marks *marks,
                               const struct tess_schedule *schedule, int64_t q)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t first = index->combination_first[q], n = index->combination_first[q + 1] - first;

    if (marks->combination[q] >= 0)
        return marks->combination[q];
    gather(work, marks, schedule, TESS_TABLE_P, n, index->combination_member + first);
    return row_of(marks->combination, q, &work->n_p, &work->room_p, &work->combination);
}

/* The row of a readout or context. */
static int32_t single_row(struct tess_work *work, struct tess_marks *marks,
                          const struct tess_schedule *schedule, enum tess_embedding table,
                          int64_t symbol)
{
    int is_context = table == TESS_TABLE_C;
    int32_t *mark = is_context ? marks->context : marks->readout;

    if (mark[symbol] < 0 && is_gathered(schedule->dataset, table))
        gather(work, marks, schedule, table, 1, &symbol);
    return is_context ? row_of(mark, symbol, &work->n_c, &work->room_c, &work->context)
                      : row_of(mark, symbol, &work->n_r, &work->room_r, &work->readout);
}

/* A left row of its own for the lane's i-th experiment, whose combination has row p. */
static int32_t add_left(struct tess_work *work, struct tess_marks *marks,
                        const struct tess_schedule *schedule, const struct tess_lane *lane,
                        int64_t i, int32_t p)
{
    const struct tess_dataset *dataset = schedule->dataset;
    const struct tess_index *index = &dataset->store->index;
    int32_t at = work->n_u++, room = work->room_u;

    if (at == room) {
        work->room_u = more(at, room);
        work->u_p = tess_realloc(work->u_p, (size_t)room, (size_t)work->room_u, sizeof(int32_t));
        work->u_c = tess_realloc(work->u_c, (size_t)room, (size_t)work->room_u, sizeof(int32_t));
        work->experiment =
            tess_realloc(work->experiment, (size_t)room, (size_t)work->room_u, sizeof(int64_t));
        if (dataset->weight)
            work->weight =
                tess_realloc(work->weight, (size_t)room, (size_t)work->room_u, sizeof(float));
    }
    if (dataset->weight)
        work->weight[at] = dataset->weight[lane->loaded.experiment[i]];
    work->experiment[at] = i;
    work->u_p[at] = p;
    work->u_c[at] = single_row(work, marks, schedule, TESS_TABLE_C,
                               index->context_of[lane->loaded.experiment[i]]);
    return at;
}

/* The left row of an experiment: its combination in its context. Two experiments of one
 * (combination, context) have a row each: marks are by experiment. */
static int32_t left_row(struct tess_work *work, struct tess_marks *marks,
                        const struct tess_schedule *schedule, const struct tess_lane *lane,
                        int64_t i)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    int64_t e = lane->loaded.experiment[i];

    if (marks->experiment[i] < 0)
        marks->experiment[i] =
            add_left(work, marks, schedule, lane, i,
                     combination_row(work, marks, schedule, index->combination[e]));
    return marks->experiment[i];
}

static void reserve(struct tess_work *work, int64_t n)
{
    if (n <= work->room)
        return;
    work->u = tess_realloc(work->u, (size_t)work->n, (size_t)n, sizeof *work->u);
    work->v = tess_realloc(work->v, (size_t)work->n, (size_t)n, sizeof *work->v);
    work->y = tess_realloc(work->y, (size_t)work->n, (size_t)n, sizeof *work->y);
    work->room = n;
}

static void observe(struct tess_work *work, int32_t u, int32_t v, float y)
{
    work->u[work->n] = u;
    work->v[work->n] = v;
    work->y[work->n++] = y;
}

/* n columns of the lane's i-th experiment, from `first` on or those listed, will come to y[to …].
 */
static void read_later(struct tess_work *work, const struct tess_lane *lane, int64_t i,
                       struct tess_read read)
{
    read.experiment = lane->loaded.experiment[i];
    tess_reads_add(&work->reads, read);
}

/* The model's rows of a tile's columns, and the lane's columns themselves (NULL: 0, 1, 2 …). */
static const int32_t *tile_columns(struct tess_work *work, struct tess_marks *marks,
                                   const struct tess_lane *lane,
                                   const struct tess_schedule *schedule, const struct tess_cut *cut,
                                   int32_t *v)
{
    const struct tess_dataset *dataset = schedule->dataset;
    const struct tess_index *index = &dataset->store->index;
    int64_t panel = index->panel[lane->loaded.experiment[lane->order[cut->first]]];
    const int64_t *readout = dataset->panel_readout + dataset->panel_first[panel];
    const int32_t *column = cut->readouts < 0 ? NULL : lane->readouts + cut->readouts + cut->column;

    for (int t = 0; t < cut->T; t++)
        v[t] = single_row(work, marks, schedule, TESS_TABLE_R, readout[column ? column[t] : t]);
    return column;
}

/* Missing values (NaN) are taken along: they have their places in the tile, and no loss. */
static void work_tile(struct tess_work *work, struct tess_marks *marks,
                      const struct tess_lane *lane, const struct tess_schedule *schedule,
                      const struct tess_cut *cut)
{
    int32_t *v = TESS_NEW(int32_t, cut->T);
    const int32_t *column = tile_columns(work, marks, lane, schedule, cut, v);

    for (int64_t k = cut->first; k < cut->first + cut->E; k++) {
        int64_t i = lane->order[k];
        const float *row =
            lane->loaded.value ? lane->loaded.value + lane->loaded.value_first[i] : NULL;
        int32_t u = left_row(work, marks, schedule, lane, i);

        if (!row)
            read_later(work, lane, i, (struct tess_read){0, work->n, column, 0, cut->T});
        for (int t = 0; t < cut->T; t++)
            observe(work, u, v[t], row ? row[column ? column[t] : t] : 0);
    }
    tess_free(v);
}

/* The same where all experiments are of one perturbation, and none comes twice at a step: its row
 * is looked up once, and no experiment is marked. */
static void work_perturbation(struct tess_work *work, struct tess_marks *marks,
                              const struct tess_lane *lane, const struct tess_schedule *schedule,
                              const struct tess_cut *cut)
{
    const struct tess_index *index = &schedule->dataset->store->index;
    const struct tess_loaded *loaded = &lane->loaded;
    int64_t q = index->combination[loaded->experiment[lane->order[cut->first]]];
    int32_t p = combination_row(work, marks, schedule, q), v;

    tile_columns(work, marks, lane, schedule, cut, &v);
    for (int64_t k = cut->first; k < cut->first + cut->E; k++) {
        int64_t i = lane->order[k];

        if (!loaded->value)
            read_later(work, lane, i, (struct tess_read){0, work->n, NULL, 0, 1});
        observe(work, add_left(work, marks, schedule, lane, i, p), v,
                loaded->value ? loaded->value[loaded->value_first[i]] : 0);
    }
}

static void *more_room(void *block, int64_t *room, int64_t used, int64_t need, size_t size)
{
    int64_t now = 2 * need + 64;

    if (need <= *room)
        return block;
    *room = now;
    return tess_realloc(block, (size_t)used, (size_t)now, size);
}

/* The same as one dense block, without a copy of the targets, or with targets that will be read
 * next to each other. Its lists lie behind those of the blocks before; as these may move, pointers
 * are set when all blocks are there (point_dense). */
static void work_dense(struct tess_work *work, struct tess_marks *marks,
                       const struct tess_lane *lane, const struct tess_schedule *schedule,
                       const struct tess_cut *cut)
{
    int64_t rows = work->n_rows, columns = work->n_columns, room = work->room_rows;
    struct tess_dense *dense;

    work->dense =
        tess_grow(work->dense, &work->room_dense, (size_t)work->n_dense + 1, sizeof *work->dense);
    work->u = more_room(work->u, &room, rows, rows + cut->E, sizeof *work->u);
    work->row = more_room(work->row, &work->room_rows, rows, rows + cut->E, sizeof *work->row);
    work->v = more_room(work->v, &work->room_columns, columns, columns + cut->T, sizeof *work->v);
    dense = &work->dense[work->n_dense++];
    *dense = (struct tess_dense){.E = cut->E, .T = cut->T};
    dense->column = tile_columns(work, marks, lane, schedule, cut, work->v + columns);
    for (int32_t k = 0; k < cut->E; k++) {
        int64_t i = lane->order[cut->first + k];

        work->u[rows + k] = left_row(work, marks, schedule, lane, i);
        if (lane->loaded.value)
            work->row[rows + k] = lane->loaded.value + lane->loaded.value_first[i];
        else
            read_later(
                work, lane, i,
                (struct tess_read){0, work->n + (int64_t)k * cut->T, dense->column, 0, cut->T});
    }
    work->n_rows += cut->E;
    work->n_columns += cut->T;
    work->n += (int64_t)cut->E * cut->T;
}

/* streams: targets are where they will be read to. */
static void point_dense(struct tess_work *work, int streams)
{
    int64_t rows = 0, columns = 0, n = 0;

    for (int i = 0; i < work->n_dense; i++) {
        struct tess_dense *dense = &work->dense[i];

        dense->u = work->u + rows;
        dense->y = work->row + rows;
        dense->v = work->v + columns;
        if (streams)
            dense->column = NULL;
        for (int e = 0; streams && e < dense->E; e++, n += dense->T)
            work->row[rows + e] = work->y + n;
        rows += dense->E;
        columns += dense->T;
    }
}

/* The last experiment that begins at or before a place: those without values begin there, too. */
static int64_t experiment_of(const struct tess_loaded *loaded, int64_t place)
{
    int64_t low = 0, high = loaded->n - 1;

    while (low < high) {
        int64_t middle = (low + high + 1) / 2;

        if (loaded->value_first[middle] <= place)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void work_picks(struct tess_work *work, struct tess_marks *marks,
                       const struct tess_lane *lane, const struct tess_schedule *schedule,
                       int64_t step)
{
    const struct tess_dataset *dataset = schedule->dataset;
    const struct tess_index *index = &dataset->store->index;
    int64_t first = step * lane->share, end = first + lane->share;

    end = end < lane->n_picks ? end : lane->n_picks;
    reserve(work, end - first);
    for (int64_t k = first; k < end; k++) {
        int64_t place = lane->pick[k], i = experiment_of(&lane->loaded, place);
        int64_t panel = index->panel[lane->loaded.experiment[i]];
        int64_t column = dataset->panel_first[panel] + place - lane->loaded.value_first[i];
        int32_t u = left_row(work, marks, schedule, lane, i);
        int32_t v = single_row(work, marks, schedule, TESS_TABLE_R, dataset->panel_readout[column]);

        if (!lane->loaded.value)
            read_later(work, lane, i,
                       (struct tess_read){0, work->n, NULL,
                                          (int32_t)(column - dataset->panel_first[panel]), 1});
        observe(work, u, v, lane->loaded.value ? lane->loaded.value[place] : 0);
    }
}

static void work_tiles(struct tess_work *work, struct tess_marks *marks,
                       const struct tess_lane *lane, const struct tess_schedule *schedule,
                       int64_t step)
{
    const struct tess_cut *first = lane->tile + lane->step_first[step];
    const struct tess_cut *end = lane->tile + lane->step_first[step + 1];
    int dense = tess_schedule_dense(schedule), together = tess_schedule_by_perturbation(schedule);
    int streams = schedule->config->data.streaming != 0;
    int64_t n = 0;

    for (const struct tess_cut *cut = first; cut < end; cut++)
        n += (int64_t)cut->E * cut->T;
    if (!dense)
        reserve(work, n);
    else if (streams)
        work->y = more_room(work->y, &work->room, 0, n, sizeof *work->y);
    for (const struct tess_cut *cut = first; cut < end; cut++)
        (dense      ? work_dense
         : together ? work_perturbation
                    : work_tile)(work, marks, lane, schedule, cut);
    point_dense(work, streams);
}

/* Marks are set back one by one: clearing whole arrays would cost more than a step. */
static void forget(struct tess_marks *marks, const struct tess_work *work, int experiments)
{
    for (int32_t i = 0; i < work->n_u && experiments; i++)
        marks->experiment[work->experiment[i]] = -1;
    for (int32_t i = 0; i < work->n_p; i++)
        marks->combination[work->combination[i]] = -1;
    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int32_t i = 0; i < work->gathered[t].n; i++)
            marks->row[t][work->gathered[t].row[i]] = -1;
    for (int32_t i = 0; i < work->n_r; i++)
        marks->readout[work->readout[i]] = -1;
    for (int32_t i = 0; i < work->n_c; i++)
        marks->context[work->context[i]] = -1;
}

void tess_lane_work(const struct tess_lane *lane, const struct tess_schedule *schedule,
                    int64_t step, struct tess_marks *marks, struct tess_work *work)
{
    work->n = work->n_rows = work->n_columns = 0;
    work->reads.n = 0;
    work->n_u = work->n_p = work->n_r = work->n_c = work->n_dense = 0;
    for (int t = 0; t < TESS_N_TABLES; t++) {
        work->gathered[t].n = 0;
        tess_mix_clear(&work->gathered[t].mix);
    }
    if (step >= lane->n_steps)
        return;
    if (schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS)
        work_picks(work, marks, lane, schedule, step);
    else
        work_tiles(work, marks, lane, schedule, step);
    work->reads.target = work->y;
    forget(marks, work,
           schedule->config->train.sampling == TESS_SAMPLING_OBSERVATIONS ||
               !tess_schedule_by_perturbation(schedule));
}
