/* blas.h -- the BLAS of all ranks. */
#ifndef TESSERA_BLAS_H
#define TESSERA_BLAS_H

#include <mpi.h>

struct tess_error;

/* One BLAS thread a rank; says at -v what is used; TESS_EOS if the ranks' core types differ,
 * because bits would. Collective over comm. */
int tess_blas_agree(MPI_Comm comm, struct tess_error *error);

#endif
