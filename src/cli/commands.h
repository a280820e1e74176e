/* commands.h -- the commands that train models and use them. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "tessera/command.h"

extern const struct tess_command tess_command_train, tess_command_evaluate, tess_command_impute,
    tess_command_predict, tess_command_export, tess_command_embed, tess_command_neighbors,
    tess_command_screen, tess_command_report, tess_command_plan, tess_command_bench,
    tess_command_sweep;

#endif
