/* predicted.h -- what a model says of rows that nobody measured, each member of an ensemble by
 * itself. */
#ifndef TESSERA_PREDICTED_H
#define TESSERA_PREDICTED_H

#include "tessera/blend.h"
#include "tessera/model.h"

struct tess_predicted {
    struct tess_model model;
    struct tess_blender blender;
    struct tess_blend_store learned;
};

/* Is it a run's directory, or a checkpoint? Local. */
int tess_predicted_is(const char *path);
/* A run with its members, or a checkpoint; blended where that pays. TESS_EDATA. Collective. */
int tess_predicted_open(struct tess_predicted *predicted, const char *run, MPI_Comm comm,
                        struct tess_error *error);
/* The context's number. TESS_EDATA if the model was not trained in it. Local. */
int tess_predicted_context(const struct tess_predicted *predicted, const char *context,
                           int64_t *number, struct tess_error *error);
/* n components in a context, of some readouts (the model's numbers): out (n_members + 1,
 * n, n_readouts), in the store's units: each member's values, then their mean. Local. */
int tess_predicted_rows(const struct tess_predicted *predicted, const struct tess_rows *rows,
                        int64_t n_readouts, const int64_t *readout, float *out,
                        struct tess_error *error);
/* What the model, the rows that it keeps, and `rows` rows of values of each member take: bytes.
 * Local. */
double tess_predicted_bytes(const struct tess_predicted *predicted, int64_t rows,
                            int64_t n_readouts);
void tess_predicted_release(struct tess_predicted *predicted); /* local */

#endif
