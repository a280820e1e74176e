/* source_wide.c -- wide tables: metadata columns named by the options, and one column for each
 * readout.
 *
 * Opening reads the file once for the metadata and the number of rows; values are read again when
 * they are asked for, in the file's order, so that memory does not grow with them. */
#include "tessera/source.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/table.h"

#include <string.h>

#define AT_ONCE ((int64_t)1 << 20) /* values to read at a time */

struct state {
    struct tess_table table;
    int64_t *readout; /* (n_readouts) column of each; own              */
    int32_t **code;   /* (n_metadata)(n_rows) own                      */
    size_t *room;     /* (n_metadata) own                              */
    int64_t next;     /* the row that the file stands at               */
    int64_t reported; /* rows whose bad values have been reported      */
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

/* Readouts are the columns that are no metadata. A nameless first column (a written index) is
 * left out; other names must be there and be distinct. */
static void find_readouts(struct tess_source *source, struct tess_problems *problems)
{
    struct state *state = source->state;
    const struct tess_table *table = &state->table;
    int64_t n = (int64_t)table->name.n, metadata = 0;
    struct tess_intern seen = {0};

    state->readout = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++) {
        const char *name = table->name.item[i];

        if (!*name) {
            if (i > 0)
                tess_problems_add(problems, source->path, table->header, NULL,
                                  "column %lld has no name", (long long)i + 1);
            continue;
        }
        if (tess_intern_add(&seen, name, strlen(name)) < metadata + source->n_readouts) {
            tess_problems_add(problems, source->path, table->header, name,
                              "this column appears twice");
            continue;
        }
        if (tess_strings_find(&source->column, name) >= 0) {
            metadata++;
            continue;
        }
        state->readout[source->n_readouts++] = i;
        tess_strings_add(&source->readout, name);
    }
    tess_intern_release(&seen);
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

static int open_wide(struct tess_source *source, const struct tess_source_options *options,
                     struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state = TESS_NEW(struct state, 1);
    struct tess_table *table = &state->table;

    if (tess_table_open(table, source->path, options, error))
        return error->code;
    for (int64_t i = 0; i < table->n_metadata; i++)
        tess_strings_add(&source->column, table->name.item[table->metadata[i]]);
    find_readouts(source, problems);
    if (source->n_readouts == 0)
        return tess_error_set(error, TESS_EDATA, "%s: every column is metadata: no readouts",
                              source->path);
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
            *out++ = tess_field_value(&table->field[state->readout[i]], report, source->path,
                                      table->lines.number, source->readout.item[i]);
        if (row >= state->reported)
            state->reported = row + 1;
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
    tess_table_release(&state->table);
    tess_free(state);
    source->state = NULL;
}

const struct tess_source_type tess_source_wide = {
    "wide table", recognize, open_wide, read_column, read_rows, release,
};
