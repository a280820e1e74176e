/* evaluate_predictions.c -- anybody's predictions from a table or an AnnData file: rows with the
 * columns `perturbation` and `context`, and readouts. Rank 0 reads, all get what is scored. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/source_open.h"
#include "tessera/spool.h"

#include <math.h>

struct reader {
    struct tess_evaluation *evaluation;
    struct tess_source source;
    struct tess_problems problems;
    struct tess_column perturbation, context;
    struct tess_mapping to_readout, to_context; /* the file's in the store; own */
    int64_t *combination; /* (levels) or -1 */
    int64_t *rows; /* (units) rows of the file that predict it */
    uint8_t *repeated; /* (units) does any of its readouts have several values? */
    double *sum; /* as evaluation->predicted; NULL until a value is repeated */
    int32_t *count; /* the same */
};

static int reader_open(struct reader *reader, const char *path, struct tess_source_options *options,
                       struct tess_error *error)
{
    const struct tess_index *index = &reader->evaluation->store->index;

    tess_strings_add(&options->perturbation, "perturbation");
    tess_strings_add(&options->context, "context");
    if (tess_source_open(&reader->source, path, options, &reader->problems, error) != TESS_OK ||
        tess_source_read_column(&reader->source, "perturbation", &reader->perturbation, error) !=
            TESS_OK ||
        tess_source_read_column(&reader->source, "context", &reader->context, error) != TESS_OK)
        return error->code;
    tess_mapping_init_names(&reader->to_readout, reader->source.n_readouts,
                            (const char *const *)reader->source.readout.item, &index->readout);
    tess_mapping_init_names(&reader->to_context, reader->context.n_levels,
                            (const char *const *)reader->context.level, &index->context);
    reader->combination = TESS_NEW(int64_t, reader->perturbation.n_levels);
    for (int64_t i = 0; i < reader->perturbation.n_levels; i++)
        reader->combination[i] = tess_index_find_text(index, &reader->evaluation->options.control,
                                                      reader->perturbation.level[i], NULL);
    reader->rows = TESS_NEW(int64_t, reader->evaluation->profiles.n_units);
    reader->repeated = TESS_NEW(uint8_t, reader->evaluation->profiles.n_units);
    return error->code;
}

static void reader_release(struct reader *reader)
{
    tess_source_release(&reader->source);
    tess_problems_release(&reader->problems);
    tess_column_release(&reader->perturbation);
    tess_column_release(&reader->context);
    tess_mapping_release(&reader->to_readout);
    tess_mapping_release(&reader->to_context);
    tess_free(reader->combination);
    tess_free(reader->rows);
    tess_free(reader->repeated);
    tess_free(reader->sum);
    tess_free(reader->count);
}

/* Which held-out unit does a row predict? -1: none. */
static int64_t unit_of_row(const struct reader *reader, int64_t row)
{
    const struct tess_evaluation *evaluation = reader->evaluation;
    int32_t p = reader->perturbation.code[row], c = reader->context.code[row];
    int64_t unit = -1;

    if (p >= 0 && c >= 0 && reader->combination[p] >= 0 && reader->to_context.to[c] >= 0)
        unit = tess_profiles_find(&evaluation->profiles, reader->to_context.to[c],
                                  reader->combination[p], evaluation->options.split);
    return unit >= 0 && evaluation->first[unit + 1] > evaluation->first[unit] ? unit : -1;
}

/* From the first repeated value on, sums are kept beside the values: most files have one row an
 * experiment, and need neither the memory nor the rounding. */
static int start_sums(struct reader *reader, struct tess_error *error)
{
    const struct tess_evaluation *evaluation = reader->evaluation;
    int64_t n = evaluation->first[evaluation->profiles.n_units];

    if (reader->sum)
        return TESS_OK;
    reader->sum = tess_alloc_large((size_t)n, sizeof(double), "the predictions' sums", error);
    reader->count = tess_alloc_large((size_t)n, sizeof(int32_t), "the predictions' counts", error);
    for (int64_t i = 0; error->code == TESS_OK && i < n; i++)
        if (!isnan(evaluation->predicted[i])) {
            reader->sum[i] = (double)evaluation->predicted[i];
            reader->count[i] = 1;
        }
    return error->code;
}

/* One value of a row that predicts the unit (or none: -1); 1 if it is of use. */
static int take(struct reader *reader, int64_t unit, int64_t readout, float value,
                struct tess_error *error)
{
    struct tess_evaluation *evaluation = reader->evaluation;
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = unit < 0 ? 0 : profiles->context_of[unit];
    int64_t place =
        unit < 0 || readout < 0
            ? -1
            : tess_set_place(tess_profiles_width(profiles, context),
                             profiles->readout + profiles->readout_first[context], readout);
    int64_t at = place < 0 ? -1 : evaluation->first[unit] + place;

    if (isnan(value))
        return 0;
    if (place < 0) {
        evaluation->n_unused++;
        return 0;
    }
    if (!isnan(evaluation->predicted[at])) {
        if (start_sums(reader, error) != TESS_OK)
            return 0;
        reader->repeated[unit] = 1;
    } else
        evaluation->predicted[at] = value;
    if (reader->sum) {
        reader->sum[at] += (double)value;
        reader->count[at]++;
    }
    return 1;
}

/* Several rows of an experiment (its cells, for instance) make their mean. */
static void average(struct reader *reader)
{
    struct tess_evaluation *evaluation = reader->evaluation;

    for (int64_t u = 0; u < evaluation->profiles.n_units && reader->sum; u++) {
        if (!reader->repeated[u])
            continue;
        evaluation->n_averaged++;
        evaluation->n_averaged_rows += reader->rows[u];
        for (int64_t i = evaluation->first[u]; i < evaluation->first[u + 1]; i++)
            if (reader->count[i] > 1)
                evaluation->predicted[i] = (float)(reader->sum[i] / (double)reader->count[i]);
    }
}

static void take_block(struct reader *reader, const struct tess_block *block,
                       struct tess_error *error)
{
    int64_t n = reader->source.n_readouts;
    float *row = TESS_NEW(float, n);

    for (int64_t k = 0; k < block->n && error->code == TESS_OK; k++) {
        int64_t unit = unit_of_row(reader, block->first + k);
        int used = 0;
        const float *value = block->dense ? block->dense + k * n : row;

        for (int64_t j = 0; !block->dense && j < n; j++)
            row[j] = block->fill;
        for (int64_t j = block->dense ? 0 : block->indptr[k];
             !block->dense && j < block->indptr[k + 1]; j++)
            row[block->index[j]] = block->data[j];
        for (int64_t j = 0; j < n && error->code == TESS_OK; j++)
            used |= take(reader, unit, reader->to_readout.to[j], value[j], error);
        if (used)
            reader->rows[unit]++;
    }
    tess_free(row);
}

/* Rank 0. A file with a problem is refused by its first: scores of the rest would mislead. */
static int read_all(struct tess_evaluation *evaluation, struct tess_error *error)
{
    struct tess_spools spools = {0};
    struct tess_source_options options = {.spools = &spools, .find_split = 1};
    struct reader reader = {.evaluation = evaluation};
    struct tess_block block = {0};

    reader_open(&reader, evaluation->options.predictions, &options, error);
    for (int64_t first = 0, step; first < reader.source.n_rows && error->code == TESS_OK;
         first += step) {
        step = reader.source.rows_at_once < 1 ? 1 : reader.source.rows_at_once;
        step = step < reader.source.n_rows - first ? step : reader.source.n_rows - first;
        if (tess_source_read_rows(&reader.source, first, step, &block, &reader.problems, error) ==
            TESS_OK)
            take_block(&reader, &block, error);
    }
    if (reader.problems.n > 0 && reader.problems.text.n > 0)
        tess_error_set(error, TESS_EDATA, "%s", reader.problems.text.item[0]);
    if (error->code == TESS_OK)
        average(&reader);
    tess_block_release(&block);
    reader_release(&reader);
    tess_strings_release(&options.perturbation);
    tess_strings_release(&options.context);
    tess_spools_release(&spools);
    return error->code;
}

/* Room for held-out units only. All ranks get all of it: any may have to score any unit. */
int tess_evaluate_read(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                       uint8_t *keep, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t n_units = profiles->n_units, *first = TESS_NEW(int64_t, n_units + 1), size;
    int rank;

    MPI_Comm_rank(evaluation->comm, &rank);
    for (int64_t i = 0; i < n; i++)
        first[unit[i] + 1] = tess_profiles_width(profiles, profiles->context_of[unit[i]]);
    for (int64_t u = 0; u < n_units; u++)
        first[u + 1] += first[u];
    size = first[n_units];
    evaluation->first = first;
    evaluation->predicted = tess_alloc_large((size_t)size, sizeof(float), "the predictions", error);
    for (int64_t k = 0; evaluation->predicted && k < size; k++)
        evaluation->predicted[k] = NAN;
    if (rank == 0 && error->code == TESS_OK)
        read_all(evaluation, error);
    if (tess_agree(evaluation->comm, error) != TESS_OK)
        return error->code;
    tess_broadcast(evaluation->comm, evaluation->predicted, (size_t)size * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        keep[i] = tess_evaluate_spoken(evaluation, unit[i]) > 0;
    return error->code;
}
