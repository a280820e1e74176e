/* relative.h -- effects relative to a regulator's own change, for the methods that invert them. */
#ifndef RELATIVE_H
#define RELATIVE_H

#include "evidence.h"

/* evidence->z becomes that of the direct effects alone, by `direct` (inverse.h): what its inverse
 * says, times the regulator's own change. Effects of fewer units of noise than `survives` are taken
 * for none first, those beyond the own change for that. Collective. */
int tess_relative_direct(struct tess_evidence *evidence, const char *path,
                         struct tess_error *error);
/* The same by `inspre`: nothing is left out, but a place counts as its standard error says. */
int tess_relative_sparse(struct tess_evidence *evidence, const char *path,
                         struct tess_error *error);
/* evidence->c (t, n): partial correlations of the values as they were read; regulators become all
 * readouts. Collective. */
int tess_relative_partial(struct tess_evidence *evidence, struct tess_effects *effects,
                          const char *path, struct tess_error *error);

#endif
