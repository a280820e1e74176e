/* annotation.h -- metadata of a source's rows that stand elsewhere: in a table with one line for
 * each row's id (CMap's siginfo files). Local. */
#ifndef TESSERA_ANNOTATION_H
#define TESSERA_ANNOTATION_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_error;
struct tess_problems;
struct tess_source;
struct tess_symbols;

struct tess_annotation {
    struct tess_strings name; /* of the columns */
    struct tess_symbols *symbol; /* (name.n) own */
    int32_t **code; /* (name.n, n_rows of the source) own */
};

/* Takes from options->metadata the columns that the options ask for and the source lacks, joined by
 * the id: the table's column options->metadata_id (or `id`, or its first) equals the source's
 * column `id` (or its first; source->key). Ids that appear twice are problems; rows without a line
 * have the metadata missing. TESS_EDATA if none of the ids has a line. */
int tess_annotation_read(struct tess_annotation *annotation, struct tess_source *source,
                         struct tess_problems *problems, struct tess_error *error);
void tess_annotation_release(struct tess_annotation *annotation);

#endif
