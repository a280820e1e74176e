/* dataset_weights.h -- what an observation of each experiment counts in the loss (data.weight). */
#ifndef TESSERA_DATASET_WEIGHTS_H
#define TESSERA_DATASET_WEIGHTS_H

#include "tessera/dataset.h"

struct tess_error;

/* Fills dataset->weight; leaves it NULL with data.weight: none. By replicates: n / (n + 4) of n
 * replicates; by column: what `import --weight` kept. Then divided by their mean over training
 * observations. The same on every rank. TESS_ECONFIG if the store has no weights; TESS_EDATA if
 * those of its training experiments are all 0. Local. */
int tess_dataset_weigh(struct tess_dataset *dataset, const struct tess_config *config,
                       struct tess_error *error);

#endif
