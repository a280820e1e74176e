/* kinds.h -- the kinds of output, one file each. */
#ifndef KINDS_H
#define KINDS_H

#include "tessera/writer.h"

extern const struct tess_writer_type tess_writer_h5ad;
extern const struct tess_writer_type tess_writer_gctx;

#endif
