/* simulate_cells.h -- counts of cells, drawn from their profiles. Local. */
#ifndef SIMULATE_CELLS_H
#define SIMULATE_CELLS_H

#include "simulate_design.h"

/* Counts of the cells [first, first + n) of the file, as compressed rows; without `counts` only
 * indptr (n + 1) is filled. */
struct cells {
    int64_t *indptr; /* (n + 1) from 0; own */
    int32_t *index;
    float *count;
    size_t room_indptr, room_index, room_count;
};
void tess_simulate_cells_make(struct cells *cells, struct cursor *cursor, int64_t first, int64_t n,
                              int counts);
void tess_simulate_cells_release(struct cells *cells);

#endif
