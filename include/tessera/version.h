/* version.h -- what this is, and what it runs with. */
#ifndef TESSERA_VERSION_H
#define TESSERA_VERSION_H

#include <jansson.h>
#include <stdio.h>

extern const char tess_version[]; /* "0.1.0" */

/* Version of the program, then MPI, HDF5 and BLAS as loaded. Local; needs no MPI_Init. */
void tess_version_print(FILE *out);
/* The same and the compiler, as an object for programs; `commit`: of the sources, "" if that is not
 * known. Own of the caller. Local; needs no MPI_Init. */
json_t *tess_version_json(const char *commit);

#endif
