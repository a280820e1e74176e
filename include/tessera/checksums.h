/* checksums.h -- a sidecar `FILE.sum` with the XXH3 (64 bits) of every 4 MiB block of a file.
 *
 * It covers what HDF5's own structures do not: of thousands of flipped bytes in a file's metadata,
 * many change nothing that a reader notices. It is committed before the file it belongs to, and is
 * verified before HDF5 opens anything. Between the two commits a file that is being replaced must
 * not be condemned by the sums of the one to come: the sidecar then holds both, and the file is
 * intact if it is either. Blocks are hashed by all ranks in parallel. */
#ifndef TESSERA_CHECKSUMS_H
#define TESSERA_CHECKSUMS_H

#include <mpi.h>

struct tess_commit;
struct tess_error;
struct tess_strings;
struct tess_sums;

/* Hash the file of `commit` (shared, broadcast.h) under its temporary name, claim its final one,
 * and commit FILE.sum beside that: TESS_ECREATE if another program was faster, whose sidecar then
 * stands. A marked file is hashed with the first bytes that it is to have. Blocks whose hashes this
 * rank knows from writing them (`known`, may be NULL) are not read back. Collective over comm. */
int tess_checksums_write(struct tess_commit *commit, const struct tess_sums *known, MPI_Comm comm,
                         struct tess_error *error);
/* TESS_EDATA, naming the first damaged block or what else is wrong (missing, truncated, no
 * sidecar), if `path` is not what its sidecar says. Every damaged block is added to `damage` of
 * rank 0, which may be NULL. Collective over comm. */
int tess_checksums_verify(const char *path, MPI_Comm comm, struct tess_strings *damage,
                          struct tess_error *error);
/* Remove a file and its sidecar, the file first; what is not there is no error. Local. */
void tess_checksums_remove(const char *path);
/* The same for renaming. 0, or -1 with errno if the file cannot be renamed. Local. */
int tess_checksums_rename(const char *path, const char *to);

#endif
