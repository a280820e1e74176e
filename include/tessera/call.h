/* call.h -- what a command was called with: its options' values, its arguments, its outputs. Local,
 * where a function does not say that it is collective. */
#ifndef TESSERA_CALL_H
#define TESSERA_CALL_H

#include "tessera/command.h"

#include "tessera/blend.h"
#include "tessera/text.h"

#include <mpi.h>

struct tess_error;

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

/* Bytes: "2G", "500M", "1.5T", "2000000"; *bytes stays if not given. TESS_EUSAGE if it is no size
 * above 0. */
int tess_call_size(const struct tess_call *call, const char *name, double *bytes,
                   struct tess_error *error);

/* The option --precision, for tables of options, and what it says: enum tess_precision, auto if it
 * is not given. TESS_EUSAGE if it is none of its words. */
#define TESS_CALL_PRECISION                                                                        \
    {                                                                                              \
        "precision", 0, "auto|float32|bfloat16",                                                   \
            "of the predictions (default auto: bfloat16 where the processor has a unit for it)"    \
    }
int tess_call_precision(const struct tess_call *call, int *precision, struct tess_error *error);
/* The option --blend; auto if it is not given. TESS_EUSAGE if it is none of its words. */
int tess_call_blend(const struct tess_call *call, enum tess_blend_choice *choice,
                    struct tess_error *error);

/* The first n arguments, which are runs and checkpoints, with the members in place of a run that
 * has several: what an ensemble is opened of; own of the caller. Collective. */
int tess_call_models(const struct tess_call *call, int n, struct tess_strings *out,
                     struct tess_error *error);

/* The command with its options and arguments, as a shell takes it again; own of the caller. */
char *tess_call_text(const struct tess_call *call);

/* Before any work: every output may be written and is none of the files that the command is given,
 * by itself, in an option's value or in a run or as its store (output.h). Collective. */
int tess_call_check_outputs(const struct tess_call *call, struct tess_error *error);
/* The same for an input that a configuration names. Collective. */
int tess_call_check_more(const struct tess_call *call, const char *input, struct tess_error *error);

#endif
