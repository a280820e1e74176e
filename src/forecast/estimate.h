/* estimate.h -- the time of a step on so many ranks and threads, from what its stages took on one
 * rank, and from its messages. docs/scaling.md explains the formulas. Local. */
#ifndef ESTIMATE_H
#define ESTIMATE_H

#include "traffic.h"

#include "tessera/bench.h"
#include "tessera/forecast.h"

/* What a layout's time follows from. */
struct estimate_basis {
    struct tess_bench_step one, many; /* a step with one thread, with n_many */
    int n_many; /* cores that were measured together; 1: no more than one */
    int given; /* the rate was given, not measured */
    struct tess_link within, between; /* nodes */
    int nodes; /* of one member's group of ranks */
    double sharing; /* groups on a node */
    double observations, values; /* of training and of validation, an epoch */
    double steps, epochs;
};

enum limit {
    LIMIT_COMPUTE,
    LIMIT_IMBALANCE,
    LIMIT_OPTIMIZER,
    LIMIT_LATENCY,
    LIMIT_BANDWIDTH,
    LIMITS
};
extern const char *const tess_limit_names[LIMITS];

/* One layout of ranks and threads. */
struct estimate {
    int ranks, threads;
    double part[LIMITS], step; /* seconds of a step, and their sum */
    double validation; /* seconds an epoch */
    double rate, hours; /* observations a second of steps; of all epochs and members */
    double memory; /* bytes of the rank that needs most, of those looked at */
    struct tess_trainer_memory most; /* where they go */
    enum limit limit; /* the largest part */
};

/* A given rate: all of it is the lanes', and the optimiser's is added. */
void tess_estimate_given(struct estimate_basis *basis, const struct tess_trainer *trainer,
                         double rate);
/* Fills in the times, of as many ranks as the trainer pretends to be one of. */
void tess_estimate_times(struct estimate *estimate, const struct estimate_basis *basis,
                         const struct tess_trainer *trainer, const struct traffic *traffic);

#endif
