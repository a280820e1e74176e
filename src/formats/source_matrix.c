/* source_matrix.c -- tables whose columns are perturbations or contexts: drugs × cell lines, genes
 * × samples.
 *
 * A cell is an observation of the column's perturbation (or context); the line says the rest: its
 * other labels, and with --readout the readout. Lines of the same labels are a group, as in a long
 * table: the k-th line of the same readout belongs to the group's k-th unit. A unit makes one row
 * of each column, so that row = unit · columns + column.
 *
 * Opening reads the labels of the lines and keeps 16 bytes for each. Values are read when they are
 * asked for, in one pass over the lines of the wanted units, so that memory holds one block of rows
 * however large the table is: where a unit has many lines (genes), a block is as many columns as
 * fit, and the file is read once for each block. */
#include "formats.h"

#include "tessera/alloc.h"
#include "tessera/cells.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/number.h"
#include "tessera/table.h"
#include "tessera/tuples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE  ((int64_t)1 << 20) /* rows of a block, at most … */
#define VALUES   ((int64_t)1 << 26) /* … and its values, 8 bytes each */
#define ONE_NAME "value" /* of the only readout, unless --readout names it */

struct line {
    int32_t unit; /* -1: the line is left out; while it is read, its group */
    int32_t readout;
    int32_t place; /* of the readout among those of the unit */
    int32_t repeat;
};

struct state {
    struct tess_table table;
    struct tess_cells cells; /* by column of values */
    struct tess_symbols readout;
    int names_nobody_asks_for; /* the nameless first column is no label, and holds text */
    int64_t naming; /* the column that names readouts; -1: there is one readout */
    int64_t n_columns, *column; /* of values, in the file; own */
    int32_t **code; /* (n_metadata)(n_lines) own */
    size_t *room; /* (n_metadata) own */
    struct tess_tuples group, unit; /* labels of a line; (group, repeat) */
    int64_t n_lines;
    struct line *line; /* (n_lines) own */
    int64_t *number; /* (n_lines) in the file; own */
    size_t room_line, room_number;
    int64_t *first; /* (n_units + 1) into sorted; own */
    int32_t *sorted; /* (n_lines) readouts of each unit, ascending; own */
    int64_t *begin, *end; /* (n_units) its first line, behind its last; own */
    int64_t next; /* the line of the file that follows */
    int64_t reported; /* rows whose bad values have been reported */
};

static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    struct tess_strings name = {0};
    int separator = tess_table_recognize(head, n_head, &name);

    (void)path;
    tess_strings_release(&name);
    return options->columns != TESS_COLUMNS_READOUT && separator >= 0;
}

/* ---- opening ---- */

/* The columns of values: no labels, not the one that names the readouts, none of --id-columns. */
static int find_columns(struct tess_source *source, struct tess_problems *problems,
                        struct tess_error *error)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    const struct tess_strings *without = &source->options->id_columns;
    int64_t n;

    for (size_t i = 0; i < without->n; i++)
        if (!tess_text_is_pattern(without->item[i]) && tess_table_find(table, without->item[i]) < 0)
            return tess_table_miss(table, without->item[i], "--id-columns", error);
    state->column = TESS_NEW(int64_t, table->name.n);
    n = tess_table_values(table, source->options, state->column, error);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = state->column[k];
        const char *name = table->name.item[at];
        int left_out = at == state->naming;

        for (size_t i = 0; source->options->filter && i < source->options->filter->n; i++)
            left_out |= source->by_line[i] == at;
        for (size_t i = 0; i < without->n; i++)
            left_out |=
                strcmp(without->item[i], name) == 0 ||
                (tess_text_is_pattern(without->item[i]) && tess_text_match(without->item[i], name));
        if (!*name && !left_out)
            tess_problems_add(problems, source->path, table->header, NULL,
                              "column %lld has no name", (long long)at + 1);
        else if (!left_out)
            state->column[state->n_columns++] = at;
    }
    if (n >= 0 && state->n_columns == 0)
        tess_error_set(error, TESS_EDATA, "%s: every column is metadata: no values", source->path);
    return error->code;
}

static void add_line(struct state *state, int32_t readout)
{
    const struct tess_table *table = &state->table;
    size_t n = (size_t)state->n_lines++;
    int32_t *label = TESS_NEW(int32_t, table->n_metadata);

    for (int64_t i = 0; i < table->n_metadata; i++) {
        state->code[i] =
            tess_grow(state->code[i], &state->room[i], n + 1, sizeof state->code[i][0]);
        label[i] = tess_symbols_add(&table->code[i], &table->field[table->metadata[i]]);
        state->code[i][n] = label[i];
    }
    state->line = tess_grow(state->line, &state->room_line, n + 1, sizeof state->line[0]);
    state->number = tess_grow(state->number, &state->room_number, n + 1, sizeof state->number[0]);
    state->number[n] = table->lines.number;
    state->line[n] = (struct line){.readout = readout, .unit = -1};
    if (readout >= 0)
        state->line[n].unit = (int32_t)tess_tuples_add(&state->group, label);
    tess_free(label);
}

/* Is the nameless first column, an index, no label of the lines? */
static int has_idle_index(const struct tess_table *table)
{
    int idle = table->indexed;

    for (int64_t i = 0; i < table->n_metadata; i++)
        idle &= table->metadata[i] != 0;
    return idle;
}

/* Lines that are left out get a place in the list as well: line i of it is the i-th of the file, on
 * which go_to counts. A number in an index means nothing; a name in it may be a gene. */
static int read_labels(struct tess_source *source, struct tess_problems *problems,
                       struct tess_error *error)
{
    struct state *state = source->state;
    struct tess_table *table = &state->table;
    int idle = has_idle_index(table) && state->naming != 0, more;
    float number;

    while ((more = tess_table_next(table, problems, error)) == 1) {
        int32_t readout = 0;

        if (idle &&
            tess_number_read(table->field[0].text, table->field[0].n, &number) == TESS_NUMBER_NONE)
            state->names_nobody_asks_for = 1;

        if (state->naming >= 0) {
            readout = tess_symbols_add(&state->readout, &table->field[state->naming]);
            if (readout < 0)
                tess_problems_add(problems, source->path, table->lines.number,
                                  table->name.item[state->naming], "the readout is missing");
        }
        if (!tess_filter_keeps_line(source->options->filter, source->by_line, table)) {
            source->n_unwanted++;
            readout = -1;
        }
        if (state->n_lines == INT32_MAX)
            return tess_error_set(error, TESS_EDATA, "%s: more than 2^31 lines", source->path);
        add_line(state, readout);
    }
    return error->code;
}

struct key {
    int32_t unit, readout;
    int64_t line;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;

    if (x->unit != y->unit)
        return x->unit < y->unit ? -1 : 1;
    if (x->readout != y->readout)
        return x->readout < y->readout ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

/* Lines by unit (or group), readout, place in the file. Those left out come first. */
static void sort_lines(const struct state *state, struct key *key)
{
    for (int64_t i = 0; i < state->n_lines; i++)
        key[i] = (struct key){state->line[i].unit, state->line[i].readout, i};
    qsort(key, (size_t)state->n_lines, sizeof *key, compare_keys);
}

/* From groups to units, numbered in the order of their first lines. */
static void number_units(struct state *state, struct key *key)
{
    sort_lines(state, key);
    for (int64_t i = 1; i < state->n_lines; i++)
        if (key[i].unit == key[i - 1].unit && key[i].readout == key[i - 1].readout)
            state->line[key[i].line].repeat = state->line[key[i - 1].line].repeat + 1;
    for (int64_t i = 0; i < state->n_lines; i++) {
        struct line *line = &state->line[i];
        int32_t pair[2] = {line->unit, line->repeat};

        if (line->unit >= 0)
            line->unit = (int32_t)tess_tuples_add(&state->unit, pair);
    }
}

/* Sorted twice: by group, to number the repeats, and by unit, which those numbers make. A unit's
 * lines may lie anywhere in the file: begin and end are what read_rows has to go through. */
static void make_units(struct tess_source *source)
{
    struct state *state = source->state;
    struct key *key = TESS_NEW(struct key, state->n_lines);
    int64_t n = 0;

    number_units(state, key);
    sort_lines(state, key);
    state->first = TESS_NEW(int64_t, state->unit.n + 1);
    state->begin = TESS_NEW(int64_t, state->unit.n);
    state->end = TESS_NEW(int64_t, state->unit.n);
    state->sorted = TESS_NEW(int32_t, state->n_lines);
    for (int64_t i = 0; i < state->n_lines; i++) {
        int32_t unit = key[i].unit;
        int is_first = i == 0 || key[i - 1].unit != unit;

        if (unit < 0)
            continue;
        if (is_first)
            state->first[unit] = n;
        if (is_first || key[i].line < state->begin[unit])
            state->begin[unit] = key[i].line;
        if (key[i].line >= state->end[unit])
            state->end[unit] = key[i].line + 1;
        state->line[key[i].line].place = (int32_t)(n - state->first[unit]);
        state->sorted[n++] = key[i].readout;
    }
    state->first[state->unit.n] = n;
    for (int64_t u = 0; u < state->unit.n; u++)
        tess_source_add_line(source, u, state->number[state->begin[u]]);
    tess_free(state->number);
    tess_free(key);
    state->number = NULL;
}

static int describe(struct tess_source *source, struct tess_error *error)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    const char *only = source->options->readout ? source->options->readout : ONE_NAME;
    int64_t n_units = state->unit.n, longest = 1, at_once;

    if (n_units > INT32_MAX / state->n_columns)
        return tess_error_set(error, TESS_EDATA, "%s: more than 2^31 cells: import it in parts",
                              source->path);
    for (int64_t u = 0; u < n_units; u++)
        if (state->first[u + 1] - state->first[u] > longest)
            longest = state->first[u + 1] - state->first[u];
    at_once = VALUES / longest < AT_ONCE ? VALUES / longest : AT_ONCE;
    /* whole units: no line has to be read for two blocks */
    if (at_once > state->n_columns)
        at_once -= at_once % state->n_columns;
    source->rows_at_once = at_once;
    source->kind = tess_table_kind(table, source->options->columns == TESS_COLUMNS_CONTEXT
                                              ? "matrix with a column for each context"
                                              : "matrix with a column for each perturbation");
    source->n_rows = n_units * state->n_columns;
    source->rows_a_line = state->n_columns;
    source->n_readouts = state->naming < 0 ? 1 : state->readout.intern.n;
    for (int64_t i = 0; i < source->n_readouts; i++)
        tess_strings_add(&source->readout,
                         state->naming < 0 ? only : state->readout.intern.text[i]);
    source->ragged = source->skips_empty = 1;
    state->next = state->n_lines + 1; /* behind the file's end: nothing is in hand */
    return TESS_OK;
}

/* Lines that differ in nothing that an option names are replicates; but if they have names, these
 * are genes, as a rule, and would be averaged. */
static int check_repeats(const struct tess_source *source, struct tess_error *error)
{
    const struct state *state = source->state;
    const char *readout = source->options->readout;
    long long n = (long long)(state->unit.n - state->group.n);

    if (state->naming >= 0 || source->options->replicate || n == 0)
        return TESS_OK;
    if (readout)
        tess_warn("%s: there is no column `%s`, so it is the name of the one readout; %lld lines "
                  "have the labels of others and count as replicates",
                  source->path, readout, n);
    else if (state->names_nobody_asks_for)
        tess_error_set(error, TESS_EDATA,
                       "%s: %lld lines have the labels of others, and no option names the first "
                       "column (`index`): --readout index if it holds the readouts, --context "
                       "index (or --perturbation), or --replicate index",
                       source->path, n);
    return error->code;
}

static int open_matrix(struct tess_source *source, const struct tess_source_options *options,
                       struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state = TESS_NEW(struct state, 1);
    struct tess_source_options labels = *options; /* --id-columns are none: they part no lines */
    struct tess_table *table = &state->table;

    labels.id_columns = (struct tess_strings){0};
    labels.filters_lines = 1; /* nor do filters */
    if (tess_table_open(table, source->path, source->place, &labels, error))
        return error->code;
    for (int64_t i = 0; i < table->n_metadata; i++)
        tess_strings_add(&source->column, table->name.item[table->metadata[i]]);
    tess_strings_add(&source->column, TESS_COLUMN_NAMES);
    source->key = tess_strdup(table->key < 0 ? TESS_COLUMN_NAMES : table->name.item[table->key]);
    state->naming = options->readout ? tess_table_find(table, options->readout) : -1;
    source->by_line = tess_filter_columns(options->filter, table);
    if (find_columns(source, problems, error))
        return error->code;
    tess_tuples_init(&state->group, table->n_metadata);
    tess_tuples_init(&state->unit, 2);
    state->code = TESS_NEW(int32_t *, table->n_metadata);
    state->room = TESS_NEW(size_t, table->n_metadata);
    tess_cells_init(&state->cells, state->n_columns, source->path, options,
                    "name it in --id-columns");
    if (read_labels(source, problems, error))
        return error->code;
    make_units(source);
    if (check_repeats(source, error) != TESS_OK)
        return error->code;
    if (state->unit.n == 0 && source->n_unwanted)
        return tess_error_set(error, TESS_EDATA, "%s: --keep and --drop leave no line of it",
                              source->path);
    if (state->unit.n == 0)
        return tess_error_set(error, TESS_EDATA, "%s: a header, but no usable rows below it",
                              source->path);
    return describe(source, error);
}

/* ---- reading ---- */

/* All lines of a unit have the same labels: those of its first line are taken. */
static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    const struct state *state = source->state;
    int64_t at = tess_strings_find(&source->column, name), n = state->n_columns;
    struct tess_symbols names = {0};
    int32_t *code;

    if (at < 0)
        return tess_column_miss(source->path, name, &source->column, error);
    code = TESS_NEW(int32_t, source->n_rows);
    if (at < state->table.n_metadata) {
        for (int64_t row = 0; row < source->n_rows; row++)
            code[row] = state->code[at][state->begin[row / n]];
        tess_symbols_column(&state->table.code[at], source->n_rows, code, column);
    } else {
        for (int64_t k = 0; k < n; k++) {
            const char *text = state->table.name.item[state->column[k]];

            code[k] = tess_symbols_add(&names,
                                       &(struct tess_field){(char *)(uintptr_t)text, strlen(text)});
        }
        for (int64_t row = n; row < source->n_rows; row++)
            code[row] = code[row - n];
        tess_symbols_column(&names, source->n_rows, code, column);
        tess_symbols_release(&names);
    }
    tess_free(code);
    return TESS_OK;
}

/* The rows of a block, without their values. */
static void lay_out(const struct tess_source *source, int64_t first, int64_t n,
                    struct tess_block *block)
{
    const struct state *state = source->state;
    int64_t count = 0;
    size_t room = block->room_data;

    block->first = first;
    block->n = n;
    block->fill = NAN;
    block->indptr =
        tess_grow(block->indptr, &block->room_rows, (size_t)n + 1, sizeof block->indptr[0]);
    block->indptr[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t unit = (first + i) / state->n_columns;

        count += state->first[unit + 1] - state->first[unit];
        block->indptr[i + 1] = count;
    }
    block->index = tess_grow(block->index, &room, (size_t)count, sizeof block->index[0]);
    block->data = tess_grow(block->data, &block->room_data, (size_t)count, sizeof block->data[0]);
    for (int64_t i = 0; i < n; i++) {
        int64_t unit = (first + i) / state->n_columns;
        size_t length = (size_t)(block->indptr[i + 1] - block->indptr[i]);

        memcpy(block->index + block->indptr[i], state->sorted + state->first[unit],
               length * sizeof block->index[0]);
    }
}

/* The values of the line in hand that the block wants. */
static void take_line(struct tess_source *source, const struct line *line, struct tess_block *block,
                      struct tess_problems *problems)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    int64_t n = state->n_columns, from = line->unit * n, to = from + n;

    if (from < block->first)
        from = block->first;
    if (to > block->first + block->n)
        to = block->first + block->n;
    for (int64_t row = from; row < to; row++) {
        int64_t k = row % n, column = state->column[k];
        int silent = row < state->reported || (source->left_out && source->left_out[row]);

        block->data[block->indptr[row - block->first] + line->place] =
            tess_cells_read(&state->cells, k, &table->field[column], table->lines.number,
                            table->name.item[column], silent ? NULL : problems);
    }
}

/* Goes on to a line of the file; the one in hand is not read again. */
static int go_to(struct tess_source *source, int64_t line, struct tess_error *error)
{
    struct state *state = source->state;

    if (line + 1 < state->next) {
        if (tess_table_rewind(&state->table, error))
            return error->code;
        state->next = 0;
    }
    for (; state->next <= line; state->next++)
        if (tess_table_next(&state->table, NULL, error) != 1)
            return tess_error_set(error, TESS_EDATA, "%s: changed while it was read", source->path);
    return TESS_OK;
}

/* One pass over the lines between the first and the last of the wanted units. Bad values are
 * reported when their rows are first read, columns of text when all rows have been. */
static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state;
    int64_t low = first / state->n_columns, high = n > 0 ? (first + n - 1) / state->n_columns : low;
    int64_t from = state->n_lines, to = 0;

    lay_out(source, first, n, block);
    for (int64_t u = low; u <= high && n > 0; u++) {
        from = state->begin[u] < from ? state->begin[u] : from;
        to = state->end[u] > to ? state->end[u] : to;
    }
    for (int64_t i = from; i < to; i++) {
        const struct line *line = &state->line[i];

        if (line->unit < low || line->unit > high)
            continue;
        if (go_to(source, i, error))
            return error->code;
        take_line(source, line, block, problems);
    }
    if (first + n > state->reported) {
        state->reported = first + n;
        for (int64_t k = 0; k < state->n_columns && state->reported == source->n_rows; k++)
            tess_cells_report(&state->cells, k, state->column[k] + 1,
                              state->table.name.item[state->column[k]], problems);
    }
    return TESS_OK;
}

static void release(struct tess_source *source)
{
    struct state *state = source->state;

    if (!state)
        return;
    for (int64_t i = 0; state->code && i < state->table.n_metadata; i++)
        tess_free(state->code[i]);
    tess_free(state->code);
    tess_free(state->room);
    tess_free(state->column);
    tess_free(state->line);
    tess_free(state->number);
    tess_free(state->first);
    tess_free(state->begin);
    tess_free(state->end);
    tess_free(state->sorted);
    tess_tuples_release(&state->group);
    tess_tuples_release(&state->unit);
    tess_symbols_release(&state->readout);
    tess_cells_release(&state->cells);
    tess_table_release(&state->table);
    tess_free(state);
    source->state = NULL;
}

const struct tess_source_type tess_source_matrix = {
    "matrix", recognize, open_matrix, read_column, read_rows, release,
};
