/* command.h -- what a command of the program is: a table of options, and a function that parses,
 * calls and prints; no science. */
#ifndef TESSERA_COMMAND_H
#define TESSERA_COMMAND_H

struct tess_call;
struct tess_error;

/* In `usage`, `argument` and `help`, "{kinds}" stands for the kinds of output that there are
 * (writer.h), "{endings}" and "{ENDINGS}" for the endings of their names. */
struct tess_option {
    const char *name; /* long name */
    char letter; /* short name, or 0 */
    const char *argument; /* "FILE"; NULL: a flag; "[X]": may be left out ("" is recorded) */
    const char *help;
};

struct tess_command {
    const char *name;
    const char *usage; /* "import FILE… -o STORE [options]" */
    const char *summary; /* one line */
    const char *details; /* more for --help, or NULL */
    const struct tess_option *options; /* ends with a zero entry; NULL: none */
    int min_args, max_args; /* positional arguments; max -1: any */
    const char *const *outputs; /* options that name files to be written, then NULL; or NULL */
    int with_sums; /* each with a sidecar NAME.sum */
    /* Collective over call->comm; returns the same code on every rank. */
    int (*run)(struct tess_call *call, struct tess_error *error);
};

static inline int tess_command_n_options(const struct tess_command *command)
{
    int n = 0;

    while (command->options && command->options[n].name)
        n++;
    return n;
}

#endif
