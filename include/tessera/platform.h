/* platform.h -- the processor and the BLAS that serves it. */
#ifndef TESSERA_PLATFORM_H
#define TESSERA_PLATFORM_H

#include <mpi.h>

struct tess_error;

/* OpenBLAS 0.3.21 takes kernels five times too slow (Prescott), or half as fast as possible, on
 * processors newer than itself. If a better core type fits and the user named none, sets
 * OPENBLAS_CORETYPE and executes the program again (argv). Before MPI_Init. Local. */
void tess_platform_choose_blas(char **argv);
/* Kernels in use, for checkpoints and messages ("SkylakeX"). */
const char *tess_platform_blas_core(void);
/* One BLAS thread a rank; says at -v what is used; TESS_EOS if the ranks' core types differ,
 * because bits would. Collective over comm. */
int tess_platform_report(MPI_Comm comm, struct tess_error *error);

#endif
