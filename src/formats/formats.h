/* formats.h -- the kinds of source, one file each. */
#ifndef FORMATS_H
#define FORMATS_H

#include "tessera/source.h"

extern const struct tess_source_type tess_source_h5ad, tess_source_gctx, tess_source_gct,
    tess_source_matrix, tess_source_long, tess_source_wide;

#endif
