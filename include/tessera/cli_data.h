/* cli_data.h -- the commands that make, divide, look at and check files: no training. */
#ifndef TESSERA_CLI_DATA_H
#define TESSERA_CLI_DATA_H

#include "tessera/command.h"

extern const struct tess_command tess_command_check, tess_command_import, tess_command_split,
    tess_command_info, tess_command_verify, tess_command_simulate, tess_command_network;

#endif
