/* rundir.h -- what is where in a run directory: used.yaml, log.jsonl, checkpoint-<step>.h5,
 * best.h5. Local. */
#ifndef TESSERA_RUNDIR_H
#define TESSERA_RUNDIR_H

#include <stdint.h>

struct tess_error;

/* Step numbers of the checkpoints in a directory, ascending; own of the caller. Returns how many.
 */
int64_t tess_rundir_list(const char *directory, int64_t **step);
/* The checkpoint of a step; own of the caller. */
char *tess_rundir_name(const char *directory, int64_t step);

/* The checkpoint meant by a run directory (best.h5, else the newest) or a file; and the store named
 * in the used.yaml beside it ("" if there is none). Both own of the caller. */
int tess_rundir_find(const char *path, char **checkpoint, char **store, struct tess_error *error);

#endif
