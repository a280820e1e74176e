/* edge_list.c -- lines of a regulator, a target and a number. */
#include "tessera/edge_list.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

static int is_called(const struct tess_field *field, const char *name)
{
    return field->n == strlen(name) && strncasecmp(field->text, name, field->n) == 0;
}

static int64_t cut(char *text, size_t n, struct tess_field *field)
{
    char separator = memchr(text, '\t', n)  ? '\t'
                     : memchr(text, ',', n) ? ','
                     : memchr(text, ';', n) ? ';'
                                            : ' ';

    return tess_fields_split(text, n, separator, 0, TESS_EDGE_LIST_COLUMNS, field);
}

static int read_number(const struct tess_field *field, double *x)
{
    char *text = tess_format("%.*s", (int)field->n, field->text);
    int fine = tess_text_double(text, x) && !isnan(*x);

    tess_free(text);
    return fine;
}

/* Names of columns that lists of others have, too. */
static int is_name(const struct tess_field *field)
{
    static const char *const known[] = {"regulator",      "target",     "score",      "weight",
                                        "gene1",          "gene2",      "edgeweight", "importance",
                                        "regulatorygene", "targetgene", "source",     "label"};

    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        if (is_called(field, known[k]))
            return 1;
    return 0;
}

/* The first line is one of names if its third field is no number and one of its fields is such a
 * name, or its second is called `target`. Then columns are found by their names, as far as these
 * are there. */
static int read_header(struct tess_edge_list *list, int64_t n)
{
    static const char *const names[] = {"regulator", "target", "score"};
    int known = 0;
    double x;

    for (int64_t c = 0; c < n && c < TESS_EDGE_LIST_COLUMNS; c++)
        known = known || is_name(&list->field[c]);
    if (n < 2 || (!is_called(&list->field[1], "target") &&
                  (n < 3 || !known || read_number(&list->field[2], &x))))
        return 0;
    for (int k = 0; k < 3; k++)
        for (int64_t c = 0; c < n && c < TESS_EDGE_LIST_COLUMNS; c++)
            if (is_called(&list->field[c], names[k]))
                list->at[k] = (int)c;
    if (!list->number_needed && list->at[2] < n && is_called(&list->field[list->at[2]], "weight"))
        list->at[2] = TESS_EDGE_LIST_COLUMNS;
    return 1;
}

int tess_edge_list_next(struct tess_edge_list *list, struct tess_field name[2], double *number,
                        struct tess_error *error)
{
    char *text;
    size_t length;
    int more;

    while ((more = tess_lines_next(&list->lines, &text, &length, error)) == 1) {
        int64_t n = length == 0 || text[0] == '#' ? 0 : cut(text, length, list->field);
        int has_number = n > list->at[2] && list->at[2] < TESS_EDGE_LIST_COLUMNS;

        if (n == 0 || (list->lines.number == 1 && read_header(list, n)))
            continue;
        *number = 1;
        if (n <= list->at[0] || n <= list->at[1] || (list->number_needed && !has_number) ||
            (has_number && !read_number(&list->field[list->at[2]], number))) {
            tess_error_set(error, TESS_EDATA,
                           "%s:%" PRId64 ": expected a regulator, a target and a number, with "
                           "tabs between",
                           list->path, list->lines.number);
            return -1;
        }
        name[0] = list->field[list->at[0]];
        name[1] = list->field[list->at[1]];
        return 1;
    }
    return more;
}

int tess_edge_list_open(struct tess_edge_list *list, const char *path, int number_needed,
                        struct tess_error *error)
{
    *list = (struct tess_edge_list){.path = path, .at = {0, 1, 2}, .number_needed = number_needed};
    return tess_lines_open(&list->lines, path, NULL, error);
}

void tess_edge_list_release(struct tess_edge_list *list)
{
    tess_lines_release(&list->lines);
}
