/* sweep.h -- the trainings of a sweep (trials.h), in one directory.
 *
 *     DIRECTORY/trial-3/      a run like any other
 *     DIRECTORY/trial-3.yaml  its settings, as `tessera train` takes them
 *     DIRECTORY/trial-3.json  how it went, once it is over
 *     DIRECTORY/sweep.tsv, sweep.json  all of them, and the winner; best: a link to its run
 *
 * A trial is found again by its settings, so that a sweep may grow: what is new gets the next free
 * numbers. It has the bits of `tessera train` with its settings, on any number of ranks. */
#ifndef TESSERA_SWEEP_H
#define TESSERA_SWEEP_H

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;
struct tess_trials;

struct tess_sweep_options {
    int64_t trial; /* the number of the only one that is trained; 0: all */
    int dry_run; /* everything is checked and announced, nothing trained */
    int only_table; /* of what is done; nothing is trained */
    double time_limit; /* seconds until it must have stopped; 0: none */
};

/* Every trial is checked, as far as that can be done without values, before the first is trained;
 * those that are done are left alone, those that were begun go on. One whose numbers do not stay
 * finite is over, too. At the end the tables are written and printed by rank 0; of a single trial
 * they are not. TESS_EINTERRUPTED when asked to stop, after complete checkpoints; TESS_EDATA if all
 * trials diverged, or the store has nothing to validate with; TESS_ECONFIG, TESS_ECREATE.
 * Collective over comm. */
int tess_sweep_run(const struct tess_trials *trials, const struct tess_sweep_options *options,
                   MPI_Comm comm, struct tess_error *error);
/* Numbers and settings of all trials, as a table (TSV). Collective; rank 0 prints. */
int tess_sweep_list(const struct tess_trials *trials, MPI_Comm comm, struct tess_error *error);
/* Numbers of those that are not done, as a batch system takes them for an array: "2,5-12".
 * Collective; rank 0 prints. */
int tess_sweep_array(const struct tess_trials *trials, MPI_Comm comm, struct tess_error *error);

#endif
