/* call.c -- the values of options, as texts, lists and numbers. */
#include "call.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/rundir.h"

#include <stdio.h>
#include <string.h>

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

/* In the order of the table, whatever the order given: the same call gives the same text. */
char *tess_call_text(const struct tess_call *call)
{
    struct tess_strings part = {0};
    char *text;

    tess_strings_add(&part, "tessera");
    tess_strings_add(&part, call->command->name);
    for (int i = 0; i < call->n_args; i++)
        tess_strings_add(&part, call->args[i]);
    for (int i = 0; i < tess_command_n_options(call->command); i++)
        for (size_t k = 0; k < call->value[i].n; k++) {
            const char *value = call->value[i].item[k];
            char *one =
                tess_format("--%s%s%s", call->command->options[i].name, *value ? "=" : "", value);

            tess_strings_add(&part, one);
            tess_free(one);
        }
    text = tess_strings_join(&part, " ", part.n);
    tess_strings_release(&part);
    return text;
}
