/* simulate_store.h -- a simulation as a store. */
#ifndef SIMULATE_STORE_H
#define SIMULATE_STORE_H

#include "simulate_design.h"

/* Takes the index over: write it last. Collective over comm. */
int tess_design_write_store(struct tess_design *design, MPI_Comm comm, struct tess_error *error);

#endif
