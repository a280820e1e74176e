/* context_parts.h -- contexts as sums of the parts of their names. Local. */
#ifndef CONTEXT_PARTS_H
#define CONTEXT_PARTS_H

#include "terms.h"

#include "tessera/composition.h"

/* Fills a composition of which n and n_rows are set, with model.context_parts; else leaves it. The
 * codes of tess_composition_init. */
int tess_context_parts(struct tess_composition *composition, const struct tess_config *config,
                       const struct tess_vocab *symbols, const char *where,
                       struct tess_error *error);

/* The role of a part by its name (tess_composition_role); own of the caller. */
char *tess_context_parts_role(const char *part);
/* A further context out of parts that others have; terms->n stays 0 if one is not there. */
void tess_context_parts_make(const struct tess_composition *composition, const char *symbol,
                             struct tess_terms *terms);

#endif
