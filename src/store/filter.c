/* filter.c -- a column's levels are judged once each, its rows by their level. */
#include "tessera/filter.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/source.h"

#include <string.h>

static int read_values(struct tess_condition *condition, const char *text, struct tess_error *error)
{
    struct tess_strings part = {0};

    tess_strings_split(&part, text, ',');
    for (size_t i = 0; i < part.n && error->code == TESS_OK; i++) {
        if (part.item[i][0] == '@')
            tess_strings_read(&condition->value, part.item[i] + 1, error);
        else
            tess_strings_add(&condition->value, part.item[i]);
    }
    tess_strings_release(&part);
    return error->code;
}

int tess_filter_add(struct tess_filter *filter, int keep, const char *text,
                    struct tess_error *error)
{
    const char *option = keep ? "--keep" : "--drop", *equals = strchr(text, '=');
    struct tess_condition *one;

    if (!equals || equals == text)
        return tess_error_set(error, TESS_EUSAGE, "%s: '%s' is not COLUMN=VALUE[,VALUE]", option,
                              text);
    filter->item = tess_grow(filter->item, &filter->room, filter->n + 1, sizeof filter->item[0]);
    one = &filter->item[filter->n++];
    *one = (struct tess_condition){.keep = keep,
                                   .column = tess_format("%.*s", (int)(equals - text), text)};
    read_values(one, equals + 1, error);
    if (error->code == TESS_OK && equals[1] && one->value.n == 0)
        tess_error_set(error, TESS_EUSAGE, "%s: '%s' names no value", option, text);
    one->met = TESS_NEW(char, one->value.n + 1);
    return error->code;
}

/* Does a level meet the condition? Marks the values by which it does. */
static int meets(struct tess_condition *condition, const char *level)
{
    int met = 0;

    for (size_t i = 0; i < condition->value.n; i++)
        if (strcmp(condition->value.item[i], level) == 0 ||
            tess_text_match(condition->value.item[i], level))
            met = condition->met[i] = 1;
    return met;
}

static void judge_rows(struct tess_condition *condition, const struct tess_column *column,
                       int64_t n_rows, int8_t *out)
{
    enum { UNSEEN = -1 };
    int8_t *met = (int8_t *)tess_alloc((size_t)column->n_levels + 1, 1);

    memset(met, UNSEEN, (size_t)column->n_levels + 1);
    for (int64_t row = 0; row < n_rows; row++) {
        int32_t level = column->code[row];
        int here;

        if (level < 0 || !*column->level[level]) {
            here = condition->value.n == 0;
            condition->met[0] |= (char)here;
        } else {
            if (met[level] == UNSEEN)
                met[level] = (int8_t)meets(condition, column->level[level]);
            here = met[level];
        }
        if (here != condition->keep)
            out[row] = 1;
    }
    tess_free(met);
}

int tess_filter_apply(struct tess_filter *filter, struct tess_source *source, int8_t *out,
                      struct tess_error *error)
{
    for (size_t i = 0; i < filter->n && error->code == TESS_OK; i++) {
        struct tess_column column = {0};

        if (tess_source_read_column(source, filter->item[i].column, &column, error) == TESS_OK)
            judge_rows(&filter->item[i], &column, source->n_rows, out);
        tess_column_release(&column);
    }
    return error->code;
}

void tess_filter_unmet(const struct tess_filter *filter, struct tess_strings *unmet)
{
    for (size_t i = 0; i < filter->n; i++) {
        const struct tess_condition *one = &filter->item[i];

        for (size_t k = 0; k < one->value.n || k == 0; k++)
            if (!one->met[k]) {
                char *text = tess_format("--%s '%s=%s'", one->keep ? "keep" : "drop", one->column,
                                         one->value.n ? one->value.item[k] : "");

                tess_strings_add(unmet, text);
                tess_free(text);
            }
    }
}

void tess_filter_release(struct tess_filter *filter)
{
    for (size_t i = 0; i < filter->n; i++) {
        tess_free(filter->item[i].column);
        tess_strings_release(&filter->item[i].value);
        tess_free(filter->item[i].met);
    }
    tess_free(filter->item);
    *filter = (struct tess_filter){0};
}
