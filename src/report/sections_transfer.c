/* sections_transfer.c -- what the other contexts gave each, if `evaluate --transfer` was asked. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>
#include <unistd.h>

#define MOST_CONTEXTS 60

/* In the order of the arrays of a row. */
enum {
    CONTEXT,
    TRAIN,
    TEST,
    BY_MEAN,
    ALL,
    ALONE,
    DIFFERENCE,
    LOW,
    HIGH,
    VERDICT,
    SHOWN,
    METRIC = SHOWN,
    COLUMNS
};
static const char *const column[COLUMNS] = {
    "context",    "train_experiments", "test_experiments", "by_context_mean", "all",   "alone",
    "difference", "difference_low",    "difference_high",  "verdict",         "metric"};

static json_t *row_json(const struct tess_sections_table *table)
{
    json_t *row = json_array();

    for (int k = 0; k < SHOWN; k++)
        json_array_append_new(row,
                              k == CONTEXT || k == VERDICT
                                  ? tess_sections_text(tess_sections_table_word(table, k))
                                  : tess_sections_number(tess_sections_table_number(table, k)));
    return row;
}

json_t *tess_sections_transfer(const struct tess_report *report, struct tess_error *error)
{
    char *path = tess_format("%s/transfer/transfer.tsv", report->run);
    struct tess_sections_table table;
    json_t *rows = json_array();
    int64_t n = 0;

    if (access(path, R_OK) != 0) {
        json_decref(rows);
        tess_free(path);
        return NULL;
    }
    if (tess_sections_table_open(&table, path, NULL,
                                 &(struct tess_sections_columns){COLUMNS, COLUMNS, column},
                                 error) == TESS_OK)
        while (tess_sections_table_next(&table, error) == 1)
            if (strcmp(tess_sections_table_word(&table, METRIC), "rmse") == 0 &&
                n++ < MOST_CONTEXTS)
                json_array_append_new(rows, row_json(&table));
    tess_sections_table_release(&table);
    tess_free(path);
    return json_pack("{s:I, s:o}", "contexts_in_all", (json_int_t)n, "rows", rows);
}
