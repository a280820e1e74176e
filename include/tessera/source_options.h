/* source_options.h -- what a source is asked for. Local. */
#ifndef TESSERA_SOURCE_OPTIONS_H
#define TESSERA_SOURCE_OPTIONS_H

#include "tessera/text.h"

#include <stdint.h>

struct tess_filter;
struct tess_spools;

/* What the columns of a table's values are. */
enum tess_columns { TESS_COLUMNS_READOUT, TESS_COLUMNS_PERTURBATION, TESS_COLUMNS_CONTEXT };

struct tess_source_options {
    struct tess_strings perturbation, context; /* columns; several are joined with `_` */
    struct tess_strings combine; /* columns whose symbols together are the perturbation, instead */
    const char *dose, *time; /* columns of what goes into the perturbation's name; or NULL */
    const char *control_column; /* true where a row is the control; or NULL */
    const char *split_column, *replicate; /* or NULL */
    const char *weight; /* column of the rows' weights; or NULL */
    /* without split_column: a column `split` of splits alone counts as one */
    int find_split;
    struct tess_filter *filter; /* which rows count; borrowed, or NULL */
    int filters_lines; /* for tables: columns that it names are judged by line, no metadata */
    const char *layer; /* AnnData: layers/NAME (or `raw`) instead of X; or NULL */
    const char *modality; /* MuData: the AnnData to be read; or NULL */
    /* long form: column names (default so called); GCT: `readout` is the row metadata that names
     * the readouts (default the id) */
    const char *readout, *value;
    struct tess_strings id_columns; /* tables: further columns that are no readouts; patterns */
    /* a table with more columns of the rows, and its column of ids; or NULL (annotation.h) */
    const char *metadata, *metadata_id;
    int columns; /* tables: enum tess_columns */
    struct tess_strings values; /* wide tables: the columns of values, names or patterns */
    struct tess_strings missing; /* tables: further cells that are missing values */
    int infinite_missing; /* infinite values are missing, no problems */
    struct tess_spools *spools; /* copies of pipes, borrowed; NULL: pipes are refused */
};

/* A metadata column that options ask for, and the option that names it ("--context"). */
struct tess_wanted {
    const char *name, *option; /* borrowed */
    int64_t condition; /* of the filter, or -1 */
};
/* All of them, in the order of the options (id_columns left out, for these may be patterns), some
 * perhaps more than once. Returns their number; `wanted` is own of the caller. */
size_t tess_source_options_wanted(const struct tess_source_options *options,
                                  struct tess_wanted **wanted);

#endif
