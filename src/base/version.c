/* version.c -- versions as the loaded libraries tell them. */
#include "tessera/version.h"

#include "tessera/platform.h"

#include <cblas.h>
#include <hdf5.h>
#include <jansson.h>
#include <mpi.h>
#include <string.h>

const char tess_version[] = TESS_VERSION;

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif

struct libraries {
    char mpi[MPI_MAX_LIBRARY_VERSION_STRING], hdf5[40];
};

static void ask_libraries(struct libraries *are)
{
    unsigned major, minor, release;
    int length;

    MPI_Get_library_version(are->mpi, &length);
    are->mpi[strcspn(are->mpi, "\n")] = '\0';
    H5get_libversion(&major, &minor, &release);
    snprintf(are->hdf5, sizeof are->hdf5, "%u.%u.%u", major, minor, release);
}

void tess_version_print(FILE *out)
{
    struct libraries are;

    ask_libraries(&are);
    fprintf(out, "tessera %s\n", tess_version);
    fprintf(out, "MPI:  %s\n", are.mpi);
    fprintf(out, "HDF5: %s (parallel)\n", are.hdf5);
    fprintf(out, "BLAS: %s\n", openblas_get_config());
}

json_t *tess_version_json(const char *commit)
{
    struct libraries are;

    ask_libraries(&are);
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s}", "program", "tessera", "version",
                     tess_version, "commit", *commit ? json_string(commit) : json_null(),
                     "compiler", COMPILER, "mpi", are.mpi, "hdf5", are.hdf5, "blas",
                     openblas_get_config());
}
