/* sections_table.c -- tables of text that other commands wrote. */
#include "sections.h"

#include "tessera/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int next_line(struct tess_sections_table *table, char **line, size_t *n,
                     struct tess_error *error)
{
    if (!table->text)
        return tess_lines_next(&table->lines, line, n, error);
    if (!table->rest || !*table->rest)
        return 0;
    *line = table->rest;
    *n = strcspn(*line, "\n");
    table->rest = *line + *n + ((*line)[*n] == '\n');
    (*line)[*n] = '\0';
    return 1;
}

int tess_sections_table_next(struct tess_sections_table *table, struct tess_error *error)
{
    char *line;
    size_t length;
    int more;

    while ((more = next_line(table, &line, &length, error)) == 1) {
        if (length == 0 || line[0] == '#')
            continue;
        if (!table->separator)
            table->separator = memchr(line, '\t', length)  ? '\t'
                               : memchr(line, ',', length) ? ','
                                                           : ';';
        table->n_fields =
            tess_fields_split(line, length, table->separator, 0, TESS_COLUMNS, table->field);
        if (table->n_fields < 0) {
            tess_error_set(error, TESS_EDATA, "%s:%lld: a quote is still open at the end",
                           table->path, (long long)table->lines.number);
            return -1;
        }
        for (int64_t i = 0; i < table->n_fields && i < TESS_COLUMNS; i++)
            table->field[i].text[table->field[i].n] = '\0';
        return 1;
    }
    return more;
}

int tess_sections_table_open(struct tess_sections_table *table, const char *path, char *text,
                             const struct tess_sections_columns *columns, struct tess_error *error)
{
    *table = (struct tess_sections_table){.path = path, .text = text, .rest = text};
    if (!text && tess_lines_open(&table->lines, path, NULL, error) != TESS_OK)
        return error->code;
    if (tess_sections_table_next(table, error) == 0)
        tess_error_set(error, TESS_EDATA, "%s: is empty", path);
    for (int k = 0; k < columns->n; k++) {
        table->at[k] = -1;
        for (int i = 0; i < table->n_fields && i < TESS_COLUMNS; i++)
            if (strcmp(table->field[i].text, columns->name[k]) == 0)
                table->at[k] = i;
        if (table->at[k] < 0 && k < columns->needed)
            tess_error_set(error, TESS_EDATA,
                           "%s: its first line names no column '%s': is it what tessera wrote?",
                           path, columns->name[k]);
    }
    return error->code;
}

const char *tess_sections_table_word(const struct tess_sections_table *table, int column)
{
    int at = table->at[column];

    return at >= 0 && at < table->n_fields ? table->field[at].text : "";
}

double tess_sections_table_number(const struct tess_sections_table *table, int column)
{
    double x;

    return tess_text_double(tess_sections_table_word(table, column), &x) ? x : NAN;
}

void tess_sections_table_release(struct tess_sections_table *table)
{
    if (!table->text)
        tess_lines_release(&table->lines);
    free(table->text);
    table->text = NULL;
}
