/* kinds.h -- the kinds of output, one file each. */
#ifndef KINDS_H
#define KINDS_H

#include "tessera/writer.h"

extern const struct tess_writer_type tess_writer_h5ad;

/* The `verify` of AnnData (writer_h5ad_verify.c). */
int tess_writer_h5ad_verify(const char *path, int rank, int n_ranks, struct tess_strings *problem,
                            struct tess_error *error);

#endif
