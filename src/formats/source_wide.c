/* source_wide.c -- wide tables: metadata columns named by the options, and one column for each
 * readout.
 *
 * Opening reads the file once for the metadata and the number of rows; values are read again when
 * they are asked for, in the file's order, so that memory does not grow with them. */
#include "formats.h"

#include "tessera/alloc.h"
#include "tessera/cells.h"
#include "tessera/error.h"
#include "tessera/table.h"

#include <string.h>

#define AT_ONCE ((int64_t)1 << 20) /* values to read at a time */

struct state {
    struct tess_table table;
    struct tess_cells cells; /* by readout */
    int64_t *readout; /* (n_readouts) column of each; own */
    int32_t **code; /* (n_metadata)(n_rows) own */
    size_t *room; /* (n_metadata) own */
    int64_t next; /* the row that the file stands at */
    int64_t reported; /* rows whose bad values have been reported */
};

/* Any text: what cannot be read as a table is told why when it is opened. */
static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    struct tess_strings name = {0};
    int separator = tess_table_recognize(head, n_head, &name);

    (void)path;
    (void)options;
    tess_strings_release(&name);
    return separator >= 0;
}

/* Names must be there and be distinct, from those of metadata too. */
static int find_readouts(struct tess_source *source, struct tess_problems *problems,
                         struct tess_error *error)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    struct tess_intern seen = {0};
    int64_t n;

    state->readout = TESS_NEW(int64_t, table->name.n);
    n = tess_table_values(table, source->options, state->readout, error);
    for (int64_t k = 0; k < n; k++) {
        const char *name = table->name.item[state->readout[k]];
        int64_t before = seen.n;

        if (!*name)
            tess_problems_add(problems, source->path, table->header, NULL,
                              "column %lld has no name%s", (long long)state->readout[k] + 1,
                              state->readout[k] + 1 == (int64_t)table->name.n
                                  ? " (does the header end with a separator?)"
                                  : "");
        else if (tess_strings_find(&source->column, name) >= 0 ||
                 tess_intern_add(&seen, name, strlen(name)) < before)
            tess_problems_add(problems, source->path, table->header, name,
                              "this column appears twice");
        else {
            state->readout[source->n_readouts++] = state->readout[k];
            tess_strings_add(&source->readout, name);
        }
    }
    tess_intern_release(&seen);
    if (n >= 0 && source->n_readouts == 0)
        tess_error_set(error, TESS_EDATA, "%s: every column is metadata: no readouts",
                       source->path);
    return error->code;
}

static int read_metadata(struct tess_source *source, struct tess_problems *problems,
                         struct tess_error *error)
{
    struct state *state = source->state;
    struct tess_table *table = &state->table;
    int more;

    while ((more = tess_table_next(table, problems, error)) == 1) {
        size_t row = (size_t)source->n_rows++;

        tess_source_add_line(source, (int64_t)row, table->lines.number);
        for (int64_t i = 0; i < table->n_metadata; i++) {
            state->code[i] =
                tess_grow(state->code[i], &state->room[i], row + 1, sizeof state->code[i][0]);
            state->code[i][row] =
                tess_symbols_add(&table->code[i], &table->field[table->metadata[i]]);
        }
    }
    return error->code;
}

/* The file then stands at its end (`next`): whatever row is asked for first makes it begin again,
 * from its header. */
static int open_wide(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state = TESS_NEW(struct state, 1);
    struct tess_table *table = &state->table;

    if (tess_table_open(table, source->path, source->place, options, error))
        return error->code;
    for (int64_t i = 0; i < table->n_metadata; i++)
        tess_strings_add(&source->column, table->name.item[table->metadata[i]]);
    if (table->key >= 0)
        source->key = tess_strdup(table->name.item[table->key]);
    if (find_readouts(source, problems, error))
        return error->code;
    tess_cells_init(&state->cells, source->n_readouts, source->path, options,
                    "name it in --id-columns");
    state->code = TESS_NEW(int32_t *, table->n_metadata);
    state->room = TESS_NEW(size_t, table->n_metadata);
    if (read_metadata(source, problems, error))
        return error->code;
    if (source->n_rows == 0)
        return tess_error_set(error, TESS_EDATA, "%s: a header, but no usable rows below it",
                              source->path);
    source->kind = tess_table_kind(table, "wide table");
    source->rows_at_once = AT_ONCE / source->n_readouts + 1;
    state->next = source->n_rows;
    return TESS_OK;
}

static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    const struct state *state = source->state;
    int64_t at = tess_strings_find(&source->column, name);

    if (at < 0)
        return tess_column_miss(source->path, name, &source->column, error);
    tess_symbols_column(&state->table.code[at], source->n_rows, state->code[at], column);
    return TESS_OK;
}

/* The next line that is a row. */
static int next_row(struct tess_source *source, struct tess_error *error)
{
    struct state *state = source->state;
    int more = tess_table_next(&state->table, NULL, error);

    if (more == 0)
        return tess_error_set(error, TESS_EDATA, "%s: changed while it was read", source->path);
    if (more == 1)
        state->next++;
    return error->code;
}

/* All rows have been read. */
static void report_columns(struct tess_source *source, struct tess_problems *problems)
{
    struct state *state = source->state;

    for (int64_t i = 0; i < source->n_readouts; i++)
        tess_cells_report(&state->cells, i, state->readout[i] + 1, source->readout.item[i],
                          problems);
}

/* Rows are read in the file's order, and from its beginning for one that was passed. Bad values are
 * reported when their rows are first read, columns of text when all rows have been. */
static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state;
    struct tess_table *table = &state->table;
    float *out;

    block->first = first;
    block->n = n;
    out = block->dense = tess_grow(block->dense, &block->room_dense,
                                   (size_t)(n * source->n_readouts), sizeof(float));
    if (first < state->next) {
        if (tess_table_rewind(table, error))
            return error->code;
        state->next = 0;
    }
    while (state->next < first)
        if (next_row(source, error))
            return error->code;
    for (int64_t row = first; row < first + n; row++) {
        struct tess_problems *report =
            row < state->reported || (source->left_out && source->left_out[row]) ? NULL : problems;

        if (next_row(source, error))
            return error->code;
        for (int64_t i = 0; i < source->n_readouts; i++)
            *out++ = tess_cells_read(&state->cells, i, &table->field[state->readout[i]],
                                     table->lines.number, source->readout.item[i], report);
        if (row >= state->reported && ++state->reported == source->n_rows)
            report_columns(source, problems);
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
    tess_free(state->readout);
    tess_cells_release(&state->cells);
    tess_table_release(&state->table);
    tess_free(state);
    source->state = NULL;
}

const struct tess_source_type tess_source_wide = {
    "wide table", recognize, open_wide, read_column, read_rows, release,
};
