/* transfer.h -- what the parts of a transfer share; the public header is tessera/transfer.h.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "tessera/transfer.h"

/* States of a context's training. */
enum { TESS_TRANSFER_NEW, TESS_TRANSFER_DONE, TESS_TRANSFER_DIVERGED };

/* ---- transfer_place.c ---- */

/* RUN/transfer/3-NAMEending; own of the caller. Local. */
char *tess_transfer_path(const struct tess_transfer *transfer, int64_t i, const char *ending);
/* The state of training i, by its files: done only with the present store, split and settings.
 * Local. */
void tess_transfer_look(struct tess_transfer *transfer, int64_t i);
/* Training i is over. Local. */
int tess_transfer_finish(struct tess_transfer *transfer, int64_t i, int64_t state,
                         struct tess_error *error);

/* ---- transfer_table.c ---- */

/* transfer.tsv. Rank 0. */
int tess_transfer_table(const struct tess_transfer *transfer,
                        const struct tess_evaluation *evaluation, struct tess_error *error);

#endif
