/* demand.h -- which rows of the tables each lane needs at the first steps of a training: what its
 * messages follow from, on any number of ranks. Local. */
#ifndef DEMAND_H
#define DEMAND_H

#include "tessera/trainer.h"

#include <stdint.h>

/* Rows are numbered through the tables: those of perturbations, of readouts, of contexts. */
struct demand_lane {
    int64_t n_steps; /* until it has run out; counted are as many as demand.n_steps */
    int64_t *first; /* (steps counted + 1) into row; own */
    int64_t *row; /* own */
    size_t room;
};

struct demand {
    int64_t table_first[TESS_N_TABLES + 1]; /* first row of each table, and the number of all */
    int n_lanes;
    struct demand_lane *lane; /* (n_lanes) own */
    int64_t n_steps; /* that are counted */
    int64_t steps_per_epoch; /* of the first epoch */
};

/* Of an opened trainer, lane by lane: one lane is held at a time. At most `most` steps, and no more
 * than the epoch has. The codes of tess_lane_lay_out. */
int tess_demand_init(struct demand *demand, const struct tess_trainer *trainer, int64_t most,
                     struct tess_error *error);
void tess_demand_release(struct demand *demand);

#endif
