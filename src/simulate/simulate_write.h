/* simulate_write.h -- the labelled matrices of a simulation. */
#ifndef SIMULATE_WRITE_H
#define SIMULATE_WRITE_H

#include "simulate_design.h"

/* The data, and the noise-free truth. Collective over comm. */
int tess_design_write_matrix(const struct tess_design *design, MPI_Comm comm,
                             struct tess_error *error);
int tess_design_write_truth(const struct tess_design *design, MPI_Comm comm,
                            struct tess_error *error);

#endif
