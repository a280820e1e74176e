/* completion.h -- what a shell needs to complete the program's command line, from the tables that
 * make --help and the table of settings. */
#ifndef TESSERA_COMPLETION_H
#define TESSERA_COMPLETION_H

#include <stdio.h>

struct tess_command;

/* A script for `shell`, "bash" or "zsh"; commands end with NULL. 0: it is another shell, and
 * nothing is printed. Local. */
int tess_completion_print(FILE *out, const struct tess_command *program,
                          const struct tess_command *const *commands, const char *shell);

#endif
