/* sections.h -- the sections of a report, each a JSON object: {"missing": "why, and how to get it"}
 * where there are no data. Local to the folder, and of rank 0 where nothing else is said. What they
 * return is own of the caller. */
#ifndef REPORT_SECTIONS_H
#define REPORT_SECTIONS_H

#include "tessera/evaluate.h"
#include "tessera/lines.h"
#include "tessera/model.h"
#include "tessera/report.h"

json_t *tess_sections_missing(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Text of other places, such as a path: what is no UTF-8 is taken as Windows-1252. */
json_t *tess_sections_text(const char *text);
/* Numbers that are not finite are null. */
json_t *tess_sections_number(double x);
/* Of n things in order, at most `most`: every step-th counts. */
int64_t tess_sections_step(int64_t n, int64_t most);

/* What was trained: each member's checkpoint and settings. NULL and an error if one cannot be read.
 */
json_t *tess_sections_trained(const struct tess_report *report, const struct tess_model *model,
                              struct tess_error *error);
json_t *tess_sections_store(const struct tess_store *store);
/* From the logs beside the checkpoints. */
json_t *tess_sections_curve(const struct tess_model *model, struct tess_error *error);
/* From what `evaluate --json` writes: numbers in arrays, of the contexts with most experiments. */
json_t *tess_sections_scores(const json_t *evaluation);
/* Measured beside predicted: counts on a grid. */
json_t *tess_sections_values(const struct tess_spread *spread);
/* How often intervals hold what they should, by deviations as they are and calibrated. */
json_t *tess_sections_coverage(const struct tess_spread *spread, const json_t *evaluation);
/* The store's number of the readout whose values vary most within contexts, among those that the
 * model knows; -1: none varies. */
int64_t tess_sections_readout(const struct tess_evaluation *evaluation);
/* Where perturbations lie. NULL and an error if something cannot be read. */
json_t *tess_sections_map(const struct tess_report *report, const struct tess_model *model,
                          struct tess_error *error);
/* A screen: of the report's file, or of the table `text` (taken over; NULL: none), which was made
 * by `command`. */
json_t *tess_sections_screen(const char *path, char *text, const char *command,
                             struct tess_error *error);
/* What makes the numbers again: [what, line] each. */
json_t *tess_sections_commands(const struct tess_report *report, int scored);
/* The same of a screen; own (tess_free). */
char *tess_sections_screen_command(const struct tess_report *report,
                                   const struct tess_strings *readout);
json_t *tess_sections_network(const struct tess_report *report, struct tess_error *error);
/* The table that `evaluate --transfer` left in the run, RMSE alone; NULL: it was not asked. */
json_t *tess_sections_transfer(const struct tess_report *report, struct tess_error *error);
/* How numbers are printed: as many digits as a picture or a table needs. */
#define TESS_SECTIONS_JSON (JSON_COMPACT | JSON_REAL_PRECISION(7))
/* The page around the numbers (taken as they are printed); own of the caller. */
char *tess_sections_page(const json_t *all);

/* A table of text with named columns, row by row. */
#define TESS_COLUMNS 64
struct tess_sections_table {
    const char *path; /* for messages; borrowed */
    char *text, *rest; /* a table in memory; own (free) */
    struct tess_lines lines; /* or of a file */
    struct tess_field field[TESS_COLUMNS];
    int64_t n_fields;
    char separator;
    int at[16]; /* where the columns that were asked for are; -1: not there */
};
/* Finds the n columns `name` in the first line; the first `needed` have to be there: TESS_EDATA.
 * text: taken over; NULL: `path` is read. To be released in either case. */
struct tess_sections_columns {
    int n, needed;
    const char *const *name;
};
int tess_sections_table_open(struct tess_sections_table *table, const char *path, char *text,
                             const struct tess_sections_columns *columns, struct tess_error *error);
/* 1: there is a row; 0: no more; -1: the error. */
int tess_sections_table_next(struct tess_sections_table *table, struct tess_error *error);
/* Of the row, by the number of the asked column: "" and NaN if there is none. */
const char *tess_sections_table_word(const struct tess_sections_table *table, int column);
double tess_sections_table_number(const struct tess_sections_table *table, int column);
void tess_sections_table_release(struct tess_sections_table *table);

#endif
