/* network_cells.h -- the parts of `tessera network` that read single cells. */
#ifndef NETWORK_CELLS_H
#define NETWORK_CELLS_H

#include "tessera/call.h"

#define TESS_NETWORK_CELL_OPTIONS                                                                  \
    {"perturbation", 'p', "COL", "cells: column of the perturbation [perturbation]"},              \
        {"context-column", 0, "COL", "cells: column of the context [context]"},                    \
        {"control", 0, "SYM[,SYM]", "cells: the unperturbed ones [control]"},                      \
        {"keep", 0, "COL=VAL[,VAL]", "cells: only those with one of these values (@half=1)"},      \
        {"drop", 0, "COL=VAL[,VAL]", "cells: leave out those with one of them"},                   \
        {"layer", 0, "NAME", "cells: layers/NAME, or raw for raw/X, instead of X"},                \
        {"normalize-total", 0, "X", "cells: scale each to this total (counts)"},                   \
        {"log1p", 0, NULL, "cells: log(1 + value), after scaling"},                                \
    {                                                                                              \
        "memory", 0, "GB", "cells: values that a rank holds at a time [1]"                         \
    }
#define TESS_NETWORK_CELL_NAMES                                                                    \
    "perturbation", "context-column", "control", "keep", "drop", "layer", "normalize-total",       \
        "log1p", "memory"

/* `network infer CELLS --method wasserstein`. Collective over call->comm. */
int tess_network_cells_infer(const struct tess_call *call, struct tess_error *error);

/* The options above, and --context; to be released in either case. Collective over call->comm. */
struct tess_cell_options;
int tess_network_cells_read(const struct tess_call *call, const char *path,
                            struct tess_cell_options *cells, struct tess_error *error);

#endif
