/* call_outputs.c -- what a command would write, held against everything that it was given. */
#include "call.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/output.h"
#include "tessera/rundir.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
