/* hubs.h -- in many dimensions some vectors are near to all others ("hubs") and head every list.
 * CSLS (cross-domain similarity local scaling; Conneau et al., 2018) takes that off: twice the
 * cosine, less the mean cosines of either to its k nearest. Local to the folder. */
#ifndef HUBS_H
#define HUBS_H

#include "likeness.h"

/* Mean cosine of each wanted perturbation to the k nearest of all trained ones but itself and
 * control: (perturbations), 0 of the others and of those without length; own of the caller, NULL
 * upon an error. wanted: (perturbations). Bits do not depend on the number of ranks. Collective
 * over comm. */
float *tess_hubs_find(const struct tess_directions *directions, const uint8_t *wanted, int64_t k,
                      MPI_Comm comm, struct tess_error *error);

#endif
