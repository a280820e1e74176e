/* import.c -- plan, index, values, summary. */
#include "tessera/import.h"

#include "aggregate.h"
#include "remarks.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <string.h>

static void describe_files(const struct tess_plan *plan, struct tess_import_result *result)
{
    for (int64_t f = 0; f < plan->n_files; f++) {
        const struct tess_source *source = &plan->file[f].source;
        char *line = tess_format("%s: %s: %lld rows x %lld readouts%s", source->path,
                                 source->kind ? source->kind : source->type->name,
                                 (long long)source->n_rows, (long long)source->n_readouts,
                                 source->ragged ? ", those of a row listed" : "");

        tess_strings_add(&result->kind, line);
        tess_free(line);
        if (source->advice && !plan->options->source.layer) {
            line = tess_format("%s: %s", source->path, source->advice);
            tess_strings_add(&result->kind, line);
            tess_free(line);
        }
        result->n_rows += source->n_rows;
    }
}

/* The first problem becomes the error. */
static int refuse(const struct tess_problems *problems, struct tess_error *error)
{
    char more[96] = "";

    if (error->code != TESS_OK || problems->n == 0)
        return error->code;
    if (problems->n > 1)
        snprintf(more, sizeof more, " (and %lld more problem%s; 'tessera check' lists them)",
                 (long long)problems->n - 1, problems->n > 2 ? "s" : "");
    return tess_error_set(error, TESS_EDATA, "%s%s",
                          problems->text.n ? problems->text.item[0] : "the input has problems",
                          more);
}

static int nothing_left(const struct tess_import_options *options,
                        const struct tess_import_result *result, struct tess_problems *problems)
{
    if (problems->n == 0)
        tess_problems_add(problems, options->file[0], 0, NULL,
                          result->n_dropped ? "no experiment has %lld replicates (--min-replicates)"
                          : result->n_unwanted
                              ? "no row is left by --keep and --drop (all of them must hold)"
                              : "no row has a perturbation, a context and a value",
                          (long long)options->min_replicates);
    return TESS_OK;
}

/* Experiments there are, but not one number. */
static void check_measured(const struct tess_import_options *options,
                           const struct tess_index *index, struct tess_problems *problems)
{
    int64_t n = index->value_first[index->n_experiments];

    if (tess_index_observed(index, -1) == 0 && problems->n == 0)
        tess_problems_add(problems, options->file[0], 0, NULL,
                          "no value is measured: all %lld of %lld experiment%s are missing (NaN or "
                          "empty)",
                          (long long)n, (long long)index->n_experiments,
                          index->n_experiments == 1 ? "" : "s");
}

/* Small stores are put together in memory, on top of the budget for sums, and written at once:
 * experiments finish in the order of the files, which would be a small write for each. */
static int sink_buffers(struct tess_sink *sink, double memory, struct tess_error *error)
{
    const struct tess_index *index = sink->index;
    int64_t n = index->value_first[index->n_experiments];
    int64_t n_folds = index->fold_value_first[index->fold_first[index->n_experiments]];

    if (!sink->store || (double)(n + n_folds) * sizeof(float) > memory / 4)
        return TESS_OK;
    sink->value = tess_alloc_large((size_t)n, sizeof(float), "the store's values", error);
    sink->fold = tess_alloc_large((size_t)n_folds, sizeof(float), "the folds' values", error);
    return error->code;
}

static int sink_flush(struct tess_sink *sink, struct tess_error *error)
{
    const struct tess_index *index = sink->index;
    int64_t n = index->n_experiments;

    if (sink->store && sink->value && error->code == TESS_OK &&
        tess_store_write_values(sink->store, 0, n, sink->value, error) == TESS_OK)
        tess_store_write_folds(sink->store, 0, index->fold_first[n], sink->fold, error);
    return error->code;
}

/* Values into a new store, or nowhere. The store takes over the index: from there on it is
 * store.index that is filled. Problems turn into an error only when all values have been read, so
 * that the message can count them. */
static int fill(struct tess_plan *plan, struct tess_index *index, const char *path,
                struct tess_problems *problems, struct tess_import_result *result,
                struct tess_error *error)
{
    struct tess_store store = {.h5 = TESS_H5_INIT, .comm = MPI_COMM_SELF};
    struct tess_sink sink = {.index = index};

    if (path && tess_store_create(&store, path, MPI_COMM_SELF, index, error) != TESS_OK)
        return error->code;
    if (path) {
        sink.store = &store;
        sink.index = &store.index;
        if (plan->split_column)
            snprintf(store.split_method, sizeof store.split_method, "column '%s' of the input",
                     plan->split_column);
        else
            snprintf(store.split_method, sizeof store.split_method, "everything for training");
    }
    if (sink_buffers(&sink, plan->options->memory, error) == TESS_OK)
        tess_aggregate_run(plan, &sink, problems, result, error);
    if (error->code == TESS_OK)
        check_measured(plan->options, sink.index, problems);
    if (path)
        refuse(problems, error);
    sink_flush(&sink, error);
    tess_summary_init(&result->summary, sink.index);
    if (path && error->code == TESS_OK)
        tess_store_finish(&store, error);
    tess_store_release(&store);
    tess_free(sink.value);
    tess_free(sink.fold);
    return error->code;
}

/* Problems are looked at after each step: with a store the first step that has any is the last. */
int tess_import_run(const struct tess_import_options *options, const char *store,
                    struct tess_problems *problems, struct tess_import_result *result,
                    struct tess_error *error)
{
    struct tess_index index = {.control = -1};
    struct tess_plan plan;

    *result = (struct tess_import_result){0};
    if (tess_plan_open(&plan, options, problems, result, error) == TESS_OK) {
        describe_files(&plan, result);
        if (store)
            refuse(problems, error);
        if (error->code == TESS_OK && plan.n_files > 0 &&
            tess_plan_group(&plan, problems, result, error) == TESS_OK) {
            tess_plan_index(&plan, &index);
            if (index.n_experiments == 0)
                nothing_left(options, result, problems);
            if (store)
                refuse(problems, error);
            if (error->code == TESS_OK)
                fill(&plan, &index, store, problems, result, error);
        }
    }
    tess_index_release(&index);
    tess_plan_release(&plan);
    return error->code;
}

void tess_import_result_release(struct tess_import_result *result)
{
    tess_summary_release(&result->summary);
    tess_strings_release(&result->kind);
    tess_strings_release(&result->remark);
    *result = (struct tess_import_result){0};
}
