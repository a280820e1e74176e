/* card.h -- the card of a trained model: what it is, what it was trained on, how good it is beside
 * baselines and noise ceiling, and what it cannot do. Local. */
#ifndef TESSERA_CARD_H
#define TESSERA_CARD_H

#include <jansson.h>

#define TESS_CARD_SCORES "scores.json" /* of `evaluate --json`, in the run's directory */

/* Of the run in a directory, whose store is at that path ("": unknown; read if it can be, and is
 * the same), from what its checkpoint says (checkpoint.h, or of the first of several members).
 * What cannot be had is left out, or said under "limits". Ordered; own of the caller. */
json_t *tess_card(const char *run, const char *store, const json_t *checkpoint);

#endif
