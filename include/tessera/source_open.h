/* source_open.h -- opens an input file of any kind. Local. */
#ifndef TESSERA_SOURCE_OPEN_H
#define TESSERA_SOURCE_OPEN_H

#include "tessera/source.h"

/* Opens a file as what its content says it is. TESS_EDATA with what was expected otherwise: a file
 * whose name promises another kind is told so ("named .gctx but holds GCT text"); the source is
 * released then. `options` are borrowed until it is released. */
int tess_source_open(struct tess_source *source, const char *path,
                     const struct tess_source_options *options, struct tess_problems *problems,
                     struct tess_error *error);

#endif
