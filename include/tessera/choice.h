/* choice.h -- what may be chosen from a model's symbols (select.h), with what it can make of parts
 * that it knows. */
#ifndef TESSERA_CHOICE_H
#define TESSERA_CHOICE_H

#include "tessera/model.h"
#include "tessera/select.h"

/* Borrows the model, which gets further symbols when they are named: on rank 0, before
 * tess_model_share. Perturbations may be combinations. Local. */
struct tess_choice tess_choice_of(const struct tess_model *model, enum tess_embedding table);

#endif
