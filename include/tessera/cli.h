/* cli.h -- the program's commands: a table of options each; parse, call, print; no science. */
#ifndef TESSERA_CLI_H
#define TESSERA_CLI_H

#include "tessera/text.h"

#include <mpi.h>

struct tess_error;

/* In `usage`, `argument` and `help`, "{kinds}" stands for the kinds of output that there are
 * (writer.h), "{endings}" and "{ENDINGS}" for the endings of their names. */
struct tess_option {
    const char *name;     /* long name                                       */
    char letter;          /* short name, or 0                                */
    const char *argument; /* "FILE"; NULL: a flag; "[X]": may be left out ("" is recorded) */
    const char *help;
};

struct tess_call;
struct tess_command {
    const char *name;
    const char *usage;                 /* "import FILE… -o STORE [options]"                */
    const char *summary;               /* one line                                         */
    const char *details;               /* more for --help, or NULL                         */
    const struct tess_option *options; /* ends with a zero entry; NULL: none */
    int min_args, max_args;            /* positional arguments; max -1: any  */
    const char *const *outputs; /* options that name files to be written, then NULL; or NULL */
    int with_sums;              /* each with a sidecar NAME.sum                              */
    /* Collective over call->comm; returns the same code on every rank. */
    int (*run)(struct tess_call *call, struct tess_error *error);
};

struct tess_call {
    MPI_Comm comm;
    int rank, n_ranks;
    const struct tess_command *command;
    struct tess_strings *value; /* one list an option, in order of the table */
    int n_args;
    char **args; /* borrowed */
};

/* The last value given for an option, "" for a flag, NULL if it was not given. Local. */
const char *tess_call_option(const struct tess_call *call, const char *name);
/* All values given, as they are; borrowed. */
const struct tess_strings *tess_call_all(const struct tess_call *call, const char *name);
/* All values given, split at commas; own of the caller's `out`. */
void tess_call_list(const struct tess_call *call, const char *name, struct tess_strings *out);
/* The same for a choice of what to take: TESS_EUSAGE if it was given and names nothing, since
 * nothing given means all (an unset variable of a script, for instance). */
int tess_call_selection(const struct tess_call *call, const char *name, struct tess_strings *out,
                        struct tess_error *error);
/* As a number in [low, high]; *x stays if not given. TESS_EUSAGE naming the option. */
int tess_call_int(const struct tess_call *call, const char *name, int64_t low, int64_t high,
                  int64_t *x, struct tess_error *error);
int tess_call_double(const struct tess_call *call, const char *name, double low, double high,
                     double *x, struct tess_error *error);

/* The command with its options and arguments, as it could be given again; own of the caller. */
char *tess_call_text(const struct tess_call *call);

/* Before any work: every output may be written and is none of the files that the command is given,
 * by itself, in an option's value or in a run or as its store (output.h). Collective. */
int tess_call_check_outputs(const struct tess_call *call, struct tess_error *error);
/* The same for an input that a configuration names. Collective. */
int tess_call_check_more(const struct tess_call *call, const char *input, struct tess_error *error);

extern const struct tess_command tess_command_check, tess_command_import, tess_command_split,
    tess_command_info, tess_command_verify, tess_command_train, tess_command_evaluate,
    tess_command_impute, tess_command_simulate, tess_command_bench;

#endif
