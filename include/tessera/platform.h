/* platform.h -- the processor and the BLAS that serves it. Local. */
#ifndef TESSERA_PLATFORM_H
#define TESSERA_PLATFORM_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

/* What libraries read from the environment when they are loaded; what the user set stands. If
 * anything is to be changed, sets it and executes the program again (argv). Before MPI_Init. Local.
 *   OPENBLAS_CORETYPE  OpenBLAS takes kernels five times too slow (Prescott), or half as fast as
 * possible, on processors newer than itself: a better type that fits.
 *   GOMP_SPINCOUNT     threads that wait for each other stay awake for a moment, not for long: with
 * more threads, of all ranks, than cores, spinning ones keep the others from working. */
void tess_platform_choose(char **argv);
/* A core type faster than the one that OpenBLAS chose, which every release since 0.3.21 has and a
 * processor with these instructions runs; NULL if there is none, or if the name is not known: then
 * the library is newer than we are. Local. */
const char *tess_platform_better_core(const char *core, int has_avx2, int has_avx512);
/* Kernels in use, for checkpoints and messages ("SkylakeX"). */
const char *tess_platform_blas_core(void);

/* So many threads of OpenMP from now on; 0: as OMP_NUM_THREADS says, else one, since launchers
 * place ranks, and OpenMP's own default would give each rank all cores. Local. */
void tess_platform_threads(int64_t n);

/* Bytes of memory that this process has, or at most ever had; 0 where the system does not say.
 * Local.
 */
double tess_platform_memory(int peak);

#endif
