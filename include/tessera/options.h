/* options.h -- getopt_long driven by a command's table. For main. */
#ifndef TESSERA_OPTIONS_H
#define TESSERA_OPTIONS_H

struct tess_call;
struct tess_command;
struct tess_error;

/* Prints the command's help and returns 1 if the arguments ask for it. Local. */
int tess_options_help(const struct tess_command *command, int argc, char **argv);
/* argv[0] is the command's name. Also takes -v, -q. TESS_EUSAGE with the remedy. Local. */
int tess_options_parse(struct tess_call *call, int argc, char **argv, struct tess_error *error);
void tess_options_release(struct tess_call *call);

#endif
