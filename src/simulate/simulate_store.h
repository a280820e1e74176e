/* simulate_store.h -- a simulation as a store. */
#ifndef SIMULATE_STORE_H
#define SIMULATE_STORE_H

#include "simulate_plan.h"

/* Takes the index over: write it last. Collective over comm. */
int plan_write_store(struct plan *plan, MPI_Comm comm, struct tess_error *error);

#endif
