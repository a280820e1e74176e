/* traffic.h -- what the ranks of a training send each other, counted from its schedule. Local. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include "demand.h"

/* By what is sent. Of exchanges between pairs (the first four) a rank's bytes are those that it
 * hands to MPI for other ranks, and its messages the ranks that something goes to, or the sends; of
 * the other two what it hands to MPI in a call, and the calls. */
enum traffic_kind {
    TRAFFIC_ASKED, /* counts and numbers of rows, for TESS_WINDOW steps at once (route.c) */
    TRAFFIC_FETCHED, /* rows, from their owners */
    TRAFFIC_RETURNED, /* gradients of rows, to their owners */
    TRAFFIC_SUMS, /* lanes' gradients of the MLP, to the slices' owners (lanes.c) */
    TRAFFIC_SLICES, /* MPI_Allgatherv: a rank's slice of the new MLP */
    TRAFFIC_PULSE, /* MPI_Allreduce: losses and counts of lanes, trouble, stop, save */
    TRAFFIC_KINDS
};
extern const char *const tess_traffic_names[TRAFFIC_KINDS];

struct traffic {
    int n_ranks;
    int64_t n_steps;
    int64_t (*bytes)[TRAFFIC_KINDS], (*messages)[TRAFFIC_KINDS]; /* (n_ranks) of all steps; own */
    int64_t n_roots; /* of the tree over lanes */
    int64_t widest; /* floats of the largest slice */
};

/* Of as many ranks as the trainer pretends to be one of (tess_trainer_pretend). */
void tess_traffic_init(struct traffic *traffic, const struct tess_trainer *trainer,
                       const struct demand *demand);
void tess_traffic_release(struct traffic *traffic);

int64_t tess_traffic_sum(const struct traffic *traffic, int64_t (*what)[TRAFFIC_KINDS],
                         enum traffic_kind kind);
/* Of the rank that has most. */
int64_t tess_traffic_most(const struct traffic *traffic, int64_t (*what)[TRAFFIC_KINDS],
                          enum traffic_kind kind);

#endif
