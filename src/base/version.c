/* version.c -- versions as the loaded libraries tell them. */
#include "tessera/version.h"

#include "tessera/platform.h"

#include <cblas.h>
#include <hdf5.h>
#include <mpi.h>
#include <string.h>

const char tess_version[] = TESS_VERSION;

void tess_version_print(FILE *out)
{
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING];
    unsigned major, minor, release;
    int length;

    MPI_Get_library_version(mpi, &length);
    mpi[strcspn(mpi, "\n")] = '\0';
    H5get_libversion(&major, &minor, &release);
    fprintf(out, "tessera %s\n", tess_version);
    fprintf(out, "MPI:  %s\n", mpi);
    fprintf(out, "HDF5: %u.%u.%u (parallel)\n", major, minor, release);
    fprintf(out, "BLAS: %s\n", openblas_get_config());
}
