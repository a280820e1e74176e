/* import.h -- files of any kind become one store: symbols, replicates, aggregation. Local.
 *
 * Order of the arithmetic: total count, log1p, mean of the rows of a replicate, mean (or median)
 * over replicates, clip. Rows stream through: memory holds a few 4-byte codes a row, and sums for
 * as many experiments as the budget allows; where that is not enough, the files are read again for
 * the others. The result does not depend on the budget. */
#ifndef TESSERA_IMPORT_H
#define TESSERA_IMPORT_H

#include "tessera/source.h"
#include "tessera/summary.h"

#include <stdint.h>

struct tess_error;

enum tess_aggregate { TESS_AGGREGATE_MEAN, TESS_AGGREGATE_MEDIAN, TESS_AGGREGATE_NONE };

/* Names of controls. One that was given as a list counts as a whole, too: names hold commas. */
struct tess_controls {
    struct tess_strings name; /* every symbol that is one */
    struct tess_strings given; /* what --control was given; without the lines of files */
};

struct tess_import_options {
    struct tess_source_options source; /* its column lists may not be empty */
    struct tess_controls control; /* symbols renamed to TESS_CONTROL */
    const char *separator; /* between the components of a combination; NULL: `+` */
    int ignore_split; /* a column `split` that is found is no readout, but does not count either */
    int drop_unlabelled; /* rows without perturbation or context are left out */
    struct tess_strings plus_literal; /* symbols that hold a plus of their own */
    int plus_literal_all; /* every plus belongs to its symbol */
    const char *dose_unit, *time_unit; /* of numbers without one; or NULL */
    struct tess_strings dose_levels; /* "Low=1": words that are numbers of a dose */
    const char *prefix; /* before every perturbation but the control; or NULL */
    const char *readout_prefix; /* before every readout; or NULL */
    int aggregate; /* enum tess_aggregate */
    double normalize_total; /* 0: do not */
    int log1p;
    double clip; /* values end up in [-clip, clip]; 0: do not */
    int64_t min_replicates;
    int64_t seed; /* of the folds */
    double memory; /* bytes for sums, and a quarter as much for a store */
    int64_t n_files; /* for the files, see tess_import_run */
    char **file; /* borrowed */
};

/* What happened on the way; the rest is in the summary. */
struct tess_import_result {
    struct tess_summary summary;
    int64_t n_rows, n_replicate_rows; /* rows; those beyond the first of their experiment */
    int64_t n_dropped_rows, n_dropped; /* by min_replicates: rows, experiments */
    int64_t n_unwanted, n_unlabelled; /* rows left out by the filter; for lack of a label */
    struct tess_strings remark; /* what may be meant otherwise, a sentence each */
    int64_t n_passes; /* times the files were read */
    struct tess_strings kind; /* "FILE: AnnData, dense float32: 10 rows × 5 readouts" */
};
void tess_import_result_release(struct tess_import_result *result);

/* Reads options->file[…] and writes `store`; with store NULL only looks (check). Everything wrong
 * with the input is collected in `problems`; a store is written only if there is none: the first
 * becomes the error. With store NULL problems are no error. `result` is the caller's to release,
 * after an error, too. */
int tess_import_run(const struct tess_import_options *options, const char *store,
                    struct tess_problems *problems, struct tess_import_result *result,
                    struct tess_error *error);

#endif
