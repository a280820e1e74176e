/* options.h -- getopt_long driven by a command's table. For main. */
#ifndef TESSERA_OPTIONS_H
#define TESSERA_OPTIONS_H

#include "tessera/command.h"

#include <stdio.h>

struct tess_call;
struct tess_error;

/* `text` of a table with what "{kinds}" and such stand for (command.h); own of the caller. Local.
 */
char *tess_options_expand(const char *text);
/* One line of a help: an option and what it does. Local. */
void tess_options_print(FILE *out, const struct tess_option *option);
/* The options that every command has beside those of its table; ends with a zero entry. */
extern const struct tess_option tess_options_shared[];
/* Prints the command's help and returns 1 if the arguments ask for it. Local. */
int tess_options_help(const struct tess_command *command, int argc, char **argv);
/* argv[0] is the command's name. Also takes -v, -q. TESS_EUSAGE with the remedy. Local. */
int tess_options_parse(struct tess_call *call, int argc, char **argv, struct tess_error *error);
void tess_options_release(struct tess_call *call);

#endif
