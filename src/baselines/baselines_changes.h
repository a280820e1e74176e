/* baselines_changes.h -- a perturbation's changes, summed up over contexts. */
#ifndef BASELINES_CHANGES_H
#define BASELINES_CHANGES_H

#include "tessera/profiles.h"

struct tess_change_sum {
    double *sum; /* (readouts of the store) own */
    int32_t *count; /* the same: contexts that have a change */
};
struct tess_changes {
    struct tess_profiles *profiles; /* borrowed */
    double *const *mean; /* borrowed */
    struct tess_change_sum *of; /* (n_combinations) those that were asked for and fit; own */
    struct tess_change_sum spare; /* any other; own */
    float *room; /* own */
    size_t bytes;
};

void tess_changes_init(struct tess_changes *changes, struct tess_profiles *profiles,
                       double *const *mean);
/* Bytes that sums may yet take. Local. */
double tess_changes_growth(const struct tess_changes *changes);
void tess_changes_release(struct tess_changes *changes);
/* Over all contexts but one where the combination is trained on, until the next call; NULL and an
 * error if values cannot be read. Local. */
const struct tess_change_sum *tess_changes_elsewhere(struct tess_changes *changes, int64_t context,
                                                     int64_t combination, struct tess_error *error);

#endif
