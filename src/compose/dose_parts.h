/* dose_parts.h -- perturbations with doses and times as sums of what their drug and their dose
 * share with others. Local. */
#ifndef DOSE_PARTS_H
#define DOSE_PARTS_H

#include "terms.h"

#include "tessera/composition.h"

/* Fills a composition of which n and n_rows are set, with model.doses; else leaves it. The codes of
 * tess_composition_init. */
int tess_dose_parts(struct tess_composition *composition, const struct tess_config *config,
                    const struct tess_vocab *symbols, const char *where, struct tess_error *error);
/* The role of a part by its name (tess_composition_role); own of the caller. */
char *tess_dose_parts_role(const char *part);
/* A further dose of a drug that has others; terms->n stays 0 if it has none, or is no dose. symbols
 * are those that the composition was made of. */
void tess_dose_parts_make(const struct tess_composition *composition,
                          const struct tess_vocab *symbols, const char *symbol,
                          struct tess_terms *terms);

#endif
