/* h5_guard.h -- damaged files on which the HDF5 library itself crashes.
 *
 * HDF5 trusts the lengths in a file's heaps: a flipped byte there can make it read beyond its
 * memory. Between start and finish such a fault ends the process with a sentence about the file and
 * exit code TESS_EDATA, rather than with a stack trace. (There is no way back into a library that
 * stopped half-way; under mpirun the other ranks are ended by it.) Pairs may be nested: the
 * outer one stays in force. Local; for the thread that reads. */
#ifndef TESSERA_H5_GUARD_H
#define TESSERA_H5_GUARD_H

void tess_h5_guard_start(const char *path); /* borrowed until finish */
void tess_h5_guard_finish(void);

/* Around one read of at most some 100 000 texts of variable length. On some damaged heaps HDF5 goes
 * round in circles: within a guard, more than some seconds of computing end the process likewise.
 */
void tess_h5_guard_start_texts(void);
void tess_h5_guard_finish_texts(void);

#endif
