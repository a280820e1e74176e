/* simulate_write.h -- the labelled matrices of a simulation. */
#ifndef SIMULATE_WRITE_H
#define SIMULATE_WRITE_H

#include "simulate_plan.h"

/* The data, and the noise-free truth. Collective over comm. */
int plan_write_matrix(const struct plan *plan, MPI_Comm comm, struct tess_error *error);
int plan_write_truth(const struct plan *plan, MPI_Comm comm, struct tess_error *error);

#endif
