/* h5_guard.h -- damaged files on which the HDF5 library itself crashes, or goes round in circles.
 *
 * HDF5 trusts the lengths and addresses in a file: one changed byte can make it read beyond its
 * memory, or follow a list for ever that leads back to itself. Between start and finish both end
 * the process with a sentence about the file and exit code TESS_EDATA, rather than with a stack
 * trace or never. (There is no way back into a library that stopped half-way; under mpirun the
 * other ranks are ended by it.)
 *
 * Going round in circles is told by what is missing: for half a minute of computing, or while
 * memory grew by 3 GiB, the thread neither read a byte of any file nor wrote one. Waiting, for a
 * disk or for other processes' use of the processor, does not count; waiting for other ranks does,
 * as MPI computes while it waits: nothing collective belongs between start and finish.
 *
 * Pairs may be nested: the outer one stays in force. Local; for the thread that reads. */
#ifndef TESSERA_H5_GUARD_H
#define TESSERA_H5_GUARD_H

void tess_h5_guard_start(const char *path); /* borrowed until finish */
void tess_h5_guard_finish(void);

#endif
