/* writer_h5ad_verify.h -- every matrix of an AnnData or MuData file, read back. */
#ifndef WRITER_H5AD_VERIFY_H
#define WRITER_H5AD_VERIFY_H

#include "tessera/writer.h"

/* The `verify` of AnnData. Local. */
int tess_writer_h5ad_verify(const struct tess_writer_look *look, struct tess_problems *problems,
                            struct tess_error *error);

#endif
