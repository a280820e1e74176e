/* source_gct.c -- GCT text, versions 1.2 and 1.3: lines are readouts, columns are profiles.
 *
 * Our rows are the profiles, but the file runs over them in every line: the matrix is held in
 * memory as it stands in the file (4 bytes a value; a text file of the same data is larger) and is
 * transposed as rows are read. */
#include "formats.h"

#include "tessera/alloc.h"
#include "tessera/cells.h"
#include "tessera/error.h"
#include "tessera/table.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define BLOCK     ((int64_t)1 << 20) /* values in a piece of the matrix, about */
#define COUNT_MAX ((int64_t)1 << 40) /* of lines or columns that a header may announce */

struct state {
    struct tess_lines lines;
    int version; /* 12 or 13 */
    /* as announced; n_before: columns before the profiles */
    int64_t n_data, n_before, n_profiles, n_meta;
    int64_t n_lines; /* below the header so far, or of the matrix */
    int64_t naming; /* the column that names the readouts */
    struct tess_strings profile; /* own */
    char *ragged; /* the first line of another length; own */
    struct tess_field *field; /* (n_before + n_profiles) own */
    struct tess_symbols *meta; /* (n of source->column) own */
    int32_t **code; /* the same, (n_profiles) own */
    size_t room_meta, room_code;
    float **block; /* own; (lines_per_block, n_profiles) each */
    size_t room;
    int64_t n_blocks, lines_per_block;
};

static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    size_t skip = n_head >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    (void)path;
    (void)options;
    head += skip;
    n_head -= skip;
    return n_head >= 4 && (memcmp(head, "#1.2", 4) == 0 || memcmp(head, "#1.3", 4) == 0) &&
           (n_head == 4 || strchr(" \t\r\n", head[4]));
}

/* ---- the first three lines ---- */

static int fail_at(const struct state *state, struct tess_error *error, const char *what)
{
    return tess_error_set(error, TESS_EDATA, "%s: line %lld: %s", state->lines.path,
                          (long long)state->lines.number, what);
}

/* The next line, which must be there. */
static int need_line(struct state *state, char **line, size_t *n, struct tess_error *error)
{
    if (tess_lines_next(&state->lines, line, n, error) == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: ends after line %lld: a GCT file goes on with counts, a header "
                              "and data",
                              state->lines.path, (long long)state->lines.number);
    return error->code;
}

/* "rows profiles" or "rows profiles row-metadata profile-metadata"; a spreadsheet's empty cells
 * behind them are let pass. */
static int read_counts(struct state *state, struct tess_error *error)
{
    int wanted = state->version == 12 ? 2 : 4, found = 0, bad = 0;
    int64_t count[4] = {0};
    char *line, *rest, *text;
    size_t n;

    if (need_line(state, &line, &n, error))
        return error->code;
    for (text = strtok_r(line, " \t", &rest); text; text = strtok_r(NULL, " \t", &rest)) {
        if (found == wanted || !tess_text_int64(text, &count[found]) || count[found] < 0 ||
            count[found] > COUNT_MAX)
            bad = 1;
        else
            found++;
    }
    if (bad || found < wanted)
        return fail_at(state, error,
                       wanted == 2 ? "expected two counts: data lines and profiles"
                                   : "expected four counts: data lines, profiles, row metadata, "
                                     "profile metadata");
    state->n_data = count[0];
    state->n_profiles = count[1];
    state->n_before = state->version == 12 ? 2 : 1 + count[2];
    state->n_meta = count[3];
    if (state->n_data == 0 || state->n_profiles == 0)
        return fail_at(state, error, "the counts announce no data");
    return TESS_OK;
}

/* Which column names the readouts: the first, or the row metadata that --readout asks for. */
static int find_naming(struct state *state, const char *name, struct tess_error *error)
{
    struct tess_strings there = {0};

    for (int64_t i = 0; i < state->n_before; i++) {
        char *text = strndup(state->field[i].text, state->field[i].n);

        tess_strings_add(&there, text);
        free(text);
    }
    state->naming = name ? tess_strings_find(&there, name) : 0;
    if (state->naming < 0) {
        char *list = tess_strings_join(&there, ", ", 20);

        tess_error_set(error, TESS_EDATA,
                       "%s: no row metadata `%s` to name the readouts (--readout); there are: %s",
                       state->lines.path, name, list);
        tess_free(list);
    }
    tess_strings_release(&there);
    return error->code;
}

/* GCT knows no quotes: counting tabs counts columns. */
static int read_header(struct state *state, const struct tess_source_options *options,
                       struct tess_error *error)
{
    int64_t wanted = state->n_before + state->n_profiles, found = 1;
    char *line;
    size_t n;

    if (need_line(state, &line, &n, error))
        return error->code;
    for (size_t i = 0; i < n; i++)
        found += line[i] == '\t';
    if (found != wanted)
        return tess_error_set(error, TESS_EDATA,
                              "%s: line %lld: %lld columns, but line 2 announces %lld (%lld before "
                              "the profiles and %lld profiles)",
                              state->lines.path, (long long)state->lines.number, (long long)found,
                              (long long)wanted, (long long)state->n_before,
                              (long long)state->n_profiles);
    state->field = tess_alloc_large((size_t)wanted, sizeof *state->field, "a GCT line", error);
    if (!state->field)
        return error->code;
    tess_fields_split(line, n, '\t', 1, wanted, state->field);
    if (find_naming(state, options->readout, error))
        return error->code;
    for (int64_t i = 0; i < wanted; i++) {
        state->field[i].text[state->field[i].n] = '\0';
        if (i >= state->n_before)
            tess_strings_add(&state->profile, state->field[i].text);
    }
    return TESS_OK;
}

/* ---- lines below ---- */

/* 1: a line of the right number of fields; 0: the file ends; -1: error. Others are problems. */
static int next_line(struct state *state, struct tess_problems *problems, struct tess_error *error)
{
    int64_t wanted = state->n_before + state->n_profiles, found;
    char *line;
    size_t n;
    int more;

    while ((more = tess_lines_next(&state->lines, &line, &n, error)) == 1) {
        if (n == 0)
            continue;
        state->n_lines++;
        found = tess_fields_split(line, n, '\t', 1, wanted, state->field);
        if (found == wanted)
            return 1;
        if (!state->ragged)
            state->ragged =
                tess_format("line %lld has %lld fields, the header %lld",
                            (long long)state->lines.number, (long long)found, (long long)wanted);
        tess_problems_add(problems, state->lines.path, state->lines.number, NULL,
                          "%lld fields, but the header has %lld", (long long)found,
                          (long long)wanted);
    }
    return more;
}

/* CMap's mark of a missing one */
static int is_missing(const struct tess_field *cell)
{
    return cell->n == 4 && memcmp(cell->text, "-666", 4) == 0;
}

/* One metadata column of the profiles, from the fields of a line or from their names. The first is
 * the id, a name even where it is -666. */
static void add_metadata(struct tess_source *source, const char *name,
                         const struct tess_field *cell)
{
    struct state *state = source->state;
    size_t k = source->column.n;

    tess_strings_add(&source->column, name);
    state->meta = tess_grow(state->meta, &state->room_meta, k + 1, sizeof state->meta[0]);
    state->code = tess_grow(state->code, &state->room_code, k + 1, sizeof state->code[0]);
    state->code[k] = TESS_NEW(int32_t, state->n_profiles);
    for (int64_t i = 0; i < state->n_profiles; i++)
        state->code[k][i] =
            k > 0 && is_missing(&cell[i]) ? -1 : tess_symbols_add(&state->meta[k], &cell[i]);
}

static int read_metadata(struct tess_source *source, struct tess_problems *problems,
                         struct tess_error *error)
{
    struct state *state = source->state;
    int more = 1;

    add_metadata(source, "id", state->field + state->n_before);
    for (int64_t i = 0; i < state->n_meta; i++) {
        more = next_line(state, problems, error);
        if (more != 1)
            break;
        state->field[0].text[state->field[0].n] = '\0';
        add_metadata(source, state->field[0].text, state->field + state->n_before);
    }
    return more == 0 ? tess_error_set(error, TESS_EDATA,
                                      "%s: ends within the profile metadata: line 2 announces "
                                      "%lld lines of it",
                                      state->lines.path, (long long)state->n_meta)
                     : error->code;
}

/* Where line number `data` of the matrix lies; NULL: no memory. It grows by blocks, so that nothing
 * is copied. */
static float *place_for(struct state *state, int64_t data, struct tess_error *error)
{
    if (data == state->n_blocks * state->lines_per_block) {
        size_t n = (size_t)(state->lines_per_block * state->n_profiles);
        float *block = tess_alloc_large(n, sizeof *block, "the matrix of a GCT file", error);

        if (!block)
            return NULL;
        state->block = tess_grow(state->block, &state->room, (size_t)state->n_blocks + 1,
                                 sizeof state->block[0]);
        state->block[state->n_blocks++] = block;
    }
    return state->block[data / state->lines_per_block] +
           data % state->lines_per_block * state->n_profiles;
}

/* The line's readout, if it is a new one. */
static void add_readout(struct tess_source *source, struct tess_symbols *names,
                        struct tess_problems *problems)
{
    const struct state *state = source->state;
    const struct tess_field *name = &state->field[state->naming];
    int64_t line = state->lines.number;
    int32_t number = tess_symbols_add(names, name);

    if (number == source->n_readouts) {
        tess_strings_add(&source->readout, names->intern.text[number]);
        source->n_readouts++;
    } else if (number < 0) {
        tess_problems_add(problems, source->path, line, NULL, "the readout has no name");
    } else {
        tess_problems_add(problems, source->path, line, NULL, "readout `%s` appears twice",
                          names->intern.text[number]);
    }
}

/* Problems are collected to the end of the file; one that has any is not imported. */
static int read_matrix(struct tess_source *source, struct tess_problems *problems,
                       struct tess_error *error)
{
    struct state *state = source->state;
    struct tess_symbols names = {0};
    struct tess_cells cells;

    tess_cells_init(&cells, state->n_profiles, source->path, source->options,
                    "line 2 says how many columns of row metadata come before the profiles");
    state->n_lines = 0;
    state->lines_per_block = BLOCK / state->n_profiles + 1;
    while (next_line(state, problems, error) == 1) {
        float *out = place_for(state, source->n_readouts, error);

        if (!out)
            break;
        add_readout(source, &names, problems); /* a refused one's place is used again */
        for (int64_t i = 0; i < state->n_profiles; i++)
            out[i] = tess_cells_read(&cells, i, &state->field[state->n_before + i],
                                     state->lines.number, state->profile.item[i], problems);
    }
    for (int64_t i = 0; i < state->n_profiles; i++)
        tess_cells_report(&cells, i, state->n_before + i + 1, state->profile.item[i], problems);
    tess_cells_release(&cells);
    tess_symbols_release(&names);
    if (!error->code && state->n_lines != state->n_data)
        tess_problems_add(problems, source->path, 2, NULL,
                          "announces %lld data lines, but there are %lld", (long long)state->n_data,
                          (long long)state->n_lines);
    return error->code;
}

/* ---- the kind's functions ---- */

static int open_gct(struct tess_source *source, const struct tess_source_options *options,
                    struct tess_problems *problems, struct tess_error *error)
{
    struct state *state = source->state = TESS_NEW(struct state, 1);
    char *line;
    size_t n;

    if (tess_lines_open(&state->lines, source->path, source->place, error) ||
        need_line(state, &line, &n, error))
        return error->code;
    state->version = strncmp(line, "#1.2", 4) == 0 ? 12 : 13;
    if (read_counts(state, error) || read_header(state, options, error) ||
        read_metadata(source, problems, error) || read_matrix(source, problems, error))
        return error->code;
    if (source->n_readouts == 0)
        return tess_error_set(error, TESS_EDATA, "%s: %s", source->path,
                              state->ragged ? state->ragged : "no usable lines of data");
    source->kind =
        tess_format("GCT 1.%d%s", state->version - 10, gzdirect(state->lines.file) ? "" : ", gzip");
    source->n_rows = state->n_profiles;
    source->rows_at_once = BLOCK / source->n_readouts + 1;
    tess_lines_release(&state->lines);
    return TESS_OK;
}

static int read_column(struct tess_source *source, const char *name, struct tess_column *column,
                       struct tess_error *error)
{
    const struct state *state = source->state;
    int64_t at = tess_strings_find(&source->column, name);

    if (at < 0)
        return tess_column_miss(source->path, name, &source->column, error);
    tess_symbols_column(&state->meta[at], source->n_rows, state->code[at], column);
    return TESS_OK;
}

/* Transposed here: lines of the file are columns of the block. */
static int read_rows(struct tess_source *source, int64_t first, int64_t n, struct tess_block *block,
                     struct tess_problems *problems, struct tess_error *error)
{
    const struct state *state = source->state;
    int64_t width = source->n_readouts;

    (void)problems; /* were found when the file was opened */
    (void)error;
    block->first = first;
    block->n = n;
    block->dense =
        tess_grow(block->dense, &block->room_dense, (size_t)(n * width), sizeof block->dense[0]);
    for (int64_t g = 0; g < width; g++) {
        const float *in = state->block[g / state->lines_per_block] +
                          g % state->lines_per_block * state->n_profiles + first;

        for (int64_t i = 0; i < n; i++)
            block->dense[i * width + g] = in[i];
    }
    return TESS_OK;
}

static void release(struct tess_source *source)
{
    struct state *state = source->state;

    if (!state)
        return;
    for (size_t i = 0; i < source->column.n; i++) {
        tess_symbols_release(&state->meta[i]);
        tess_free(state->code[i]);
    }
    for (int64_t i = 0; i < state->n_blocks; i++)
        tess_free(state->block[i]);
    tess_free(state->meta);
    tess_free(state->code);
    tess_free(state->block);
    tess_free(state->field);
    tess_free(state->ragged);
    tess_strings_release(&state->profile);
    tess_lines_release(&state->lines);
    tess_free(state);
    source->state = NULL;
}

const struct tess_source_type tess_source_gct = {
    "GCT", recognize, open_gct, read_column, read_rows, release,
};
