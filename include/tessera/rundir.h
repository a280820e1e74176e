/* rundir.h -- what is where in a run directory: used.yaml, log.jsonl, checkpoint-<step>.h5 (the
 * newest few), best-<step>.h5 (lowest validation RMSE), beside each of these its sidecar
 * (checksums.h), blend.json, and the lock of the run that works in it. A run of several members has
 * member-<number>/ with a whole run each, used.yaml, deviation.json and a lock. Local. */
#ifndef TESSERA_RUNDIR_H
#define TESSERA_RUNDIR_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_config;
struct tess_error;

#define TESS_RUN_LOCK       "lock"
#define TESS_RUN_CHECKPOINT "checkpoint"
#define TESS_RUN_BEST       "best"
#define TESS_RUN_BLEND      "blend.json" /* blend.h */
#define TESS_RUN_DEVIATION  "deviation.json" /* deviation.h */

/* Steps of the files of a kind in a directory, newest first; own of the caller. Returns how many.
 */
int64_t tess_rundir_list(const char *directory, const char *kind, int64_t **step);
/* The file of a kind and step; own of the caller. */
char *tess_rundir_name(const char *directory, const char *kind, int64_t step);
/* Numbers of the members of a run, from 1 on, ascending; own of the caller. Returns how many: 0 if
 * it is no run of several members. */
int64_t tess_rundir_members(const char *directory, int64_t **number);
/* Is it a run of several members? Beside a run's own checkpoints they are somebody else's. */
int tess_rundir_holds_members(const char *directory);
/* The directory of a member; own of the caller. */
char *tess_rundir_member(const char *directory, int64_t number);
/* What `path` stands for, added to `out`: itself, or the members of that run which have a
 * checkpoint; others are named in a warning. TESS_EDATA if none has one. */
int tess_rundir_expand(const char *path, struct tess_strings *out, struct tess_error *error);
/* Does the directory hold a run? */
int tess_rundir_is(const char *directory);
/* Is the best checkpoint of that step there? Of step 0 there is nothing to miss. */
int tess_rundir_has_best(const char *directory, int64_t step);
/* Is NAME a temporary file (commit.h) of one of a run's own files, as a killed run leaves it? */
int tess_rundir_is_leftover(const char *name);
/* What reading PATH, a run directory or a checkpoint, reads or depends on: all files of the run,
 * the store. Added to `out`; of other paths nothing is. */
void tess_rundir_inputs(const char *path, struct tess_strings *out);
/* used.yaml: the settings, with the store's full path, so that others find it from anywhere. */
int tess_rundir_write_used(const char *directory, const struct tess_config *config,
                           struct tess_error *error);
/* The settings of a used.yaml, or after an error what could be read of them: TESS_EDATA if the file
 * cannot be read, TESS_ECONFIG if a setting is wrong. */
int tess_rundir_read_used(const char *path, struct tess_config *config, struct tess_error *error);

/* Checkpoints that `path` may mean, the preferred first: a file itself; of a run directory the
 * best, then the newest. store: what the used.yaml beside them names ("" if there is none), or if
 * it is not there the file of that name in the directory, or one or two above it; own of the
 * caller. TESS_EDATA if there is none. */
int tess_rundir_find(const char *path, struct tess_strings *checkpoint, char **store,
                     struct tess_error *error);

#endif
