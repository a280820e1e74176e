/* source_long.c -- long tables: one observation a line, in columns for perturbation, context,
 * readout and value.
 *
 * A line's metadata are a tuple of symbols, and distinct tuples are groups. The k-th value of the
 * same readout in a group belongs to the group's k-th row (a further replicate). While the file is
 * read an observation is 16 bytes: its group, its readout, its value. They lie in blocks, so that
 * nothing is copied as they grow, and are then sorted by group in place, stably: each
 * observation's place is counted out, and the cycles of that permutation are followed. */
#include "formats.h"

#include "tessera/alloc.h"
#include "tessera/cells.h"
#include "tessera/error.h"
#include "tessera/table.h"
#include "tessera/tuples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BITS       18
#define BLOCK            ((int64_t)1 << BLOCK_BITS)
#define AT_ONCE          ((int64_t)1 << 20) /* observations to read at a time */
#define DEFAULT(x, name) ((x) ? (x) : (name))

struct observation {
    int64_t place; /* its group; then its place among all; then its order within the group */
    int32_t readout;
    float value;
};

struct state {
    struct tess_table table; /* its file is closed when the rows are known */
    struct tess_symbols readout;
    struct tess_tuples group; /* a line's metadata */
    int64_t *line; /* (group.n) first line; own */
    size_t room_line;
    struct observation **block; /* own */
    size_t room;
    int64_t n_blocks, n_observations;
    int64_t *row_group; /* (n_rows) own */
    int64_t *row_first; /* (n_rows + 1) into observations; own */
    size_t room_group, room_first;
};

/* ---- reading ---- */

static int64_t add_group(struct state *state, const int32_t *code, int64_t line)
{
    int64_t before = state->group.n, number = tess_tuples_add(&state->group, code);

    if (number == before) {
        state->line =
            tess_grow(state->line, &state->room_line, (size_t)before + 1, sizeof state->line[0]);
        state->line[number] = line;
    }
    return number;
}

static struct observation *observation_at(const struct state *state, int64_t i)
{
    return &state->block[i >> BLOCK_BITS][i & (BLOCK - 1)];
}

static int add_observation(struct state *state, struct observation one, struct tess_error *error)
{
    if (state->n_observations == state->n_blocks * BLOCK) {
        struct observation *block =
            tess_alloc_large((size_t)BLOCK, sizeof *block, "the values of a long table", error);

        if (!block)
            return error->code;
        state->block = tess_grow(state->block, &state->room, (size_t)state->n_blocks + 1,
                                 sizeof(struct observation *));
        state->block[state->n_blocks++] = block;
    }
    *observation_at(state, state->n_observations++) = one;
    return TESS_OK;
}

/* Filters come first: what is left out is not numbered, and is no problem. A value that is no
 * number stays as NaN, for its line belongs to a row all the same. */
static int read_lines(struct tess_source *source, const int64_t column[2],
                      struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state;
    const struct tess_source_options *options = source->options;
    struct tess_table *table = &state->table;
    int64_t readout = column[0], value = column[1];
    const char *path = table->lines.path, *readout_name = table->name.item[readout];
    int32_t *tuple = TESS_NEW(int32_t, table->n_metadata);
    struct tess_cells cells;
    int more;

    tess_cells_init(&cells, 1, path, options, "--value names the column of the values");
    tess_tuples_init(&state->group, table->n_metadata);
    while ((more = tess_table_next(table, problems, error)) == 1) {
        struct observation one = {0};

        if (!tess_filter_keeps_line(options->filter, source->by_line, table)) {
            source->n_unwanted++;
            continue;
        }
        for (int64_t i = 0; i < table->n_metadata; i++)
            tuple[i] = tess_symbols_add(&table->code[i], &table->field[table->metadata[i]]);
        one.readout = tess_symbols_add(&state->readout, &table->field[readout]);
        if (one.readout < 0) {
            tess_problems_add(problems, path, table->lines.number, readout_name,
                              "the readout is missing");
            continue;
        }
        one.value = tess_cells_read(&cells, 0, &table->field[value], table->lines.number,
                                    table->name.item[value], problems);
        one.place = add_group(state, tuple, table->lines.number);
        if (add_observation(state, one, error))
            break;
    }
    tess_cells_report(&cells, 0, value + 1, table->name.item[value], problems);
    tess_cells_release(&cells);
    tess_free(tuple);
    return error->code;
}

/* ---- from observations in the file's order to rows ---- */

/* Sorts by group, stably. Returns (n_groups + 1) first observations; own of the caller. Groups are
 * counted two places on, summed up, and first[g + 1] then runs from the beginning of group g to its
 * end, where it is the beginning of group g + 1. */
static int64_t *sort_by_group(struct state *state)
{
    int64_t n_groups = state->group.n, *first = TESS_NEW(int64_t, n_groups + 2);

    for (int64_t i = 0; i < state->n_observations; i++)
        first[observation_at(state, i)->place + 2]++;
    for (int64_t g = 0; g < n_groups; g++)
        first[g + 2] += first[g + 1];
    for (int64_t i = 0; i < state->n_observations; i++) {
        struct observation *one = observation_at(state, i);

        one->place = first[one->place + 1]++;
    }
    for (int64_t i = 0; i < state->n_observations; i++) {
        struct observation *one = observation_at(state, i);

        /* each exchange brings one observation to its place: n of them at most */
        while (one->place != i) {
            struct observation *other = observation_at(state, one->place), keep = *other;

            *other = *one;
            *one = keep;
        }
    }
    return first;
}

static int by_readout(const void *a, const void *b)
{
    const struct observation *x = a, *y = b;

    if (x->readout != y->readout)
        return x->readout < y->readout ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static int by_repeat(const void *a, const void *b)
{
    const struct observation *x = a, *y = b;

    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return (x->readout > y->readout) - (x->readout < y->readout);
}

static int is_ascending(const struct observation *one, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (one[i].readout <= one[i - 1].readout)
            return 0;
    return 1;
}

/* Orders a group by (k-th occurrence of the readout, readout); k is left in `place`. */
static void order_group(struct observation *one, int64_t n)
{
    int64_t repeats = 0;

    if (is_ascending(one, n)) {
        for (int64_t i = 0; i < n; i++)
            one[i].place = 0;
        return;
    }
    qsort(one, (size_t)n, sizeof *one, by_readout);
    for (int64_t i = 0; i < n; i++) {
        one[i].place = i > 0 && one[i].readout == one[i - 1].readout ? one[i - 1].place + 1 : 0;
        repeats += one[i].place > 0;
    }
    if (repeats)
        qsort(one, (size_t)n, sizeof *one, by_repeat);
}

static void add_row(struct tess_source *source, int64_t group, int64_t first)
{
    struct state *state = source->state;
    size_t n = (size_t)source->n_rows++;

    state->row_group =
        tess_grow(state->row_group, &state->room_group, n + 1, sizeof state->row_group[0]);
    state->row_first =
        tess_grow(state->row_first, &state->room_first, n + 2, sizeof state->row_first[0]);
    state->row_group[n] = group;
    state->row_first[n] = first;
    tess_source_add_line(source, (int64_t)n, state->line[group]);
}

static void make_rows(struct tess_source *source)
{
    struct state *state = source->state;
    int64_t *first = sort_by_group(state);
    struct observation *group = NULL;
    size_t room = 0;

    for (int64_t g = 0; g < state->group.n; g++) {
        int64_t n = first[g + 1] - first[g];

        group = tess_grow(group, &room, (size_t)n, sizeof *group);
        for (int64_t i = 0; i < n; i++)
            group[i] = *observation_at(state, first[g] + i);
        order_group(group, n);
        for (int64_t i = 0; i < n; i++) {
            if (i == 0 || group[i].place != group[i - 1].place)
                add_row(source, g, first[g] + i);
            *observation_at(state, first[g] + i) = group[i];
        }
    }
    state->row_first[source->n_rows] = state->n_observations;
    tess_free(group);
    tess_free(first);
}

/* ---- the kind's functions ---- */

/* It is long if it has the column for readouts, or the one for values where options name it. (A
 * column that happens to be called `value` may be a wide table's only readout.) */
static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    struct tess_strings name = {0};
    int found;

    (void)path;
    found = tess_table_recognize(head, n_head, &name) > 0 &&
            (tess_strings_find(&name, DEFAULT(options->readout, "readout")) >= 0 ||
             (options->value && tess_strings_find(&name, options->value) >= 0));
    tess_strings_release(&name);
    return found;
}

static void describe(struct tess_source *source)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    const struct tess_intern *readout = &state->readout.intern;

    source->kind = tess_table_kind(table, "long table");
    for (int64_t i = 0; i < table->n_metadata; i++)
        tess_strings_add(&source->column, table->name.item[table->metadata[i]]);
    for (int64_t i = 0; i < readout->n; i++)
        tess_strings_add(&source->readout, readout->text[i]);
    source->n_readouts = readout->n;
    source->ragged = 1;
    source->rows_at_once = AT_ONCE * source->n_rows / state->n_observations + 1;
    tess_symbols_release(&state->readout);
    tess_lines_release(&state->table.lines);
}

static int open_long(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state = TESS_NEW(struct state, 1);
    const char *readout_name = DEFAULT(options->readout, "readout");
    const char *value_name = DEFAULT(options->value, "value");
    struct tess_source_options labels = *options; /* filters part no lines */
    int64_t column[2]; /* of the readout, of the value */

    labels.filters_lines = 1;
    if (tess_table_open(&state->table, source->path, source->place, &labels, error))
        return error->code;
    if (state->table.key >= 0)
        source->key = tess_strdup(state->table.name.item[state->table.key]);
    column[0] = tess_table_find(&state->table, readout_name);
    column[1] = tess_table_find(&state->table, value_name);
    if (column[0] < 0)
        return tess_table_miss(&state->table, readout_name, "--readout", error);
    if (column[1] < 0)
        return tess_table_miss(&state->table, value_name, "--value", error);
    source->by_line = tess_filter_columns(options->filter, &state->table);
    if (read_lines(source, column, problems, error))
        return error->code;
    if (state->n_observations == 0)
        return tess_error_set(error, TESS_EDATA,
                              source->n_unwanted ? "%s: --keep and --drop leave no line of it"
                                                 : "%s: a header, but no usable rows below it",
                              source->path);
    make_rows(source);
    describe(source);
    return TESS_OK;
}

static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    const struct state *state = source->state;
    const struct tess_tuples *group = &state->group;
    int64_t at = tess_strings_find(&source->column, name);
    int32_t *code;

    if (at < 0)
        return tess_column_miss(source->path, name, &source->column, error);
    code = TESS_NEW(int32_t, source->n_rows);
    for (int64_t row = 0; row < source->n_rows; row++)
        code[row] = group->code[state->row_group[row] * group->width + at];
    tess_symbols_column(&state->table.code[at], source->n_rows, code, column);
    tess_free(code);
    return TESS_OK;
}

static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    const struct state *state = source->state;
    int64_t from, count;
    size_t room;

    (void)problems; /* were found when the file was opened */
    (void)error;
    from = n > 0 ? state->row_first[first] : 0;
    count = n > 0 ? state->row_first[first + n] - from : 0;
    room = block->room_data;
    block->first = first;
    block->n = n;
    block->fill = NAN;
    block->indptr =
        tess_grow(block->indptr, &block->room_rows, (size_t)n + 1, sizeof block->indptr[0]);
    block->index = tess_grow(block->index, &room, (size_t)count, sizeof block->index[0]);
    block->data = tess_grow(block->data, &block->room_data, (size_t)count, sizeof block->data[0]);
    block->indptr[0] = 0;
    for (int64_t i = 0; i < n; i++)
        block->indptr[i + 1] = state->row_first[first + i + 1] - from;
    for (int64_t i = 0; i < count; i++) {
        const struct observation *one = observation_at(state, from + i);

        block->index[i] = one->readout;
        block->data[i] = one->value;
    }
    return TESS_OK;
}

static void release(struct tess_source *source)
{
    struct state *state = source->state;

    if (!state)
        return;
    for (int64_t i = 0; i < state->n_blocks; i++)
        tess_free(state->block[i]);
    tess_free(state->block);
    tess_free(state->row_group);
    tess_free(state->row_first);
    tess_tuples_release(&state->group);
    tess_free(state->line);
    tess_symbols_release(&state->readout);
    tess_table_release(&state->table);
    tess_free(state);
    source->state = NULL;
}

const struct tess_source_type tess_source_long = {
    "long table", recognize, open_long, read_column, read_rows, release,
};
