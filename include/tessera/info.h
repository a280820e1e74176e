/* info.h -- what a store or an AnnData file holds, as ordered JSON; and ordered JSON as plain text.
 * (Checkpoints describe themselves in checkpoint_info.c.) Local. */
#ifndef TESSERA_INFO_H
#define TESSERA_INFO_H

#include <jansson.h>
#include <stdio.h>

struct tess_error;
struct tess_store;

/* What an HDF5 file says it is; -1 and TESS_EDATA if it is none of these. */
enum tess_info_kind { TESS_INFO_STORE, TESS_INFO_CHECKPOINT, TESS_INFO_ANNDATA };
int tess_info_kind(const char *path, struct tess_error *error);

/* Of an open store, rank 0's: counts, split, hash, one row for every context. Own of the caller. */
json_t *tess_info_store(const struct tess_store *store);
/* Shape, kind of X, layers, columns, and the texts and numbers under uns; of MuData those of each
 * modality, under "modalities". NULL and an error if it cannot be read. */
json_t *tess_info_anndata(const char *path, struct tess_error *error);

/* One line for every value; objects in objects are indented, lists of objects are tables. */
void tess_info_print(const json_t *json, FILE *out);

#endif
