/* blas.c -- the same arithmetic on every rank. */
#include "tessera/blas.h"

#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/platform.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

/* One thread: OpenBLAS's own may add in another order with every number of threads, and would
 * compete with ours for the cores. */
int tess_blas_agree(MPI_Comm comm, struct tess_error *error)
{
    char mine[32] = "", first[32];

    openblas_set_num_threads(1);
    snprintf(mine, sizeof mine, "%s", tess_platform_blas_core());
    memcpy(first, mine, sizeof first);
    MPI_Bcast(first, sizeof first, MPI_CHAR, 0, comm);
    if (strcmp(first, mine) != 0)
        tess_error_set(error, TESS_EOS,
                       "this rank's OpenBLAS uses %s kernels, rank 0's %s: results would depend on "
                       "the layout; set OPENBLAS_CORETYPE to one that all nodes run",
                       mine, first);
    tess_debug("OpenBLAS kernels: %s", mine);
    return error->code;
}
