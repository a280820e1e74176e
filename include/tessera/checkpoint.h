/* checkpoint.h -- the whole state of a training in one HDF5 file, the same bits however many ranks
 * wrote it. What is in it: state.h. Nothing in it depends on time, host, paths or layout. */
#ifndef TESSERA_CHECKPOINT_H
#define TESSERA_CHECKPOINT_H

#include "tessera/h5.h"
#include "tessera/state.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_strings;

/* Each rank's part of a state. Written aside by all ranks, fsynced, renamed. TESS_EDATA if
 * parameters are not finite any more; other codes: it cannot be written. Collective over comm. */
int tess_checkpoint_write(const struct tess_state *state, MPI_Comm comm, const char *path,
                          struct tess_error *error);
/* About the bytes of its file. Local. */
double tess_checkpoint_bytes(const struct tess_state *state);

/* What every rank has of a state: all but tables, MLP and scaling, whose sizes are checked as well:
 * what follows from the head may be allocated. Whatever comes of it must be released
 * (tess_state_release). Local. */
int tess_checkpoint_read_head(const struct tess_h5 *h5, struct tess_state *state,
                              struct tess_error *error);
/* Rows of a table with their optimiser state, as they are stored, to arrays with room for them;
 * checksums verified. Local. */
int tess_checkpoint_read_state(const struct tess_h5 *h5, const struct tess_state *state,
                               enum tess_embedding table, struct tess_state_range part,
                               const struct tess_row_state *out, struct tess_error *error);
/* The same rows as they stand at the checkpoint's step: their values alone. Local. */
int tess_checkpoint_read_rows(const struct tess_h5 *h5, const struct tess_state *state,
                              enum tess_embedding table, struct tess_state_range part, float *out,
                              struct tess_error *error);
/* Those arrays of the MLP that the state has room for: of the moments the slice that it names;
 * checksums verified. Local. */
int tess_checkpoint_read_mlp(const struct tess_h5 *h5, const struct tess_state *state,
                             struct tess_error *error);
/* out (part.n, D): the vectors of the symbols of that range as they stand at the checkpoint's step,
 * made of the rows that the state's composition says. Local. */
int tess_checkpoint_read_vectors(const struct tess_h5 *h5, const struct tess_state *state,
                                 enum tess_embedding table, struct tess_state_range part,
                                 float *out, struct tess_error *error);
/* The scaling; stays NULL if the checkpoint has none. Local. */
int tess_checkpoint_read_scaling(const struct tess_h5 *h5, struct tess_state *state,
                                 struct tess_error *error);

/* Step, scores, tables and settings as ordered JSON; NULL and an error if it cannot be read. Local.
 */
json_t *tess_checkpoint_info(const char *path, struct tess_error *error);

/* The head of the first checkpoint of `path`, itself one or a run's directory, that can be read;
 * checksums are not looked at. 0: none can. To be released in any case. Local. */
int tess_checkpoint_find_head(const char *path, struct tess_state *state);
/* What settings leave to the program (`auto`): kind of model, rule for combinations, sampling,
 * becomes what a model has. 1: nothing is left to it. Local. */
void tess_checkpoint_settle(struct tess_config *config, const struct tess_config *model);
int tess_checkpoint_is_settled(const struct tess_config *config);

/* Everything that is in an intact file (checksums.h) held against its checksums and what it must
 * be: what is wrong is added to `problems` of rank 0, one sentence each. Each rank its share.
 * Collective over comm. */
int tess_checkpoint_verify(const char *path, MPI_Comm comm, struct tess_strings *problems,
                           struct tess_error *error);

#endif
