/* verify.h -- is everything in a file as it was written, and as it must be? */
#ifndef TESSERA_VERIFY_H
#define TESSERA_VERIFY_H

#include "tessera/text.h"

#include <mpi.h>

struct tess_error;

/* What a look at files found; filled on rank 0. */
struct tess_verified {
    struct tess_strings right, problem; /* one line each; own */
};
void tess_verified_release(struct tess_verified *verified); /* local */

/* A checkpoint, a store, an AnnData file, or a run directory with everything in it: every checksum,
 * size, order, range, and that numbers are finite. What is wrong becomes a problem; other failures
 * (no memory) are errors. Each rank its share. Collective over comm. */
int tess_verify(const char *path, MPI_Comm comm, struct tess_verified *verified,
                struct tess_error *error);

#endif
