/* manual.h -- manual pages of the program, its commands and its settings, from the tables that make
 * --help. */
#ifndef TESSERA_MANUAL_H
#define TESSERA_MANUAL_H

#include <stdio.h>

struct tess_command;

/* A page for man: of the program (`name` NULL), which says what it is and does as a command would
 * (usage, summary, details, options); of one of its commands (ended by NULL); or of the "settings".
 * 0: there is no page of that name, and nothing is printed. Local. */
int tess_manual_print(FILE *out, const struct tess_command *program,
                      const struct tess_command *const *commands, const char *name);

#endif
