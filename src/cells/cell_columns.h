/* cell_columns.h -- all cells' values of one readout after the other, shared out over the ranks.
 *
 * A file of cells lies by rows. Ranks read the rows in equal shares, and send each value to the
 * rank whose readout it is; as many readouts at a time as fit into the memory that is meant for
 * them (groups->options->memory bytes a rank). Where that takes several passes the file is read as
 * often. */
#ifndef CELL_COLUMNS_H
#define CELL_COLUMNS_H

#include "tessera/cell_groups.h"

struct tess_cell_visitor {
    void *closure;
    double bytes; /* that a rank takes beside the values, for what is said of memory */
    /* The values of readout[k]: (n_cells) by place, NaN: not measured; the visitor's to reorder.
     * Local. */
    void (*take)(void *closure, int64_t k, float *value);
};

/* Every one of n readouts (numbers; distinct) is visited on one rank: which one, and in what order,
 * may depend on the ranks; its values do not. Says how much memory it takes. TESS_EDATA naming row
 * and readout of a value that is none. Collective; the arguments agree. */
int tess_cell_columns_visit(struct tess_cell_groups *groups, int64_t n, const int64_t *readout,
                            const struct tess_cell_visitor *visitor, struct tess_error *error);

#endif
