/* rundir.h -- what is where in a run directory: used.yaml, log.jsonl, checkpoint-<step>.h5 (the
 * newest few), best-<step>.h5 (lowest validation RMSE), and beside each of these its sidecar
 * (sums.h). Local. */
#ifndef TESSERA_RUNDIR_H
#define TESSERA_RUNDIR_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_error;

#define TESS_RUN_CHECKPOINT "checkpoint"
#define TESS_RUN_BEST       "best"

/* Steps of the files of a kind in a directory, newest first; own of the caller. Returns how many.
 */
int64_t tess_rundir_list(const char *directory, const char *kind, int64_t **step);
/* The file of a kind and step; own of the caller. */
char *tess_rundir_name(const char *directory, const char *kind, int64_t step);

/* Checkpoints that `path` may mean, the preferred first: a file itself; of a run directory the
 * best, then the newest. store: what the used.yaml beside them names ("" if there is none); own of
 * the caller. TESS_EDATA if there is none. */
int tess_rundir_find(const char *path, struct tess_strings *checkpoint, char **store,
                     struct tess_error *error);

#endif
