/* aggregate.h -- values from the files into experiments and folds. Local. */
#ifndef AGGREGATE_H
#define AGGREGATE_H

#include "plan.h"

/* Where values go. */
struct tess_sink {
    struct tess_store *store; /* borrowed; NULL: they are only counted */
    struct tess_index *index; /* borrowed: the store's, or one without a store */
    float *value, *fold; /* everything, written at the end; NULL: as they come */
};
/* Reads the values of all files, in as many passes as the budget makes necessary, and fills the
 * sink and index->n_observed; adds to result's passes and remarks. */
int tess_aggregate_run(struct tess_plan *plan, struct tess_sink *sink,
                       struct tess_problems *problems, struct tess_import_result *result,
                       struct tess_error *error);

#endif
