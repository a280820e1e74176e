/* state_document.c -- the table of a checkpoint's state in words, for docs/formats.md. */
#include "tessera/state.h"

#include "tessera/error.h"

#include <stdio.h>

static const char *const types[TESS_STATE_N_TYPES] = {
    [TESS_STATE_STRING] = "string", [TESS_STATE_UINT8] = "uint8",   [TESS_STATE_INT64] = "int64",
    [TESS_STATE_UINT64] = "uint64", [TESS_STATE_FLOAT] = "float32", [TESS_STATE_DOUBLE] = "float64",
};

static const struct {
    const char *shape, *holder;
} kinds[TESS_STATE_N_KINDS] = {
    [TESS_STATE_NAMES] = {"n", "every rank"},
    [TESS_STATE_FLAGS] = {"n", "every rank"},
    [TESS_STATE_MATRIX] = {"(n, D)", "each row by its owner"},
    [TESS_STATE_COLUMN] = {"n", "each row by its owner"},
    [TESS_STATE_WHOLE] = {"N", "every rank"},
    [TESS_STATE_SLICE] = {"N", "each slice by its owner"},
    [TESS_STATE_STEPS] = {"step + 1", "every rank"},
    [TESS_STATE_FACTORS] = {"(contexts, readouts)", "every rank"},
    [TESS_STATE_FEATURES] = {"(n, features.axes)", "every rank"},
    [TESS_STATE_LISTED] = {"names", "every rank"},
    [TESS_STATE_NAMED] = {"(names, features.axes)", "every rank"},
};

static void print_attributes(FILE *out)
{
    fputs("| attribute | type | must be | holds |\n|---|---|---|---|\n", out);
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_ROOT); field;
         field = tess_state_next(field))
        fprintf(out, "| `%s` | %s | %s | %s |\n", field->name, types[field->type],
                field->rule->words, field->meaning);
}

static void print_dataset(FILE *out, const struct tess_state_field *field)
{
    char name[TESS_STATE_NAME], check[TESS_STATE_NAME];
    const char *mark = "`";

    tess_state_field_name(field, TESS_STATE_ANY_TABLE, name);
    tess_state_check_name(field, TESS_STATE_ANY_TABLE, check);
    if (field->kind == TESS_STATE_NAMES)
        snprintf(check, sizeof check, "attribute `hash` of `T`");
    if (field->kind == TESS_STATE_NAMES || check[0] == '\0')
        mark = "";
    fprintf(out, "| `%s` | %s, %s | %s | %s%s%s | %s | %s |\n", name, types[field->type],
            kinds[field->kind].shape, kinds[field->kind].holder, mark, check, mark,
            field->rule->words, field->meaning);
}

char *tess_state_markdown(void)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    TESS_BUG_IF(!out);
    print_attributes(out);
    fputs("\n| dataset | type and shape | held by | checksum | must be | holds |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (int i = 0; i < tess_n_state_fields; i++)
        if (tess_state_group_of(&tess_state_fields[i]) != TESS_STATE_ROOT)
            print_dataset(out, &tess_state_fields[i]);
    fclose(out);
    return text;
}
