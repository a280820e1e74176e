/* filter.c -- each text of a column is judged once. */
#include "tessera/filter.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/number.h"
#include "tessera/source.h"
#include "tessera/table.h"

#include <string.h>

/* In this order: the whole text, its parts, the names in its files. Patterns are looked for in
 * parts only (and in the whole if it is its one part): names hold brackets. */
static int read_values(struct tess_condition *condition, const char *text, struct tess_error *error)
{
    struct tess_strings part = {0};
    size_t n_patterns;

    tess_strings_split(&part, text, ',');
    tess_strings_add(&condition->value, text);
    for (size_t i = 0; i < part.n; i++)
        if (part.item[i][0] != '@')
            tess_strings_add(&condition->value, part.item[i]);
    n_patterns = condition->value.n;
    for (size_t i = 0; i < part.n && error->code == TESS_OK; i++)
        if (part.item[i][0] == '@')
            tess_strings_read(&condition->value, part.item[i] + 1, error);
    condition->literal = TESS_NEW(char, condition->value.n);
    condition->met = TESS_NEW(char, condition->value.n);
    condition->literal[0] = part.n != 1;
    memset(condition->literal + n_patterns, 1, condition->value.n - n_patterns);
    tess_strings_release(&part);
    return error->code;
}

int tess_filter_add(struct tess_filter *filter, int keep, const char *text,
                    struct tess_error *error)
{
    const char *option = keep ? "--keep" : "--drop", *equals = strchr(text, '=');
    struct tess_condition *one;

    if (!equals || equals == text || strspn(equals + 1, ",") > 0)
        return tess_error_set(error, TESS_EUSAGE, "%s: '%s' is not COLUMN=VALUE[,VALUE]", option,
                              text);
    filter->item = tess_grow(filter->item, &filter->room, filter->n + 1, sizeof filter->item[0]);
    one = &filter->item[filter->n++];
    *one = (struct tess_condition){.keep = keep,
                                   .column = tess_format("%.*s", (int)(equals - text), text)};
    return equals[1] ? read_values(one, equals + 1, error) : error->code;
}

/* Does a text meet the condition? Marks the values by which it does. */
static int meets(struct tess_condition *condition, const char *text)
{
    int met = 0;

    for (size_t i = 0; i < condition->value.n; i++)
        if (strcmp(condition->value.item[i], text) == 0 ||
            (!condition->literal[i] && tess_text_match(condition->value.item[i], text)))
            met = condition->met[i] = 1;
    return met;
}

/* Does a row with this text (n bytes; none: missing, and so is CMap's -666) stay, if it is for this
 * condition? */
static int passes(struct tess_condition *condition, const char *text, size_t n)
{
    int64_t before = condition->seen.n, number;
    int met;

    if (tess_number_is_missing(text, n) || (n == 4 && memcmp(text, "-666", 4) == 0)) {
        met = condition->value.n == 0;
        condition->met_missing |= met;
        return met == condition->keep;
    }
    number = tess_intern_add(&condition->seen, text, n);
    if (number == before) {
        condition->verdict =
            tess_grow(condition->verdict, &condition->room_verdict, (size_t)before + 1, 1);
        condition->verdict[number] =
            (char)(meets(condition, condition->seen.text[number]) == condition->keep);
    }
    return condition->verdict[number];
}

int64_t *tess_filter_columns(const struct tess_filter *filter, const struct tess_table *table)
{
    int64_t *column = TESS_NEW(int64_t, (filter ? filter->n : 0) + 1);

    for (size_t i = 0; filter && i < filter->n; i++)
        column[i] = tess_table_find(table, filter->item[i].column);
    return column;
}

int tess_filter_keeps_line(struct tess_filter *filter, const int64_t *column,
                           const struct tess_table *table)
{
    int keeps = 1;

    for (size_t i = 0; filter && i < filter->n; i++)
        if (column[i] >= 0)
            keeps &=
                passes(&filter->item[i], table->field[column[i]].text, table->field[column[i]].n);
    return keeps;
}

/* Rows whose text in the column does not pass are marked. */
static int apply_condition(struct tess_condition *condition, struct tess_source *source,
                           int8_t *out, struct tess_error *error)
{
    struct tess_column column = {0};

    if (tess_source_read_column(source, condition->column, &column, error) == TESS_OK)
        for (int64_t row = 0; row < source->n_rows; row++) {
            const char *text = column.code[row] < 0 ? "" : column.level[column.code[row]];

            if (!passes(condition, text, strlen(text)))
                out[row] = 1;
        }
    tess_column_release(&column);
    return error->code;
}

int tess_filter_apply(struct tess_filter *filter, struct tess_source *source, int8_t *out,
                      struct tess_error *error)
{
    for (size_t i = 0; i < filter->n && error->code == TESS_OK; i++)
        if (!source->by_line || source->by_line[i] < 0) /* else it is judged line by line */
            apply_condition(&filter->item[i], source, out, error);
    return error->code;
}

static void add_unmet(const struct tess_condition *one, const char *value,
                      struct tess_strings *unmet)
{
    char *text = tess_format("--%s '%s=%s'", one->keep ? "keep" : "drop", one->column, value);

    tess_strings_add(unmet, text);
    tess_free(text);
}

/* Where the whole text was met, its parts were not meant. */
void tess_filter_unmet(const struct tess_filter *filter, struct tess_strings *unmet)
{
    for (size_t i = 0; i < filter->n; i++) {
        const struct tess_condition *one = &filter->item[i];

        if (one->value.n == 0 && !one->met_missing)
            add_unmet(one, "", unmet);
        if (one->value.n == 0 || one->met[0])
            continue;
        for (size_t k = 1; k < one->value.n; k++)
            if (!one->met[k])
                add_unmet(one, one->value.item[k], unmet);
    }
}

void tess_filter_release(struct tess_filter *filter)
{
    for (size_t i = 0; i < filter->n; i++) {
        struct tess_condition *one = &filter->item[i];

        tess_free(one->column);
        tess_strings_release(&one->value);
        tess_free(one->literal);
        tess_free(one->met);
        tess_intern_release(&one->seen);
        tess_free(one->verdict);
    }
    tess_free(filter->item);
    *filter = (struct tess_filter){0};
}
