/* scaling.h -- from the store's values to the targets of training, and back.
 *
 *     value = shift + scale · (center + spread · target)
 *
 * shift and scale are those of a context and a readout (`data.normalize`), center and spread one
 * number each (`data.scale`). What is switched off costs no rounding. All functions are local. */
#ifndef TESSERA_SCALING_H
#define TESSERA_SCALING_H

#include <stdint.h>

struct tess_scaling {
    int64_t n_readouts; /* of shift and scale */
    float *shift, *scale; /* (contexts, n_readouts), scale > 0; NULL: not normalised; own */
    float center, spread; /* spread > 0; 0 and 1: off */
};
#define TESS_SCALING_NONE                                                                          \
    {                                                                                              \
        0, NULL, NULL, 0, 1                                                                        \
    }

void tess_scaling_release(struct tess_scaling *scaling);

/* n values of one context, in place, to targets; NaN stays. `readout` has their numbers; NULL: they
 * are those of the readouts 0 … n - 1. */
void tess_scaling_apply(const struct tess_scaling *scaling, int64_t context, int64_t n,
                        const int64_t *readout, float *row);
/* n targets, or outputs of a model, in place, to values. */
void tess_scaling_undo(const struct tess_scaling *scaling, int64_t context, int64_t n,
                       const int64_t *readout, float *row);
/* n deviations of targets, in place, to those of values. */
void tess_scaling_undo_deviation(const struct tess_scaling *scaling, int64_t context, int64_t n,
                                 const int64_t *readout, float *row);

#endif
