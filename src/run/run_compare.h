/* run_compare.h -- a training's validation score beside those of the baselines. */
#ifndef RUN_COMPARE_H
#define RUN_COMPARE_H

#include "tessera/baselines.h"

struct tess_error;
struct tess_trainer;

struct tess_comparison {
    int made; /* are there scores? */
    double rmse[TESS_BASELINES]; /* NaN: not compared with this one */
};

/* RMSE of baselines that learn from the training rows, over exactly the validation values of the
 * trainer, pooled; the same on every rank, and the same bits on any number of them. Without
 * validation values, or if the values cannot be read again, none is made, and rank 0 says why.
 * TESS_EINTERRUPTED if a signal came meanwhile. Collective. */
int tess_run_compare(const struct tess_trainer *trainer, struct tess_comparison *comparison,
                     struct tess_error *error);
/* The best validation score of the training beside them, in one line; a warning if it is worse.
 * Rank 0. */
void tess_run_say_comparison(const struct tess_trainer *trainer,
                             const struct tess_comparison *comparison);

#endif
