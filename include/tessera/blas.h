/* blas.h -- the BLAS of all ranks. */
#ifndef TESSERA_BLAS_H
#define TESSERA_BLAS_H

#include <mpi.h>

struct tess_error;

/* One BLAS thread a rank; says at -v what is used; TESS_EOS on those ranks whose core type is not
 * rank 0's, because bits would differ. Collective over comm, but the result is each rank's own:
 * agree on it (agree.h). */
int tess_blas_agree(MPI_Comm comm, struct tess_error *error);

#endif
