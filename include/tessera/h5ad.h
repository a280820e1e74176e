/* h5ad.h -- where in a file the parts of an AnnData lie: X, a layer or raw/X with the table of its
 * readouts; at the root, or in a modality of MuData (`.h5mu`: mod/NAME). Local. */
#ifndef TESSERA_H5AD_H
#define TESSERA_H5AD_H

#include "tessera/h5_set.h"
#include "tessera/text.h"

#include <jansson.h>

struct tess_h5ad_place {
    char *base; /* before every name: "", or "mod/NAME/"; own */
    char *matrix; /* "X", "layers/NAME", "raw/X", without base; own */
    char *var; /* the table of its readouts, "var" or "raw/var", without base; own */
};

/* The modalities of a MuData file, added to `names`; 0 if it is none. */
int tess_h5ad_modalities(const struct tess_h5 *h5, struct tess_strings *names);

/* Finds what `modality` and `layer` ask for (each NULL: nothing); "raw" and "raw/X" are raw/X,
 * unless a layer has that name. TESS_EDATA, with what there is, if it is not there. */
int tess_h5ad_find(struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *modality,
                   const char *layer, struct tess_error *error);
/* base + name; own of the caller. */
char *tess_h5ad_path(const struct tess_h5ad_place *place, const char *name);
void tess_h5ad_release(struct tess_h5ad_place *place);

/* Is there something of that name that is not null (anndata's None)? 1 a dataset, 2 a group. */
int tess_h5ad_kind(const struct tess_h5 *h5, const char *name);

/* Matrices beside the one of `place` that hold counts, where that one holds negative numbers, by
 * the first values of each: "raw/X (--layer raw), layers/counts (--layer counts)". `values` is the
 * open dataset of the values of that one. NULL if there are none; own of the caller. */
char *tess_h5ad_counts(const struct tess_h5ad_place *place, const struct tess_h5_set *values,
                       struct tess_error *error);

/* What a file holds as ordered JSON: shape, kind of X, layers, columns, and the texts and numbers
 * under uns; of MuData those of each modality, under "modalities". Own of the caller; NULL and an
 * error if it cannot be read. */
json_t *tess_h5ad_info(const char *path, struct tess_error *error);

#endif
