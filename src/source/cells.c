/* cells.c -- cells that ought to be numbers, and what is said of those that are not. */
#include "tessera/cells.h"

#include "tessera/alloc.h"
#include "tessera/lines.h"
#include "tessera/number.h"
#include "tessera/problems.h"
#include "tessera/source_options.h"

#include <math.h>
#include <string.h>

#define SINGLE 20 /* so many cells of text in a column of numbers are a problem each */

struct tess_cell_texts {
    int64_t n;
    int64_t line[SINGLE]; /* of the first */
    char *text[SINGLE]; /* excerpts; own */
};

static int has_decimal_comma(const char *text)
{
    const char *comma = strchr(text, ',');
    float x;

    return comma && tess_number_read(text, (size_t)(comma - text), &x) == TESS_NUMBER_FINITE &&
           tess_number_read(comma + 1, strlen(comma + 1), &x) == TESS_NUMBER_FINITE;
}

void tess_cells_init(struct tess_cells *cells, int64_t n, const char *file,
                     const struct tess_source_options *options, const char *remedy)
{
    *cells = (struct tess_cells){.options = options, .file = file, .remedy = remedy, .n = n};
    cells->numeric = (char *)tess_alloc((size_t)n, 1);
    cells->text = TESS_NEW(struct tess_cell_texts *, n);
}

/* One of the words of --missing? Blanks around the cell do not count. */
static int is_missing(const struct tess_strings *word, struct tess_field field)
{
    for (; field.n && *field.text == ' '; field.text++)
        field.n--;
    while (field.n && field.text[field.n - 1] == ' ')
        field.n--;
    for (size_t i = 0; i < word->n; i++)
        if (strlen(word->item[i]) == field.n && memcmp(word->item[i], field.text, field.n) == 0)
            return 1;
    return 0;
}

static void add_text(struct tess_cells *cells, int64_t k, const struct tess_field *field,
                     int64_t line)
{
    struct tess_cell_texts *texts = cells->text[k];

    if (!texts)
        texts = cells->text[k] = TESS_NEW(struct tess_cell_texts, 1);
    if (texts->n < SINGLE) {
        texts->line[texts->n] = line;
        texts->text[texts->n] = tess_field_excerpt(field);
    }
    texts->n++;
}

/* The words of --missing come first: one of them may be a number ("-999"). */
float tess_cells_read(struct tess_cells *cells, int64_t k, const struct tess_field *field,
                      int64_t line, const char *name, struct tess_problems *problems)
{
    float x;
    enum tess_number what;

    if (cells->options->missing.n > 0 && is_missing(&cells->options->missing, *field))
        return NAN;
    what = tess_number_read(field->text, field->n, &x);
    if (what == TESS_NUMBER_FINITE)
        cells->numeric[k] = 1;
    if (what == TESS_NUMBER_FINITE || what == TESS_NUMBER_MISSING)
        return x;
    if (what == TESS_NUMBER_INFINITE) {
        cells->numeric[k] = 1;
        if (problems && !cells->options->infinite_missing) {
            char *text = tess_field_excerpt(field);

            tess_problems_add(problems, cells->file, line, name,
                              "`%s` is infinite in single precision (write NA for missing; import "
                              "has --infinite missing)",
                              text);
            tess_free(text);
        }
    } else if (problems) {
        add_text(cells, k, field, line);
    }
    return NAN;
}

/* A column of text, or with much of it, as one problem. */
static void report_column(const struct tess_cells *cells, int64_t k, int64_t number,
                          const char *name, struct tess_problems *problems)
{
    const struct tess_cell_texts *texts = cells->text[k];
    int comma = has_decimal_comma(texts->text[0]);

    tess_problems_add(problems, cells->file, 0, NULL,
                      "column %lld, `%s`, holds %s in %lld row%s: %s (line %lld: `%s`)",
                      (long long)number, name, comma ? "decimal commas" : "text",
                      (long long)texts->n, texts->n == 1 ? "" : "s",
                      comma               ? "write decimal points"
                      : cells->numeric[k] ? "others hold numbers; --missing names what means a "
                                            "missing value"
                                          : cells->remedy,
                      (long long)texts->line[0], texts->text[0]);
}

void tess_cells_report(struct tess_cells *cells, int64_t k, int64_t number, const char *name,
                       struct tess_problems *problems)
{
    struct tess_cell_texts *texts = cells->text[k];

    if (!texts)
        return;
    if (!cells->numeric[k] || texts->n > SINGLE)
        report_column(cells, k, number, name, problems);
    else
        for (int64_t i = 0; i < texts->n; i++)
            tess_problems_add(
                problems, cells->file, texts->line[i], name, "`%s` is not a number%s",
                texts->text[i],
                has_decimal_comma(texts->text[i]) ? " (write a decimal point, no comma)" : "");
    for (int64_t i = 0; i < texts->n && i < SINGLE; i++)
        tess_free(texts->text[i]);
    tess_free(texts);
    cells->text[k] = NULL;
}

/* What was not reported is reported to a list that is thrown away, which releases it. */
void tess_cells_release(struct tess_cells *cells)
{
    struct tess_problems unused = {.limit = 1};

    for (int64_t k = 0; k < cells->n; k++)
        tess_cells_report(cells, k, 0, "", &unused);
    tess_problems_release(&unused);
    tess_free(cells->numeric);
    tess_free(cells->text);
    *cells = (struct tess_cells){0};
}
