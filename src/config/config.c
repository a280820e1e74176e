/* config.c -- settings from and to text. */
#include "tessera/config.h"

#include "yaml.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COMMENT_LINE 100

static const char *const kind_name[] = {
    [TESS_PARAM_INT] = "a whole number",
    [TESS_PARAM_REAL] = "a number",
    [TESS_PARAM_TEXT] = "a text",
    [TESS_PARAM_CHOICE] = "one of",
};

static const void *field(const struct tess_config *config, const struct tess_param *param)
{
    return (const char *)config + param->offset;
}

const struct tess_param *tess_config_find(const char *name)
{
    for (int i = 0; i < tess_n_params; i++)
        if (strcmp(tess_params[i].name, name) == 0)
            return &tess_params[i];
    return NULL;
}

static int is_setting(const char *name)
{
    return tess_config_find(name) != NULL;
}

/* The fewest digits that read back as the same number. Own. */
static char *real_text(double x)
{
    char text[40];

    if (x == rint(x) && fabs(x) < 1e15) {
        snprintf(text, sizeof text, "%.0f", x);
        return tess_strdup(text);
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return tess_strdup(text);
}

static char *choice_text(const struct tess_param *param, int64_t value)
{
    struct tess_strings choices = {0};
    char *text;

    tess_strings_split(&choices, param->choices, '|');
    TESS_BUG_IF(value < 0 || value >= (int64_t)choices.n);
    text = tess_strdup(choices.item[value]);
    tess_strings_release(&choices);
    return text;
}

/* "0 to 0.99", "none, zscore, delta"; own, or NULL where everything goes. */
static char *range_text(const struct tess_param *param)
{
    char *text, *low, *high;

    if (param->type == TESS_PARAM_TEXT)
        return NULL;
    if (param->type == TESS_PARAM_CHOICE) {
        struct tess_strings choices = {0};

        tess_strings_split(&choices, param->choices, '|');
        text = tess_strings_join(&choices, ", ", choices.n);
        tess_strings_release(&choices);
        return text;
    }
    if (param->type == TESS_PARAM_INT)
        return tess_format("%.0f to %.0f", param->low, param->high);
    low = real_text(param->low);
    high = real_text(param->high);
    text = tess_format("%s to %s", low, high);
    tess_free(low);
    tess_free(high);
    return text;
}

static int refuse_value(const struct tess_param *param, const char *value, const char *where,
                        struct tess_error *error)
{
    char *range = range_text(param);

    tess_error_set(error, TESS_ECONFIG, "%s: '%s' is '%.60s', but takes %s %s%s", where,
                   param->name, value, kind_name[param->type],
                   param->type == TESS_PARAM_CHOICE ? "" : "from ", range);
    tess_free(range);
    return error->code;
}

static int set_text(char *out, const struct tess_param *param, const char *value, const char *where,
                    struct tess_error *error)
{
    size_t length = strlen(value);

    if (length >= TESS_PATH)
        return tess_error_set(error, TESS_ECONFIG, "%s: '%s' has %zu bytes, but at most %d fit",
                              where, param->name, length, TESS_PATH - 1);
    memset(out, 0, TESS_PATH); /* the struct travels and is compared as bytes */
    memcpy(out, value, length);
    return TESS_OK;
}

static int set_choice(int64_t *out, const struct tess_param *param, const char *value,
                      const char *where, struct tess_error *error)
{
    struct tess_strings choices = {0};
    int64_t found;

    tess_strings_split(&choices, param->choices, '|');
    found = tess_strings_find(&choices, value);
    tess_strings_release(&choices);
    if (found < 0)
        return refuse_value(param, value, where, error);
    *out = found;
    return TESS_OK;
}

static int set_number(void *out, const struct tess_param *param, const char *value,
                      const char *where, struct tess_error *error)
{
    int64_t whole = 0;
    double real = 0;
    int good = param->type == TESS_PARAM_INT ? tess_text_int64(value, &whole)
                                             : tess_text_double(value, &real);

    if (param->type == TESS_PARAM_INT)
        real = (double)whole;
    /* Limits of whole numbers lie far below 2^53: comparing them as doubles is exact. */
    if (!good || !(real >= param->low && real <= param->high)) /* NaN is out of every range */
        return refuse_value(param, value, where, error);
    if (param->type == TESS_PARAM_INT)
        *(int64_t *)out = whole;
    else
        *(double *)out = real == 0 ? 0 : real; /* -0 would be another text */
    return TESS_OK;
}

/* "train" names no setting, but begins some: a group. Else the nearest setting is named. */
static int refuse_name(const char *name, const char *where, struct tess_error *error)
{
    const char **known = TESS_NEW(const char *, tess_n_params);
    struct tess_strings near = {0};
    size_t length = strlen(name);
    char *list;

    for (int i = 0; i < tess_n_params; i++) {
        known[i] = tess_params[i].name;
        if (strncmp(known[i], name, length) == 0 && known[i][length] == '.')
            tess_strings_add(&near, known[i]);
    }
    if (near.n) {
        list = tess_strings_join(&near, ", ", 4);
        tess_error_set(error, TESS_ECONFIG, "%s: '%s' is a group, not a setting: it has %s", where,
                       name, list);
    } else {
        tess_text_nearest(name, (size_t)tess_n_params, known, 1, &near);
        list = tess_strings_join(&near, ", ", 1);
        tess_error_set(error, TESS_ECONFIG,
                       "%s: there is no setting '%.80s'%s%s%s; docs/configuration.md has all",
                       where, name, near.n ? ": did you mean '" : "", list, near.n ? "'?" : "");
    }
    tess_free(list);
    tess_free(known);
    tess_strings_release(&near);
    return error->code;
}

/* Comment lines of at most COMMENT_LINE bytes. */
static void write_comment(FILE *out, const char *indent, const char *text)
{
    size_t column = 0;
    struct tess_strings words = {0};

    tess_strings_split(&words, text, ' ');
    for (size_t i = 0; i < words.n; i++) {
        size_t length = strlen(words.item[i]);

        if (column && column + 1 + length > COMMENT_LINE) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column = (size_t)fprintf(out, "%s#", indent);
        column += (size_t)fprintf(out, " %s", words.item[i]);
    }
    if (column)
        fputc('\n', out);
    tess_strings_release(&words);
}

static void explain(FILE *out, const struct tess_param *param)
{
    char *range = range_text(param);
    char *facts = tess_format("%s%s%s%s", range ? range : "", range && param->unit ? " " : "",
                              param->unit ? param->unit : "",
                              param->numeric           ? ""
                              : (range || param->unit) ? "; layout"
                                                       : "layout");
    char *text = tess_format("%s%s%s%s", param->help, *facts ? " (" : "", facts, *facts ? ")" : "");

    write_comment(out, "  ", text);
    tess_free(text);
    tess_free(facts);
    tess_free(range);
}

/* Control characters were refused when the text was set: quotes and backslashes are all that has to
 * be escaped within YAML's double quotes. */
static void write_value(FILE *out, const struct tess_config *config, const struct tess_param *param)
{
    char *value = tess_config_get(config, param);

    if (param->type == TESS_PARAM_TEXT) { /* no control characters inside */
        fputc('"', out);
        for (const char *c = value; *c; c++)
            fprintf(out, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        fputs("\"\n", out);
    } else
        fprintf(out, "%s\n", value);
    tess_free(value);
}

/* Length of the group's name with its dot. */
static size_t group_of(const struct tess_param *param)
{
    return strcspn(param->name, ".") + 1;
}

static int same_group(const struct tess_param *a, const struct tess_param *b)
{
    return a && group_of(a) == group_of(b) && strncmp(a->name, b->name, group_of(b)) == 0;
}

void tess_config_init(struct tess_config *config)
{
    struct tess_error error = TESS_ERROR_INIT;

    memset(config, 0, sizeof *config);
    for (int i = 0; i < tess_n_params; i++)
        TESS_BUG_IF(tess_config_set(config, tess_params[i].name, tess_params[i].initial, "default",
                                    &error) != TESS_OK);
}

int tess_config_set(struct tess_config *config, const char *name, const char *value,
                    const char *where, struct tess_error *error)
{
    const struct tess_param *param = tess_config_find(name);
    void *out;

    for (const char *c = value; *c; c++)
        if (iscntrl((unsigned char)*c))
            return tess_error_set(error, TESS_ECONFIG, "%s: '%.80s' holds a control character",
                                  where, name);
    if (!param)
        return refuse_name(name, where, error);
    out = (char *)config + param->offset;
    if (param->type == TESS_PARAM_TEXT)
        return set_text(out, param, value, where, error);
    if (param->type == TESS_PARAM_CHOICE)
        return set_choice(out, param, value, where, error);
    return set_number(out, param, value, where, error);
}

char *tess_config_get(const struct tess_config *config, const struct tess_param *param)
{
    const void *value = field(config, param);

    switch (param->type) {
    case TESS_PARAM_TEXT:
        return tess_strdup(value);
    case TESS_PARAM_REAL:
        return real_text(*(const double *)value);
    case TESS_PARAM_CHOICE:
        return choice_text(param, *(const int64_t *)value);
    default:
        return tess_format("%lld", (long long)*(const int64_t *)value);
    }
}

static int visit(void *state, const char *key, const char *value, const char *where,
                 struct tess_error *error)
{
    if (tess_yaml_is_sweep(key))
        return tess_error_set(
            error, TESS_ECONFIG,
            "%s: the section 'sweep' is for 'tessera sweep', which trains many models: "
            "take it out to train one",
            where);
    return tess_config_set(state, key, value, where, error);
}

int tess_config_parse(struct tess_config *config, const char *yaml, const char *source,
                      struct tess_error *error)
{
    const struct tess_yaml_taker taker = {is_setting, visit, config, tess_yaml_is_sweep};

    tess_config_init(config);
    return tess_yaml_read(yaml, strlen(yaml), source, &taker, error);
}

/* The struct holds no pointers, and all ranks run the same program: it travels as bytes. */
int tess_config_read(struct tess_config *config, const char *path, const struct tess_strings *set,
                     MPI_Comm comm, struct tess_error *error)
{
    const struct tess_yaml_taker taker = {is_setting, visit, config, tess_yaml_is_sweep};
    int rank;

    MPI_Comm_rank(comm, &rank);
    tess_config_init(config);
    if (rank == 0) {
        tess_yaml_read_file(path, &taker, error);
        for (size_t i = 0; set && i < set->n && error->code == TESS_OK; i++)
            tess_yaml_read_set(set->item[i], &taker, error);
    }
    if (tess_agree(comm, error) == TESS_OK)
        MPI_Bcast(config, (int)sizeof *config, MPI_BYTE, 0, comm);
    return error->code;
}

/* Checkpoints and used.yaml hold this text: tess_config_parse must go on reading it. */
char *tess_config_yaml(const struct tess_config *config, int numeric_only, int explained)
{
    const struct tess_param *last = NULL;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    TESS_BUG_IF(!out);
    if (explained)
        write_comment(
            out, "",
            "Settings of 'tessera train'. Those marked layout (paths, threads, intervals) "
            "never change a result; all others do.");
    for (int i = 0; i < tess_n_params; i++) {
        const struct tess_param *param = &tess_params[i];

        if (numeric_only && !param->numeric)
            continue;
        if (!same_group(last, param))
            fprintf(out, "%s%.*s:\n", explained ? "\n" : "", (int)group_of(param) - 1, param->name);
        if (explained)
            explain(out, param);
        fprintf(out, "  %s: ", param->name + group_of(param));
        write_value(out, config, param);
        last = param;
    }
    fclose(out);
    return text;
}

/* docs/configuration.md is this text, byte for byte; tools/update_reference.sh writes it. */
char *tess_config_markdown(void)
{
    const struct tess_param *last = NULL;
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    TESS_BUG_IF(!out);
    fputs(
        "# Configuration\n\n"
        "`tessera train CONFIG [--set key=value …]` reads a YAML file of nested groups or dotted\n"
        "keys; `--set` comes after it. `config/reference.yaml` has every key with its default, "
        "and\n"
        "each run keeps what it used in `used.yaml`. Relative paths start from the directory in\n"
        "which the program was started.\n\n"
        "*Numeric* settings change results and are stored in checkpoints. *Layout* settings "
        "(paths,\n"
        "threads, intervals) never change a bit of them.\n\n"
        "This page is generated from `src/config/params.c` by `tools/update_reference.sh`.\n",
        out);
    for (int i = 0; i < tess_n_params; i++) {
        const struct tess_param *param = &tess_params[i];
        char *range = range_text(param);

        if (!same_group(last, param))
            fprintf(out,
                    "\n## %.*s\n\n| key | default | range | unit | kind | meaning "
                    "|\n|---|---|---|---|---|---|\n",
                    (int)group_of(param) - 1, param->name);
        fprintf(out, "| `%s` | %s | %s | %s | %s | %s |\n", param->name, param->initial,
                range ? range : "", param->unit ? param->unit : "",
                param->numeric ? "numeric" : "layout", param->help);
        tess_free(range);
        last = param;
    }
    fclose(out);
    return text;
}
