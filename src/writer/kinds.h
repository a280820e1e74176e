/* kinds.h -- the kinds of output, one file each. */
#ifndef KINDS_H
#define KINDS_H

#include "tessera/writer.h"

extern const struct tess_writer_type tess_writer_h5ad;

/* The `verify` of AnnData (writer_h5ad_verify.c), and of kinds that have none of their own
 * (writer_verify.c). Local. */
int tess_writer_h5ad_verify(const struct tess_writer_look *look, struct tess_problems *problems,
                            struct tess_error *error);
int tess_writer_read_back(const struct tess_writer_look *look, struct tess_problems *problems,
                          struct tess_error *error);

#endif
