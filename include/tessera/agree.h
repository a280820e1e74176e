/* agree.h -- no rank waits for one that has given up. */
#ifndef TESSERA_AGREE_H
#define TESSERA_AGREE_H

#include <mpi.h>

struct tess_error;

/* The error of the highest code of any rank (of equal ones, the lowest rank's) becomes everybody's:
 * text, code and failing rank. Returns its code (TESS_OK: nobody has one). Collective over comm. */
int tess_agree(MPI_Comm comm, struct tess_error *error);

#endif
