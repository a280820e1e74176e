/* observed.h -- measured values of some validation experiments, in the store's units: those that
 * lie in memory, or with data.streaming read while the experiments are predicted. Local. */
#ifndef TESSERA_OBSERVED_H
#define TESSERA_OBSERVED_H

#include "tessera/ahead.h"

#include <stdint.h>

struct tess_error;
struct tess_trainer;

struct tess_observed { /* all zeroes: nothing yet */
    const int64_t *place; /* borrowed */
    int64_t first, n; /* columns */
    struct tess_reads reads; /* own */
    size_t room;
    float *value; /* (experiments, n) data.streaming; own */
};

/* Columns [first, first + n) of the experiments place[0 .. rows) of trainer->validation, which are
 * of one panel. `place` is borrowed. */
void tess_observed_start(struct tess_observed *observed, const struct tess_trainer *trainer,
                         int64_t rows, const int64_t *place, int64_t first, int64_t n);
/* Until they are there. The codes of tess_ahead_finish. */
int tess_observed_finish(struct tess_observed *observed, const struct tess_trainer *trainer,
                         struct tess_error *error);
/* The n values of experiment place[i]; NaN: not measured. */
const float *tess_observed_row(const struct tess_observed *observed,
                               const struct tess_trainer *trainer, int64_t i);
void tess_observed_release(struct tess_observed *observed);

#endif
