/* predict_bins.h -- values of pairs that lie anywhere, by products of the shape that whole blocks
 * have (predict_factor.h). */
#ifndef PREDICT_BINS_H
#define PREDICT_BINS_H

#include "tessera/predictor.h"

/* n rows with readouts of their own; vector (n): where a row's left vector stands in
 * scratch->left, its place in a product being that modulo TESS_PREDICT_ROWS. out: not yet in the
 * store's units. */
void tess_predict_bins_run(const struct tess_predictor *predictor, int64_t n, const int64_t *vector,
                           const struct tess_predict_lists *lists, float *out);

#endif
