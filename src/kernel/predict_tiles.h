/* predict_tiles.h -- prediction by the mlp: pairs of rows and readouts in tiles (predictor.h). */
#ifndef PREDICT_TILES_H
#define PREDICT_TILES_H

#include "tessera/predictor.h"

/* As tess_predictor_run; s: the output s as it is, or NULL. */
void tess_predict_tiles_run(const struct tess_predictor *predictor,
                            const struct tess_predict_rows *rows, int64_t n_readouts,
                            const int64_t *readout, float *out, float *s);
/* As tess_predictor_run_lists. */
void tess_predict_tiles_run_lists(const struct tess_predictor *predictor,
                                  const struct tess_predict_rows *rows,
                                  const struct tess_predict_lists *lists, float *out, float *s);

#endif
