/* impute_predict.c -- what the model says of rows. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>

/* Rows [first, first + n) as the model takes them; the arrays are own. */
static void describe(const struct imputation *work, int64_t first, int64_t n, int64_t **begin,
                     int64_t **member, int64_t **context)
{
    const struct tess_sets *sets = &work->perturbation;
    size_t room = 0;

    *begin = TESS_NEW(int64_t, n + 1);
    *context = TESS_NEW(int64_t, n);
    *member = NULL;
    for (int64_t i = 0; i < n; i++) {
        int64_t set = (first + i) % sets->n, at = (*begin)[i];
        int64_t size = sets->first[set + 1] - sets->first[set];

        *member = tess_grow(*member, &room, (size_t)(at + size), sizeof **member);
        memcpy(*member + at, sets->member + sets->first[set], (size_t)size * sizeof **member);
        (*begin)[i + 1] = at + size;
        (*context)[i] = work->context.member[(first + i) / sets->n];
    }
}

int tess_imputation_predict(const struct imputation *work, int64_t first, int64_t n, float *out,
                            float *deviation, struct tess_error *error)
{
    int64_t *begin, *member, *context;

    describe(work, first, n, &begin, &member, &context);
    tess_blender_predict(
        &work->blender, &(struct tess_rows){n, begin, member, context},
        &(struct tess_model_columns){work->readout.n, work->readout.member, out, deviation, NULL},
        error);
    tess_free(begin);
    tess_free(member);
    tess_free(context);
    return error->code;
}
