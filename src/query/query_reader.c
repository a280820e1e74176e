/* query_reader.c -- a table of queries, line by line, to the model's numbers. */
#include "query.h"

#include "tessera/alloc.h"
#include "tessera/choice.h"
#include "tessera/combination.h"
#include "tessera/error.h"
#include "tessera/table.h"
#include "tessera/vocab.h"

#include <string.h>

/* ---- symbols ---- */

/* A symbol's number, or -1. */
static int64_t find_symbol(const struct tess_vocab *vocab, const struct tess_field *field)
{
    return field->n > (size_t)vocab->width ? -1 : tess_vocab_find_n(vocab, field->text, field->n);
}

/* Its members, trained on, into the column; none: unknown. */
static void look_up(struct tess_query_column *column, int combinations)
{
    const struct tess_field field = {column->last, column->n_last};
    int64_t number = find_symbol(column->vocab, &field), room = 1;

    for (size_t i = 0; combinations && i < field.n; i++)
        room += field.text[i] == '+';
    column->member =
        tess_grow(column->member, &column->room_member, (size_t)room, sizeof *column->member);
    column->member[0] = number;
    column->n_members = number >= 0;
    if (number < 0 && combinations)
        column->n_members =
            tess_combination_parse(column->vocab, NULL, field.text, column->member, NULL);
    if (column->n_members == 0)
        column->n_members = tess_select_make(&column->maker, column->vocab, column->last,
                                             combinations, column->member);
    for (int64_t i = 0; i < column->n_members; i++)
        if (column->member[i] < column->vocab->n && !column->trained[column->member[i]])
            column->n_members = 0;
}

/* Reads the column's field of the current line; 1 if it says what it said before. */
static int read_column(struct tess_query_column *column, const struct tess_field *field,
                       int combinations)
{
    field += column->place;
    if (column->last && field->n == column->n_last &&
        memcmp(field->text, column->last, field->n) == 0)
        return 1;
    column->last = tess_grow(column->last, &column->room_last, field->n + 1, 1);
    memcpy(column->last, field->text, field->n);
    column->last[field->n] = '\0';
    column->n_last = field->n;
    look_up(column, combinations);
    return 0;
}

/* What the model has not learnt is refused alike: by its nearest names, or as known by name only.
 */
static int refuse(const struct tess_query_reader *reader, const struct tess_query_column *column,
                  struct tess_error *error)
{
    const char *remedy = tess_choice_of(reader->model, TESS_TABLE_P).remedy;
    int perturbation = column == &reader->column[TESS_QUERY_PERTURBATION];
    struct tess_strings unknown = {0};
    struct tess_error why = TESS_ERROR_INIT;
    int64_t *member = TESS_NEW(int64_t, column->n_last + 1);
    const struct tess_field field = {column->last, column->n_last};

    if (perturbation)
        tess_combination_parse(column->vocab, NULL, column->last, member, &unknown);
    else if (find_symbol(column->vocab, &field) < 0)
        tess_strings_add(&unknown, column->last);
    if (unknown.n > 0)
        tess_vocab_refuse(column->vocab, &unknown, column->what, reader->model->path, &why);
    else
        tess_error_set(&why, TESS_EDATA, "%s knows the %s %s by name only, without training data",
                       reader->model->path, column->what, column->last);
    tess_error_set(error, TESS_EDATA, "%s: line %lld: %s%s; --unknown nan goes on with nan",
                   reader->path, (long long)reader->lines.number, why.text,
                   perturbation && unknown.n > 0 ? remedy : "");
    tess_strings_release(&unknown);
    tess_free(member);
    return error->code;
}

/* ---- the head ---- */

static const char *const column_names[TESS_QUERY_COLUMNS] = {"context", "perturbation", "readout"};

static int find_columns(struct tess_query_reader *reader, const struct tess_strings *name)
{
    for (int i = 0; i < TESS_QUERY_COLUMNS; i++)
        reader->column[i].place = tess_strings_find(name, column_names[i]);
    return reader->column[TESS_QUERY_CONTEXT].place >= 0 &&
           reader->column[TESS_QUERY_PERTURBATION].place >= 0;
}

/* No header: a context, a perturbation and maybe a readout that the model knows; one of them is
 * enough where unknown ones are allowed. */
static int is_query(struct tess_query_reader *reader, const struct tess_strings *name)
{
    int fits = name->n == 2 || name->n == 3, known = 0;

    for (int i = 0; i < TESS_QUERY_COLUMNS; i++)
        reader->column[i].place = fits && i < (int)name->n ? i : -1;
    for (int i = 0; fits && i < (int)name->n; i++) {
        const struct tess_field field = {name->item[i], strlen(name->item[i])};

        reader->column[i].place = 0;
        read_column(&reader->column[i], &field, i == TESS_QUERY_PERTURBATION);
        reader->column[i].place = i;
        known += reader->column[i].n_members > 0;
    }
    return fits && known >= (reader->queries->unknown ? 1 : (int)name->n);
}

/* The first line that is neither empty nor a comment; NULL with the error. */
static char *read_head(struct tess_query_reader *reader, struct tess_error *error)
{
    char *line;
    size_t n;
    int more;

    do
        more = tess_lines_next(&reader->lines, &line, &n, error);
    while (more == 1 && (n == 0 || line[0] == '#'));
    if (more == 0)
        tess_error_set(error, TESS_EDATA, "%s: holds no queries: it is empty", reader->path);
    return more == 1 ? tess_strdup(line) : NULL;
}

static char separator_of(const struct tess_queries *queries, char input)
{
    const char *end = strrchr(queries->output, '.');

    if (strcmp(queries->output, TESS_QUERIES_PIPE) == 0)
        return input;
    return (char)(end && strcmp(end, ".csv") == 0 ? ',' : '\t');
}

void tess_query_put_field(char **text, size_t *n, size_t *room, const struct tess_field *field,
                          char separator)
{
    int quoted = memchr(field->text, separator, field->n) || memchr(field->text, '"', field->n);
    char *to;

    *text = tess_grow(*text, room, *n + 2 * field->n + 3, 1);
    to = *text + *n;
    if (quoted)
        *to++ = '"';
    for (size_t i = 0; i < field->n; i++) {
        if (field->text[i] == '"')
            *to++ = '"';
        *to++ = field->text[i];
    }
    if (quoted)
        *to++ = '"';
    *n = (size_t)(to - *text);
}

static void put_char(struct tess_query_reader *reader, char c)
{
    reader->text = tess_grow(reader->text, &reader->room_text, reader->n_text + 1, 1);
    reader->text[reader->n_text++] = c;
}

/* A line as it goes out, with a NUL: as it is, or with other separators. Cuts it into its fields.
 */
static int64_t put_line(struct tess_query_reader *reader, char *line, size_t n)
{
    int64_t count;

    if (reader->separator == reader->out_separator) {
        reader->text = tess_grow(reader->text, &reader->room_text, reader->n_text + n + 1, 1);
        memcpy(reader->text + reader->n_text, line, n);
        reader->n_text += n;
    }
    count = tess_fields_split(line, n, reader->separator, 0, reader->n_columns, reader->field);
    for (int64_t i = 0;
         reader->separator != reader->out_separator && i < count && count == reader->n_columns;
         i++) {
        if (i > 0)
            put_char(reader, reader->out_separator);
        tess_query_put_field(&reader->text, &reader->n_text, &reader->room_text, &reader->field[i],
                             reader->out_separator);
    }
    put_char(reader, '\0');
    return count;
}

static int read_columns(struct tess_query_reader *reader, char *head, char **header,
                        struct tess_error *error)
{
    struct tess_strings name = {0};
    int separator = tess_table_recognize(head, strlen(head), &name), named;

    reader->separator = (char)(separator > 0 ? separator : '\t');
    reader->out_separator = separator_of(reader->queries, reader->separator);
    reader->n_columns = (int64_t)name.n;
    reader->field = TESS_NEW(struct tess_field, name.n);
    named = find_columns(reader, &name);
    if (!named && !is_query(reader, &name))
        tess_error_set(error, TESS_EDATA,
                       "%s: line %lld is no header with the columns context and perturbation (and "
                       "readout), nor a context, a perturbation and maybe a readout that %s knows",
                       reader->path, (long long)reader->lines.number, reader->model->path);
    else if (named) {
        put_line(reader, head, strlen(head));
        *header = tess_strdup(reader->text);
        reader->n_text = 0;
    } else {
        const char *between = (char[]){reader->out_separator, '\0'};

        *header = tess_format("context%sperturbation%s%s", between, name.n > 2 ? between : "",
                              name.n > 2 ? "readout" : "");
        reader->waiting = tess_strdup(head);
    }
    tess_strings_release(&name);
    return error->code;
}

int tess_query_reader_open(struct tess_query_reader *reader, const struct tess_queries *queries,
                           const struct tess_model *model, char **header, struct tess_error *error)
{
    int pipe = queries->input && strcmp(queries->input, TESS_QUERIES_PIPE) == 0;
    char *head = NULL, *place = pipe ? tess_strdup("/dev/stdin") : NULL;

    *reader = (struct tess_query_reader){.queries = queries, .model = model};
    reader->path = !queries->input ? "--curve" : pipe ? "standard input" : queries->input;
    if (!queries->input && (reader->curves = tess_query_curves(queries, model, error)))
        place = tess_format("/dev/fd/%d", fileno(reader->curves));
    for (int i = 0; i < TESS_QUERY_COLUMNS; i++) {
        static const enum tess_embedding table[] = {TESS_TABLE_C, TESS_TABLE_P, TESS_TABLE_R};
        struct tess_choice choice = tess_choice_of(model, table[i]);

        reader->column[i] = (struct tess_query_column){.vocab = choice.vocab,
                                                       .trained = choice.trained,
                                                       .what = choice.what,
                                                       .maker = choice.maker};
    }
    if (error->code == TESS_OK &&
        tess_lines_open(&reader->lines, reader->path, place, error) == TESS_OK)
        head = read_head(reader, error);
    tess_free(place);
    if (head)
        read_columns(reader, head, header, error);
    tess_free(head);
    return error->code;
}

/* ---- lines ---- */

/* Another row, unless this line asks about the same perturbation and context as the line before. */
static void add_row(struct tess_query_reader *reader, struct tess_query_block *block)
{
    const struct tess_query_column *p = &reader->column[TESS_QUERY_PERTURBATION];
    int64_t n = block->n_rows++, at = block->member_first[n];

    block->member_first = tess_grow(block->member_first, &block->room_member_first, (size_t)n + 2,
                                    sizeof *block->member_first);
    block->readout_first = tess_grow(block->readout_first, &block->room_readout_first,
                                     (size_t)n + 2, sizeof *block->readout_first);
    block->context =
        tess_grow(block->context, &block->room_context, (size_t)n + 1, sizeof *block->context);
    block->member = tess_grow(block->member, &block->room_member, (size_t)(at + p->n_members),
                              sizeof *block->member);
    memcpy(block->member + at, p->member, (size_t)p->n_members * sizeof *p->member);
    block->member_first[n + 1] = at + p->n_members;
    block->readout_first[n + 1] = block->readout_first[n];
    block->context[n] = reader->column[TESS_QUERY_CONTEXT].member[0];
}

static void add_readout(struct tess_query_reader *reader, struct tess_query_block *block)
{
    int64_t *end = &block->readout_first[block->n_rows];

    block->readout =
        tess_grow(block->readout, &block->room_readout, (size_t)*end + 1, sizeof *block->readout);
    block->readout[(*end)++] = reader->column[TESS_QUERY_READOUT].member[0];
}

/* The current line's fields into the block. */
static int add_line(struct tess_query_reader *reader, struct tess_query_block *block,
                    struct tess_error *error)
{
    int same = 1, known = 1, listed = reader->column[TESS_QUERY_READOUT].place >= 0;

    for (int i = 0; i < TESS_QUERY_COLUMNS; i++) {
        struct tess_query_column *column = &reader->column[i];

        if (column->place < 0)
            continue;
        same &= read_column(column, reader->field, i == TESS_QUERY_PERTURBATION) ||
                i == TESS_QUERY_READOUT;
        known &= column->n_members > 0;
        if (column->n_members == 0 && !reader->queries->unknown)
            return refuse(reader, column, error);
    }
    block->known = tess_grow(block->known, &block->room_known, (size_t)block->n_lines + 1, 1);
    block->known[block->n_lines++] = (uint8_t)known;
    reader->fresh |= !same;
    if (!known)
        return TESS_OK;
    if (reader->fresh || !listed || block->n_rows == 0)
        add_row(reader, block);
    reader->fresh = 0;
    if (listed)
        add_readout(reader, block);
    return TESS_OK;
}

static int next_line(struct tess_query_reader *reader, char **line, size_t *n,
                     struct tess_error *error)
{
    int more;

    if (reader->waiting) {
        *line = reader->waiting;
        *n = strlen(*line);
        return 1;
    }
    do
        more = tess_lines_next(&reader->lines, line, n, error);
    while (more == 1 && *n == 0);
    return more;
}

int tess_query_reader_next(struct tess_query_reader *reader, int64_t most,
                           struct tess_query_block *block, struct tess_error *error)
{
    int more = 1;

    tess_query_block_clear(block);
    while (block->n_lines < most && reader->n_text < reader->most_text && more == 1 &&
           error->code == TESS_OK) {
        char *line;
        size_t n;

        more = next_line(reader, &line, &n, error);
        if (more != 1)
            break;
        if (put_line(reader, line, n) != reader->n_columns)
            tess_error_set(
                error, TESS_EDATA, "%s: line %lld does not have the %lld fields of the first line",
                reader->path, (long long)reader->lines.number, (long long)reader->n_columns);
        else
            add_line(reader, block, error);
        tess_free(reader->waiting);
        reader->waiting = NULL;
    }
    return error->code != TESS_OK ? -1 : block->n_lines > 0;
}

void tess_query_reader_release(struct tess_query_reader *reader)
{
    if (reader->curves)
        fclose(reader->curves);
    if (reader->lines.path)
        tess_lines_release(&reader->lines);
    for (int i = 0; i < TESS_QUERY_COLUMNS; i++) {
        tess_free(reader->column[i].last);
        tess_free(reader->column[i].member);
    }
    tess_free(reader->field);
    tess_free(reader->waiting);
    tess_free(reader->text);
    *reader = (struct tess_query_reader){.queries = NULL};
}
