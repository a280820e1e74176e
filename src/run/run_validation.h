/* run_validation.h -- the validation experiments of a training beside what baselines say of them.
 */
#ifndef RUN_VALIDATION_H
#define RUN_VALIDATION_H

#include "tessera/blend.h"
#include "tessera/observed.h"

struct tess_error;
struct tess_trainer;

/* Validation experiments of this rank, of one context and panel. Borrowed. */
struct tess_validation_batch {
    int64_t n, *place; /* (n) in trainer->validation, ascending */
    int64_t context, width;
    int64_t *combination; /* (n) of the store */
    const int64_t *readout; /* (width) of the model */
    int64_t *store_readout; /* the same, of the store */
    /* (n, width) of tess_blend_baselines that are looked at, `features`, and if there are
     * combinations no_perturbation and those of tess_blend_components; others NULL */
    double *out[TESS_BASELINES];
    uint8_t *fallback; /* (n, TESS_BASELINES) */
    struct tess_observed observed;
};
/* The measured value of a place in out[…]; NaN: none. Local. */
double tess_validation_value(const struct tess_trainer *trainer,
                             const struct tess_validation_batch *batch, int64_t at);

struct tess_validation_visitor {
    void *closure;
    void (*take)(void *closure, const struct tess_validation_batch *batch);
};
/* Every n-th validation experiment is visited; n is 1 unless they have more values than are worth
 * the time. The same on any number of ranks. Local. */
int64_t tess_validation_stride(const struct tess_trainer *trainer);
/* Baselines learn from the training rows; then each rank's batches in their order.
 * TESS_EINTERRUPTED if a signal came meanwhile. Collective. */
int tess_validation_visit(const struct tess_trainer *trainer,
                          const struct tess_validation_visitor *visitor, struct tess_error *error);
/* What a visitor made of each experiment of this rank: `n` numbers (trainer->validation.n, n) added
 * up in the order of the experiments; the same on every rank. Collective. */
void tess_validation_add_up(const struct tess_trainer *trainer, int64_t n, const double *mine,
                            double *sum);

#endif
