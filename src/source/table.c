/* table.c -- delimited tables. */
#include "tessera/table.h"

#include "place.h"

#include "tessera/alloc.h"
#include "tessera/column.h"
#include "tessera/error.h"
#include "tessera/problems.h"
#include "tessera/source_options.h"
#include "tessera/split_name.h"

#include <string.h>
#include <zlib.h>

#define SHOWN 20 /* names in a message */
#define INDEX "index" /* what a nameless first column is called, as in AnnData */

/* ---- header ---- */

/* The separator that divides the header most finely; tabs win, for symbols hold commas. */
static int find_separator(const char *line, size_t n)
{
    int64_t tabs = 0, commas = 0, semicolons = 0;
    int quoted = 0;

    for (size_t i = 0; i < n; i++) {
        quoted ^= line[i] == '"';
        tabs += !quoted && line[i] == '\t';
        commas += !quoted && line[i] == ',';
        semicolons += !quoted && line[i] == ';';
    }
    if (tabs)
        return '\t';
    if (semicolons > commas)
        return ';';
    return commas ? ',' : 0;
}

/* Returns the separator, 0 if there is none, -1 if a quote stays open. */
static int read_names(char *line, size_t n, struct tess_strings *name, int *indexed)
{
    int separator = find_separator(line, n);
    struct tess_field *field;
    int64_t room = 1, count;

    if (separator == 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        room += line[i] == separator;
    field = TESS_NEW(struct tess_field, room);
    count = tess_fields_split(line, n, (char)separator, 0, room, field);
    for (int64_t i = 0; i < count; i++) {
        field[i].text[field[i].n] = '\0'; /* on a separator, a quote or the end of the line */
        tess_strings_add(name, field[i].text);
    }
    if (name->n > 0 && !*name->item[0] && tess_strings_find(name, INDEX) < 0) {
        tess_free(name->item[0]);
        name->item[0] = tess_strdup(INDEX);
        *indexed = 1;
    }
    tess_free(field);
    return count < 0 ? -1 : separator;
}

static int is_skipped(const char *line, size_t n)
{
    return n == 0 || line[0] == '#';
}

/* The head may end within the header: a name is cut then, which is good enough to recognize by. */
int tess_table_recognize(const char *head, size_t n_head, struct tess_strings *name)
{
    const char *at = head, *end = head + n_head;

    if (n_head == 0 || memchr(head, 0, n_head))
        return -1;
    if (n_head >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);

        n -= n && at[n - 1] == '\r';
        if (!is_skipped(at, n)) {
            char *line = tess_format("%.*s", (int)n, at);
            int indexed, separator = read_names(line, n, name, &indexed);

            tess_free(line);
            return separator < 0 ? 0 : separator;
        }
        if (!stop)
            return 0;
        at = stop + 1;
    }
    return 0;
}

/* A CR that is left within the header: the file has LF as well, and some of its lines end with CR
 * alone. */
static int read_header(struct tess_table *table, struct tess_error *error)
{
    const char *path = table->lines.path;
    struct tess_field first;
    char *line;
    size_t n;
    int more, separator;

    do
        more = tess_lines_next(&table->lines, &line, &n, error);
    while (more == 1 && is_skipped(line, n));
    if (more < 0)
        return error->code;
    if (!more)
        return tess_error_set(error, TESS_EDATA, "%s: no header: the file holds %s", path,
                              table->lines.number ? "only comments and empty lines" : "nothing");
    table->header = table->lines.number;
    if (memchr(line, '\r', n))
        return tess_error_set(error, TESS_EDATA,
                              "%s: line %lld: some lines end with a carriage return alone: convert "
                              "them to line feeds",
                              path, (long long)table->header);
    first = (struct tess_field){line, n};
    separator = read_names(line, n, &table->name, &table->indexed);
    if (separator <= 0) {
        char *text = tess_field_excerpt(&first);

        tess_error_set(error, TESS_EDATA, "%s: line %lld: `%s` is no header: %s", path,
                       (long long)table->header, text,
                       separator ? "a quote stays open"
                                 : "no tab, comma or semicolon separates columns");
        tess_free(text);
        return error->code;
    }
    table->separator = (char)separator;
    table->field = TESS_NEW(struct tess_field, table->name.n);
    return TESS_OK;
}

int64_t tess_table_find(const struct tess_table *table, const char *name)
{
    return tess_strings_find(&table->name, name);
}

int tess_table_miss(const struct tess_table *table, const char *name, const char *option,
                    struct tess_error *error)
{
    char *list = tess_strings_join(&table->name, ", ", SHOWN);

    tess_error_set(error, TESS_EDATA, "%s: no column `%s` (%s names it); there are: %s",
                   table->lines.path, name, option, list);
    tess_free(list);
    return error->code;
}

/* ---- rows ---- */

static void add_column(struct tess_table *table, int64_t column)
{
    for (int64_t i = 0; i < table->n_metadata; i++)
        if (table->metadata[i] == column)
            return;
    table->metadata[table->n_metadata++] = column;
}

/* Are the names of the columns the ids that --metadata is joined by? They are where lines are
 * readouts, and where no label is the columns' name. */
static int has_column_ids(const struct tess_table *table, const struct tess_source_options *options)
{
    const struct tess_strings *label = options->columns == TESS_COLUMNS_CONTEXT ? &options->context
                                       : options->combine.n                     ? &options->combine
                                                            : &options->perturbation;

    if (options->columns == TESS_COLUMNS_READOUT)
        return 0;
    return (options->readout && tess_table_find(table, options->readout) >= 0) ||
           (label->n > 0 && tess_strings_find(label, TESS_COLUMN_NAMES) < 0);
}

/* Columns that stand elsewhere (annotation.h) may be absent; rows are then looked up by `key`. */
static int add_metadata(struct tess_table *table, const struct tess_source_options *options,
                        const char *name, const char *option, struct tess_error *error)
{
    int64_t column = tess_table_find(table, name);

    if (column >= 0)
        add_column(table, column);
    else if (tess_place_is(name) || (options->columns && strcmp(name, TESS_COLUMN_NAMES) == 0))
        return TESS_OK;
    else if (options->metadata)
        table->key = has_column_ids(table, options)      ? -1
                     : tess_table_find(table, "id") >= 0 ? tess_table_find(table, "id")
                                                         : 0;
    else
        tess_table_miss(table, name, option, error);
    return error->code;
}

static void add_matching(struct tess_table *table, const char *pattern)
{
    for (size_t i = 0; i < table->name.n; i++)
        if (tess_text_match(pattern, table->name.item[i]))
            add_column(table, (int64_t)i);
}

/* The defaults first, then what the options name: an error names the option to be given. Columns of
 * --keep and --drop are judged line by line where that is asked for, and then are no labels of
 * rows. */
static int add_all_metadata(struct tess_table *table, const struct tess_source_options *options,
                            struct tess_error *error)
{
    struct tess_wanted *wanted;
    size_t n = tess_source_options_wanted(options, &wanted);

    if (options->perturbation.n == 0 && options->combine.n == 0 &&
        options->columns != TESS_COLUMNS_PERTURBATION)
        add_metadata(table, options, "perturbation", "--perturbation", error);
    if (options->context.n == 0 && options->columns != TESS_COLUMNS_CONTEXT &&
        error->code == TESS_OK)
        add_metadata(table, options, "context", "--context", error);
    for (size_t i = 0; i < n && error->code == TESS_OK; i++)
        if (wanted[i].condition < 0 || !options->filters_lines ||
            tess_table_find(table, wanted[i].name) < 0)
            add_metadata(table, options, wanted[i].name, wanted[i].option, error);
    tess_free(wanted);
    if (error->code != TESS_OK)
        return error->code;
    for (size_t i = 0; i < options->id_columns.n; i++) {
        const char *name = options->id_columns.item[i];

        if (tess_text_is_pattern(name))
            add_matching(table, name);
        else if (add_metadata(table, options, name, "--id-columns", error))
            return error->code;
    }
    if (table->key >= 0)
        add_column(table, table->key);
    return TESS_OK;
}

/* Looks through the file: does the column hold a split anywhere? Back to the first row. */
static int holds_split(struct tess_table *table, int64_t column, struct tess_error *error)
{
    struct tess_symbols seen = {0};
    int found = 0;

    /* lines of another length are passed over: reading the rows reports them */
    while (!found && tess_table_next(table, NULL, error) == 1) {
        int64_t before = seen.intern.n;

        if (tess_symbols_add(&seen, &table->field[column]) == before)
            found = tess_split_parse(seen.intern.text[before]) >= 0;
    }
    tess_symbols_release(&seen);
    if (error->code == TESS_OK)
        tess_table_rewind(table, error);
    return found;
}

/* Without --split-column: a column `split` that holds splits is metadata, no readout. */
static int find_split(struct tess_table *table, const struct tess_source_options *options,
                      struct tess_error *error)
{
    int64_t column = tess_table_find(table, "split");

    if (options->find_split && !options->split_column && column >= 0 &&
        holds_split(table, column, error))
        add_column(table, column);
    return error->code;
}

int tess_table_open(struct tess_table *table, const char *path, const char *place,
                    const struct tess_source_options *options, struct tess_error *error)
{
    *table = (struct tess_table){.key = -1};
    if (tess_lines_open(&table->lines, path, place, error) || read_header(table, error))
        return error->code;
    table->metadata = TESS_NEW(int64_t, table->name.n);
    table->code = TESS_NEW(struct tess_symbols, table->name.n);
    if (add_all_metadata(table, options, error) || find_split(table, options, error))
        return error->code;
    return TESS_OK;
}

static void report_ragged(const struct tess_table *table, int64_t found,
                          struct tess_problems *problems)
{
    int64_t expected = (int64_t)table->name.n;

    if (found < 0)
        tess_problems_add(problems, table->lines.path, table->lines.number, NULL,
                          "a quote that opens a field is not closed on its line");
    else
        tess_problems_add(problems, table->lines.path, table->lines.number, NULL,
                          "%lld fields, but the header has %lld%s", (long long)found,
                          (long long)expected,
                          found == expected + 1 ? " (row names? give their column a name)" : "");
}

/* What the first line below the header has, as a sentence; `open_end`: it ends with a separator. */
static char *describe_ragged(const struct tess_table *table, int64_t found, int open_end)
{
    int64_t expected = (int64_t)table->name.n;
    int open_header = table->name.item[expected - 1][0] == '\0';
    const char *why = "";

    if (found < 0)
        return tess_format("line %lld: a quote that opens a field is not closed on its line",
                           (long long)table->lines.number);
    if (found == expected + 1)
        why = open_end ? " (the line ends with a separator: remove it, or name the column)"
                       : " (R writes row names without a header: give them one, in R with "
                         "write.table(…, col.names = NA))";
    else if (found == expected - 1 && open_header)
        why = " (the header ends with a separator: remove it)";
    return tess_format("line %lld has %lld field%s, the header %lld%s",
                       (long long)table->lines.number, (long long)found, found == 1 ? "" : "s",
                       (long long)expected, why);
}

/* Lines before the first row wait: if a row comes they are problems, else the file's error. */
static void hold_ragged(struct tess_table *table, int64_t found, int open_end)
{
    if (table->n_ragged++ == 0)
        table->ragged = describe_ragged(table, found, open_end);
}

static void release_ragged(struct tess_table *table, struct tess_problems *problems)
{
    table->begun = 1;
    if (table->n_ragged > 0)
        tess_problems_add(problems, table->lines.path, 0, NULL, "%s", table->ragged);
    if (table->n_ragged > 1)
        tess_problems_add(problems, table->lines.path, 0, NULL,
                          "%lld more lines before line %lld have another number of fields than the "
                          "header",
                          (long long)table->n_ragged - 1, (long long)table->lines.number);
    tess_free(table->ragged);
    table->ragged = NULL;
    table->n_ragged = 0;
}

/* Until a first row is found, lines of another length are held back: if all of them are so, the
 * header is wrong, and that is one error rather than a million problems. */
int tess_table_next(struct tess_table *table, struct tess_problems *problems,
                    struct tess_error *error)
{
    int64_t expected = (int64_t)table->name.n, found;
    char *line;
    size_t n;
    int more;

    while ((more = tess_lines_next(&table->lines, &line, &n, error)) == 1) {
        int open_end = n > 0 && line[n - 1] == table->separator;

        if (n == 0)
            continue;
        found = tess_fields_split(line, n, table->separator, 0, expected, table->field);
        if (found == expected) {
            if (problems && !table->begun)
                release_ragged(table, problems);
            return 1;
        }
        if (problems && table->begun)
            report_ragged(table, found, problems);
        else if (problems)
            hold_ragged(table, found, open_end);
    }
    if (more == 0 && table->n_ragged > 0) {
        tess_error_set(error, TESS_EDATA, "%s: %s", table->lines.path, table->ragged);
        return -1;
    }
    return more;
}

/* Line by line to behind the header, which may come after comments and empty lines. */
int tess_table_rewind(struct tess_table *table, struct tess_error *error)
{
    char *line;
    size_t n;

    if (tess_lines_rewind(&table->lines, error))
        return error->code;
    while (table->lines.number < table->header)
        if (tess_lines_next(&table->lines, &line, &n, error) != 1)
            return tess_error_set(error, TESS_EDATA, "%s: changed while it was read",
                                  table->lines.path);
    return TESS_OK;
}

/* Is the column asked for? Marks by which of the options. */
static int is_wanted(const char *name, const struct tess_strings *values, int patterns, char *used)
{
    int wanted = 0;

    for (size_t i = 0; i < values->n; i++)
        if (strcmp(values->item[i], name) == 0 ||
            (patterns && tess_text_is_pattern(values->item[i]) &&
             tess_text_match(values->item[i], name)))
            wanted = used[i] = 1;
    return wanted;
}

/* A nameless first column, an index as pandas writes it, is no value unless its name `index` is
 * given in full. */
int64_t tess_table_values(const struct tess_table *table, const struct tess_source_options *options,
                          int64_t *column, struct tess_error *error)
{
    const struct tess_strings *values = &options->values;
    char *used = TESS_NEW(char, values->n + 1), *metadata = TESS_NEW(char, table->name.n);
    int64_t n = 0;

    for (int64_t i = 0; i < table->n_metadata; i++)
        metadata[table->metadata[i]] = 1;
    for (int64_t i = 0; i < (int64_t)table->name.n; i++) {
        int wanted = values->n > 0
                         ? is_wanted(table->name.item[i], values, i > 0 || !table->indexed, used)
                         : i > 0 || (*table->name.item[0] && !table->indexed);

        if (wanted && !metadata[i])
            column[n++] = i;
    }
    for (size_t i = 0; i < values->n && error->code == TESS_OK; i++)
        if (!used[i])
            tess_table_miss(table, values->item[i], "--values", error);
    tess_free(used);
    tess_free(metadata);
    return error->code == TESS_OK ? n : -1;
}

char *tess_table_kind(const struct tess_table *table, const char *name)
{
    const char *separator = table->separator == '\t'  ? "tabs"
                            : table->separator == ',' ? "commas"
                                                      : "semicolons";

    return tess_format("%s, separated by %s%s", name, separator,
                       gzdirect(table->lines.file) ? "" : ", gzip");
}

void tess_table_release(struct tess_table *table)
{
    for (int64_t i = 0; i < table->n_metadata; i++)
        tess_symbols_release(&table->code[i]);
    tess_free(table->code);
    tess_free(table->metadata);
    tess_free(table->ragged);
    tess_free(table->field);
    tess_strings_release(&table->name);
    tess_lines_release(&table->lines);
    *table = (struct tess_table){0};
}
