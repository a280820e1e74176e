/* cell_list.h -- the edges of a list that cells can judge, best first. Local; of one rank. */
#ifndef CELL_LIST_H
#define CELL_LIST_H

#include "cell_pairs.h"

#include "tessera/cell_scores.h"

/* Reads scores->edges: *edge (scores->n_edges), distinct, by score and then as they stand in the
 * list; own of the caller, also after an error. Counts what is left out. TESS_EDATA. */
int tess_cell_list_read(struct tess_cell_scores *scores, const struct tess_cell_groups *groups,
                        struct tess_cell_pair **edge, struct tess_error *error);

#endif
