/* evaluate_predictions.c -- anybody's predictions from a table or an AnnData file: rows with the
 * columns `perturbation` and `context`, and readouts. Rank 0 reads, all get what is scored. */
#include "tessera/evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/share.h"
#include "tessera/source.h"
#include "tessera/spool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct tess_evaluation *evaluation;
    struct tess_source source;
    struct tess_problems problems;
    struct tess_column perturbation, context;
    int64_t n;            /* held-out units … */
    const int64_t *unit;  /* (n) … ascending  */
    int64_t *readout;     /* (source readouts) number in the store, or -1 */
    int64_t *combination; /* (levels) or -1 */
    int64_t *context_of;  /* (levels) or -1 */
};

/* Members against combination `k` of the index, which are in lexicographic order. */
static int compare_members(const struct tess_index *index, int64_t k, int64_t n,
                           const int64_t *member)
{
    const int64_t *other = index->combination_member + index->combination_first[k];
    int64_t n_other = index->combination_first[k + 1] - index->combination_first[k];

    for (int64_t i = 0; i < n && i < n_other; i++)
        if (member[i] != other[i])
            return member[i] < other[i] ? -1 : 1;
    return (n > n_other) - (n < n_other);
}

static int64_t find_combination(const struct tess_index *index, const char *text)
{
    int64_t low = 0, high = index->n_combinations, found = -1, room = 1, *member;
    int n;

    for (const char *c = text; *c; c++)
        room += *c == '+';
    member = TESS_NEW(int64_t, room);
    n = tess_combination_parse(&index->perturbation, text, member, NULL);
    while (n > 0 && low < high && found < 0) {
        int64_t middle = low + (high - low) / 2;
        int by = compare_members(index, middle, n, member);

        if (by == 0)
            found = middle;
        else if (by < 0)
            high = middle;
        else
            low = middle + 1;
    }
    tess_free(member);
    return found;
}

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
    reader->readout = TESS_NEW(int64_t, reader->source.n_readouts);
    reader->combination = TESS_NEW(int64_t, reader->perturbation.n_levels);
    reader->context_of = TESS_NEW(int64_t, reader->context.n_levels);
    for (int64_t i = 0; i < reader->source.n_readouts; i++)
        reader->readout[i] = tess_vocab_find(&index->readout, reader->source.readout.item[i]);
    for (int64_t i = 0; i < reader->perturbation.n_levels; i++)
        reader->combination[i] = find_combination(index, reader->perturbation.level[i]);
    for (int64_t i = 0; i < reader->context.n_levels; i++)
        reader->context_of[i] = tess_vocab_find(&index->context, reader->context.level[i]);
    return error->code;
}

static void reader_release(struct reader *reader)
{
    tess_source_release(&reader->source);
    tess_problems_release(&reader->problems);
    tess_column_release(&reader->perturbation);
    tess_column_release(&reader->context);
    tess_free(reader->readout);
    tess_free(reader->combination);
    tess_free(reader->context_of);
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t place_of(int64_t x, int64_t n, const int64_t *ascending)
{
    const int64_t *found = bsearch(&x, ascending, (size_t)n, sizeof x, compare_numbers);

    return found ? found - ascending : -1;
}

/* Which held-out unit does a row predict? -1: none. */
static int64_t unit_of_row(const struct reader *reader, int64_t row)
{
    const struct tess_evaluation *evaluation = reader->evaluation;
    int32_t p = reader->perturbation.code[row], c = reader->context.code[row];
    int64_t unit = -1;

    if (p >= 0 && c >= 0 && reader->combination[p] >= 0 && reader->context_of[c] >= 0)
        unit = tess_profiles_find(&evaluation->profiles, reader->context_of[c],
                                  reader->combination[p], evaluation->options.split);
    return unit < 0 ? -1 : place_of(unit, reader->n, reader->unit);
}

static int take(struct reader *reader, int64_t i, int64_t readout, float value,
                struct tess_error *error)
{
    struct tess_evaluation *evaluation = reader->evaluation;
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t context = i < 0 ? 0 : profiles->context_of[reader->unit[i]];
    int64_t place = i < 0 || readout < 0
                        ? -1
                        : place_of(readout, tess_profiles_width(profiles, context),
                                   profiles->readout + profiles->readout_first[context]);
    char *name;

    if (isnan(value))
        return error->code;
    if (place < 0) {
        evaluation->n_unused++;
        return error->code;
    }
    if (!isnan(evaluation->predicted[evaluation->first[i] + place])) {
        name = tess_evaluate_name(evaluation, reader->unit[i]);
        tess_error_set(error, TESS_EDATA, "%s: readout '%s' of %s is predicted twice",
                       reader->source.path, evaluation->store->index.readout.symbol[readout], name);
        tess_free(name);
    }
    evaluation->predicted[evaluation->first[i] + place] = value;
    return error->code;
}

static void take_block(struct reader *reader, const struct tess_block *block,
                       struct tess_error *error)
{
    int64_t n = reader->source.n_readouts;
    float *row = TESS_NEW(float, n);

    for (int64_t k = 0; k < block->n && error->code == TESS_OK; k++) {
        int64_t i = unit_of_row(reader, block->first + k);
        const float *value = block->dense ? block->dense + k * n : row;

        for (int64_t j = 0; !block->dense && j < n; j++)
            row[j] = block->fill;
        for (int64_t j = block->dense ? 0 : block->indptr[k];
             !block->dense && j < block->indptr[k + 1]; j++)
            row[block->index[j]] = block->data[j];
        for (int64_t j = 0; j < n && error->code == TESS_OK; j++)
            take(reader, i, reader->readout[j], value[j], error);
    }
    tess_free(row);
}

static int read_all(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                    struct tess_error *error)
{
    struct tess_spools spools = {0};
    struct tess_source_options options = {.spools = &spools};
    struct reader reader = {.evaluation = evaluation, .n = n, .unit = unit};
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
    tess_block_release(&block);
    reader_release(&reader);
    tess_strings_release(&options.perturbation);
    tess_strings_release(&options.context);
    tess_spools_release(&spools);
    return error->code;
}

int tess_evaluate_read(struct tess_evaluation *evaluation, int64_t n, const int64_t *unit,
                       uint8_t *keep, struct tess_error *error)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t *first = TESS_NEW(int64_t, n + 1);
    int rank;

    MPI_Comm_rank(evaluation->comm, &rank);
    for (int64_t i = 0; i < n; i++)
        first[i + 1] = first[i] + tess_profiles_width(profiles, profiles->context_of[unit[i]]);
    evaluation->first = first;
    evaluation->predicted =
        tess_alloc_large((size_t)first[n], sizeof(float), "the predictions", error);
    for (int64_t k = 0; evaluation->predicted && k < first[n]; k++)
        evaluation->predicted[k] = NAN;
    if (rank == 0 && error->code == TESS_OK)
        read_all(evaluation, n, unit, error);
    if (tess_agree(evaluation->comm, error) != TESS_OK)
        return error->code;
    tess_share(evaluation->comm, evaluation->predicted, (size_t)first[n] * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        keep[i] = 0;
        for (int64_t k = first[i]; k < first[i + 1] && !keep[i]; k++)
            keep[i] = (uint8_t)!isnan(evaluation->predicted[k]);
    }
    return error->code;
}
