/* trials.h -- a sweep: the settings of many trainings out of one configuration, whose section
 * `sweep` has lists and ranges of values in the place of single ones.
 *
 *     sweep:
 *       method: random                  # or grid
 *       samples: 20                     # of random
 *       seed: 1                         # of random
 *       groups: 2                       # of ranks that train side by side
 *       model.dropout: [0, 0.1, 0.3]
 *       train.learning_rate: {from: 1e-4, to: 1e-2, steps: 5, scale: log}
 */
#ifndef TESSERA_TRIALS_H
#define TESSERA_TRIALS_H

#include "tessera/config.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_strings;

#define TESS_TRIALS_MOST 10000

enum tess_trials_method { TESS_TRIALS_GRID, TESS_TRIALS_RANDOM };

struct tess_trials {
    int64_t n; /* all different */
    struct tess_config *config; /* (n) in their order; run.directory is the sweep's; own */
    int64_t n_same; /* left out, for another one has the same settings */
    int n_swept;
    int *swept; /* (n_swept) settings that differ, by their place in tess_params; own */
    int64_t method; /* enum tess_trials_method */
    int64_t samples, seed, groups;
};

/* A configuration, then each "key=value" of `set` (may be NULL), as tess_config_read takes them;
 * then every trial. A grid's are in the order of the file, the last setting first to change;
 * sample i of a setting depends on the seed, its name and i alone, so that more samples, or another
 * setting, leave the others as they are. Real values of a range have four significant digits.
 * TESS_ECONFIG, naming the line, for values that a setting does not take, a setting that changes no
 * result, or more than TESS_TRIALS_MOST trials. Collective over comm. */
int tess_trials_read(struct tess_trials *trials, const char *path, const struct tess_strings *set,
                     MPI_Comm comm, struct tess_error *error);
void tess_trials_release(struct tess_trials *trials); /* may run twice; local */

#endif
