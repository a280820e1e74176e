/* call.c -- the values of options, as texts, lists and numbers; what a command would write, held
 * against everything that it was given. */
#include "tessera/call.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/output.h"
#include "tessera/rundir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const struct tess_strings *tess_call_all(const struct tess_call *call, const char *name)
{
    for (int i = 0; i < tess_command_n_options(call->command); i++)
        if (strcmp(call->command->options[i].name, name) == 0)
            return &call->value[i];
    tess_bug(__FILE__, __LINE__, name);
}

const char *tess_call_option(const struct tess_call *call, const char *name)
{
    const struct tess_strings *given = tess_call_all(call, name);

    return given->n ? given->item[given->n - 1] : NULL;
}

void tess_call_list(const struct tess_call *call, const char *name, struct tess_strings *out)
{
    const struct tess_strings *given = tess_call_all(call, name);

    for (size_t i = 0; i < given->n; i++)
        tess_strings_split(out, given->item[i], ',');
}

int tess_call_selection(const struct tess_call *call, const char *name, struct tess_strings *out,
                        struct tess_error *error)
{
    tess_call_list(call, name, out);
    if (tess_call_option(call, name) && out->n == 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--%s '%s' names nothing: give names, or leave the option away", name,
                              tess_call_option(call, name));
    return error->code;
}

int tess_call_double(const struct tess_call *call, const char *name, double low, double high,
                     double *x, struct tess_error *error)
{
    const char *text = tess_call_option(call, name);
    double given;

    if (!text)
        return TESS_OK;
    if (!tess_text_double(text, &given) || !(given >= low && given <= high))
        return tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is no number from %g to %g", name,
                              text, low, high);
    *x = given;
    return TESS_OK;
}

int tess_call_int(const struct tess_call *call, const char *name, int64_t low, int64_t high,
                  int64_t *x, struct tess_error *error)
{
    const char *text = tess_call_option(call, name);
    int64_t given;

    if (!text)
        return TESS_OK;
    if (!tess_text_int64(text, &given) || given < low || given > high)
        return tess_error_set(error, TESS_EUSAGE, "--%s: '%s' is no whole number from %lld to %lld",
                              name, text, (long long)low, (long long)high);
    *x = given;
    return TESS_OK;
}

int tess_call_size(const struct tess_call *call, const char *name, double *bytes,
                   struct tess_error *error)
{
    static const char units[] = "kMGTP";
    const char *text = tess_call_option(call, name), *unit;
    char *digits;
    double factor = 1, given;
    size_t n;
    int fine;

    if (!text)
        return TESS_OK;
    digits = tess_strdup(text);
    n = strlen(digits);
    unit = n > 1 ? strchr(units, digits[n - 1]) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        factor *= 1000;
    if (unit)
        digits[n - 1] = '\0';
    fine = tess_text_double(digits, &given) && given > 0 && given * factor < 1e30;
    tess_free(digits);
    if (!fine)
        return tess_error_set(error, TESS_EUSAGE,
                              "--%s: '%s' is no size: give bytes, or such as 500M, 2G, 1.5T", name,
                              text);
    *bytes = given * factor;
    return TESS_OK;
}

int tess_call_blend(const struct tess_call *call, enum tess_blend_choice *choice,
                    struct tess_error *error)
{
    const char *text = tess_call_option(call, "blend");
    int parsed = tess_blend_parse(text);

    if (parsed < 0)
        return tess_error_set(error, TESS_EUSAGE, "--blend: '%s' is none of auto, on, off", text);
    *choice = (enum tess_blend_choice)parsed;
    return TESS_OK;
}

int tess_call_precision(const struct tess_call *call, int *precision, struct tess_error *error)
{
    const char *text = tess_call_option(call, "precision");

    *precision = tess_precision_parse(text);
    if (*precision < 0)
        return tess_error_set(error, TESS_EUSAGE,
                              "--precision: '%s' is none of auto, float32, bfloat16", text);
    return TESS_OK;
}

/* Rank 0 looks into the directories. */
int tess_call_models(const struct tess_call *call, int n, struct tess_strings *out,
                     struct tess_error *error)
{
    for (int i = 0; i < n && call->rank == 0 && error->code == TESS_OK; i++)
        tess_rundir_expand(call->args[i], out, error);
    if (tess_agree(call->comm, error) == TESS_OK)
        tess_broadcast_strings(call->comm, out);
    return error->code;
}

static void add_quoted(struct tess_strings *part, const char *option, const char *value)
{
    char *quoted = tess_text_quoted(value),
         *one = tess_format("%s%s", option, *option && !*value ? "" : quoted);

    tess_strings_add(part, one);
    tess_free(one);
    tess_free(quoted);
}

/* In the order of the table, whatever the order given: the same call gives the same text. */
char *tess_call_text(const struct tess_call *call)
{
    struct tess_strings part = {0};
    char *text;

    tess_strings_add(&part, "tessera");
    tess_strings_add(&part, call->command->name);
    for (int i = 0; i < call->n_args; i++)
        add_quoted(&part, "", call->args[i]);
    for (int i = 0; i < tess_command_n_options(call->command); i++)
        for (size_t k = 0; k < call->value[i].n; k++) {
            const char *value = call->value[i].item[k];
            char *option = tess_format("--%s%s", call->command->options[i].name, *value ? "=" : "");

            add_quoted(&part, option, value);
            tess_free(option);
        }
    text = tess_strings_join(&part, " ", part.n);
    tess_strings_release(&part);
    return text;
}

/* ---- outputs ---- */

/* A value that names a file or a run, as it is, after KEY= or in @FILE. What names none is none. */
static void add_input(struct tess_outputs *outputs, const char *value)
{
    const char *equals = strchr(value, '=');
    struct stat about;

    if (stat(value, &about) == 0) {
        tess_strings_add(&outputs->input, value);
        tess_rundir_inputs(value, &outputs->input);
    }
    if (value[0] == '@')
        add_input(outputs, value + 1);
    if (equals)
        add_input(outputs, equals + 1);
}

/* The value whole, and each part of a list: a file's name may hold commas. */
static void add_inputs(struct tess_outputs *outputs, const char *value)
{
    struct tess_strings part = {0};

    add_input(outputs, value);
    tess_strings_split(&part, value, ',');
    for (size_t i = 0; part.n > 1 && i < part.n; i++)
        add_input(outputs, part.item[i]);
    tess_strings_release(&part);
}

static int is_output(const struct tess_command *command, const char *name)
{
    for (int i = 0; command->outputs[i]; i++)
        if (strcmp(command->outputs[i], name) == 0)
            return 1;
    return 0;
}

static void add_output(struct tess_outputs *outputs, const char *path, const char *name)
{
    tess_strings_add(&outputs->output, path);
    tess_strings_add(&outputs->name, name);
}

/* A sidecar is an output as well: it must not be one of the inputs either. */
static void add_outputs(struct tess_outputs *outputs, const struct tess_call *call)
{
    for (int i = 0; call->command->outputs[i]; i++) {
        const char *path = tess_call_option(call, call->command->outputs[i]);

        char *sums = tess_format("%s.sum", path ? path : ""), name[64];

        snprintf(name, sizeof name, "--%s", call->command->outputs[i]);
        if (strcmp(name, "--output") == 0)
            snprintf(name, sizeof name, "-o");
        if (path && strcmp(path, "-") == 0)
            path = NULL; /* standard output, where a command knows it: no file */
        if (path)
            add_output(outputs, path, name);
        if (path && call->command->with_sums)
            add_output(outputs, sums, "its sidecar");
        tess_free(sums);
    }
}

int tess_call_check_more(const struct tess_call *call, const char *input, struct tess_error *error)
{
    struct tess_outputs outputs = {0};

    if (call->rank == 0 && call->command->outputs) {
        add_outputs(&outputs, call);
        add_input(&outputs, input);
        tess_outputs_check(&outputs, error);
    }
    tess_outputs_release(&outputs);
    return tess_agree(call->comm, error);
}

/* Rank 0 looks at the file system, all agree. Values of options that are outputs are no inputs:
 * each would be found to be itself. */
int tess_call_check_outputs(const struct tess_call *call, struct tess_error *error)
{
    const struct tess_command *command = call->command;
    struct tess_outputs outputs = {0};

    if (call->rank == 0 && command->outputs) {
        add_outputs(&outputs, call);
        for (int i = 0; outputs.output.n && i < call->n_args; i++)
            add_inputs(&outputs, call->args[i]);
        for (int i = 0; outputs.output.n && command->options[i].name; i++)
            for (size_t k = 0;
                 k < call->value[i].n && !is_output(command, command->options[i].name); k++)
                add_inputs(&outputs, call->value[i].item[k]);
        tess_outputs_check(&outputs, error);
    }
    tess_outputs_release(&outputs);
    return tess_agree(call->comm, error);
}
