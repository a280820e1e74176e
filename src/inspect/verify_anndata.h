/* verify_anndata.h -- the part of verify.h that looks at AnnData. */
#ifndef TESSERA_VERIFY_ANNDATA_H
#define TESSERA_VERIFY_ANNDATA_H

struct tess_error;
struct tess_strings;

/* Structure and values of an AnnData file; of n_ranks, this one's share of the rows. Local. */
int tess_verify_anndata(const char *path, int rank, int n_ranks, struct tess_strings *problem,
                        struct tess_error *error);

#endif
