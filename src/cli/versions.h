/* versions.h -- what this is, as JSON. */
#ifndef VERSIONS_H
#define VERSIONS_H

#include <stdio.h>

/* The commit of the sources, "" if that is not known; made by meson.build. */
extern const char tess_commit[];

/* Program, commit, compiler, libraries as loaded, and the versions of the files that it writes and
 * reads. Local; needs no MPI_Init. */
void tess_versions_print_json(FILE *out, const char *commit, const char *scalapack);

#endif
