/* run_compare.h -- a training's validation score beside those of the baselines. */
#ifndef RUN_COMPARE_H
#define RUN_COMPARE_H

#include "tessera/baselines.h"

struct tess_trainer;
struct tess_validation_batch;

struct tess_comparison {
    int made; /* are there scores? */
    int64_t stride; /* n: every n-th validation experiment was looked at */
    double model; /* the model's on the same values; NaN: not predicted */
    double rmse[TESS_BASELINES]; /* NaN: not compared with this one */
};

/* Squared errors in the making: of each validation experiment of this rank. */
struct tess_comparing {
    const struct tess_trainer *trainer; /* borrowed */
    double *sum; /* own */
};
void tess_comparing_begin(struct tess_comparing *comparing, const struct tess_trainer *trainer);
/* Some more experiments (run_validation.h), with what the model says (n, width), or NULL. Local. */
void tess_comparing_take(struct tess_comparing *comparing,
                         const struct tess_validation_batch *batch, const float *out);
/* RMSE of baselines that learn from the training rows, over exactly the validation values of the
 * trainer, pooled; the same on every rank, and the same bits on any number of them. Collective. */
void tess_comparing_finish(struct tess_comparing *comparing, struct tess_comparison *comparison);
void tess_comparing_release(struct tess_comparing *comparing);
/* The best validation score of the training beside them, in one line; a warning if it is worse.
 * Rank 0. */
void tess_run_say_comparison(const struct tess_trainer *trainer,
                             const struct tess_comparison *comparison);

#endif
