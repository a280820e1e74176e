/* simulate_store.c -- a simulation as a store: means over replicates, and their folds. */
#include "simulate_store.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/rounds.h"

#include <stdio.h>

/* The mean over the replicates first, first + step, … of experiment e, over its panel. */
static void mean_profile(struct cursor *cursor, const struct tess_index *index, int64_t e,
                         int64_t first, int64_t step, float *out)
{
    int64_t panel = index->panel[e], begin = index->panel_first[panel];
    int64_t n = index->panel_first[panel + 1] - begin, count = 0;
    double *sum = TESS_NEW(double, n);

    for (int64_t replicate = first; replicate < index->n_replicates[e]; replicate += step) {
        tess_cursor_replicate(cursor, e, replicate);
        for (int64_t i = 0; i < n; i++)
            sum[i] += cursor->value[index->panel_readout[begin + i]];
        count++;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(sum[i] / (double)count);
    tess_free(sum);
}

/* One round's experiments, and their folds. */
static int write_experiments(struct tess_store *store, struct cursor *cursor, int64_t first,
                             int64_t n, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    const int64_t *fold = index->fold_first;
    int64_t value = index->value_first[first], folds = index->fold_value_first[fold[first]];
    float *mean = TESS_NEW(float, index->value_first[first + n] - value);
    float *part = TESS_NEW(float, index->fold_value_first[fold[first + n]] - folds);

    for (int64_t e = first; e < first + n; e++) {
        int64_t n_folds = fold[e + 1] - fold[e];

        mean_profile(cursor, index, e, 0, 1, mean + index->value_first[e] - value);
        for (int64_t f = 0; f < n_folds; f++)
            mean_profile(cursor, index, e, f, n_folds,
                         part + index->fold_value_first[fold[e] + f] - folds);
    }
    if (tess_store_write_values(store, first, n, mean, error) == TESS_OK)
        tess_store_write_folds(store, fold[first], fold[first + n] - fold[first], part, error);
    tess_free(mean);
    tess_free(part);
    return error->code;
}

int tess_design_write_store(struct tess_design *design, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_simulate *s = design->simulate;
    struct tess_rounds rounds =
        tess_rounds_make(comm, design->index.n_experiments, s->n_readouts, 1);
    struct tess_store store;
    struct tess_progress progress;
    struct cursor cursor;

    if (tess_store_create(&store, s->output, comm, &design->index, error) != TESS_OK)
        return error->code;
    design->index = store.index; /* the store's now; seen by the cursor until the end */
    snprintf(store.split_method, sizeof store.split_method, "%s", design->split_text);
    tess_cursor_init(&cursor, design);
    tess_progress_init(&progress, "simulating", "experiments", rounds.n);
    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        int64_t first, n = tess_rounds_take(&rounds, round, &first);

        write_experiments(&store, &cursor, first, n, error);
        tess_progress_show(&progress, tess_rounds_done(&rounds, round));
    }
    tess_progress_release(&progress);
    tess_cursor_release(&cursor);
    if (error->code == TESS_OK)
        tess_store_finish(&store, error);
    tess_store_release(&store);
    design->index = (struct tess_index){.control = -1};
    return error->code;
}
