/* sections_screen.c -- a ranked screen. */
#include "sections.h"

#include "tessera/error.h"

#include <string.h>

#define MOST_ENDS   150 /* lines at either end that are all shown */
#define MOST_MIDDLE 700 /* of those between */

enum { PERTURBATION, CHANGE, STD, Z, MEASURED, TRAINED, COLUMNS };
static const char *const column[COLUMNS] = {"perturbation", "change", "std", "z",
                                            "measured",     "trained"};

/* One row into the arrays of its columns. */
static void add_row(json_t *rows, const struct tess_sections_table *table, int64_t rank)
{
    json_array_append_new(json_object_get(rows, "rank"), json_integer(rank));
    for (int k = 0; k < COLUMNS; k++)
        json_array_append_new(json_object_get(rows, column[k]),
                              k == PERTURBATION || k == TRAINED
                                  ? tess_sections_text(tess_sections_table_word(table, k))
                                  : tess_sections_number(tess_sections_table_number(table, k)));
}

static int64_t count_rows(const char *path, char *text, struct tess_error *error)
{
    struct tess_sections_table table;
    int64_t n = 0;

    if (tess_sections_table_open(&table, path, text,
                                 &(struct tess_sections_columns){COLUMNS, 2, column},
                                 error) == TESS_OK)
        while (tess_sections_table_next(&table, error) == 1)
            n++;
    tess_sections_table_release(&table);
    return n;
}

static json_t *read_rows(const char *path, char *text, int64_t n, struct tess_error *error)
{
    struct tess_sections_table table;
    int64_t step = tess_sections_step(n - 2 * MOST_ENDS, MOST_MIDDLE), i = 0;
    json_t *rows = json_pack("{s:[]}", "rank");

    for (int k = 0; k < COLUMNS; k++)
        json_object_set_new(rows, column[k], json_array());
    if (tess_sections_table_open(&table, path, text,
                                 &(struct tess_sections_columns){COLUMNS, 2, column},
                                 error) == TESS_OK)
        for (; tess_sections_table_next(&table, error) == 1; i++)
            if (i < MOST_ENDS || i >= n - MOST_ENDS || (i - MOST_ENDS) % step == 0)
                add_row(rows, &table, i + 1);
    tess_sections_table_release(&table);
    return rows;
}

json_t *tess_sections_screen(const char *path, char *text, const char *command,
                             struct tess_error *error)
{
    char *copy = text ? strdup(text) : NULL;
    int64_t n = count_rows(path, copy, error);
    json_t *rows = read_rows(path, text, n, error);

    if (error->code == TESS_OK && n == 0)
        tess_error_set(error, TESS_EDATA, "%s: ranks nothing", path);
    return json_pack("{s:o, s:o, s:I, s:o}", "file", tess_sections_text(path), "command",
                     tess_sections_text(command), "in_all", (json_int_t)n, "rows", rows);
}
