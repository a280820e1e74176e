/* genes.h -- whose perturbation a symbol is, and the order of names: natural (G2 before G10).
 * Local.
 */
#ifndef TESSERA_GENES_H
#define TESSERA_GENES_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_intern;

int tess_gene_is_control(const char *perturbation);
/* Are several perturbed at once? A '+' says so, but in the name of a readout. */
int tess_gene_is_combination(const char *perturbation, const struct tess_intern *readouts);
/* The gene within a perturbation's symbol: all of it if that is a readout, else its target
 * (target.h). */
const char *tess_gene_of(const char *perturbation, const struct tess_intern *readouts);
/* Is there more of that gene, and not less? `gene` as tess_gene_of found it. */
int tess_gene_is_gained(const char *perturbation, const char *gene);
void tess_genes_sort(struct tess_strings *names);
/* A name's place among sorted ones, or -1. */
int64_t tess_genes_find(const struct tess_strings *names, const char *name);

#endif
