/* evaluate_spread.c -- how far the members of an ensemble are apart, beside how far off it is.
 *
 * Experiments are cut into chunks by the store alone, and ranks take them in turn: errors and
 * deviations stand in the order of the experiments on rank 0, so that what is made of them has the
 * same bits on any number of ranks. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/deviation.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/model.h"

#include <math.h>
#include <string.h>

#define CHUNK       64 /* experiments at most, of one context */
#define MOST_VALUES (1 << 20) /* about: enough for shares and correlations of three digits */

struct pair {
    struct tess_scored_value value;
    double deviation;
};

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

/* Where chunks begin, (n + 1); of many values only every n-th chunk is taken. Own of the caller. */
static int64_t *cut(const struct tess_evaluation *evaluation, int64_t *n)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t *begin = TESS_NEW(int64_t, 2 * evaluation->n), values = 0, all = 0, stride;

    for (int64_t i = 0; i < evaluation->n; i++)
        values += tess_profiles_width(profiles, context_of(evaluation, i));
    stride = 1 + values / MOST_VALUES;
    *n = 0;
    for (int64_t i = 0, end; i < evaluation->n; i = end, all++) {
        for (end = i + 1; end < evaluation->n && end - i < CHUNK &&
                          context_of(evaluation, end) == context_of(evaluation, i);
             end++)
            ;
        if (all % stride == 0) {
            begin[2 * *n] = i;
            begin[2 * *n + 1] = end;
            ++*n;
        }
    }
    return begin;
}

/* What is measured and predicted of [begin, end), added to `pair`. Local. */
static int take(struct tess_evaluation *evaluation, const int64_t *range, struct pair **pair,
                int64_t *n, struct tess_error *error)
{
    struct tess_profiles *profiles = &evaluation->profiles;
    int64_t begin = range[0], rows = range[1] - begin;
    int64_t width = tess_profiles_width(profiles, context_of(evaluation, begin));
    float *measured = TESS_NEW(float, rows *width);
    double *value = TESS_NEW(double, rows *width), *deviation = TESS_NEW(double, rows *width);
    int64_t context = context_of(evaluation, begin);
    const int64_t *readout = profiles->readout + profiles->readout_first[context];

    *pair = TESS_NEW(struct pair, rows * width);
    if (tess_profiles_read(profiles, rows, evaluation->unit + begin, measured, error) == TESS_OK &&
        tess_evaluate_predict(evaluation, begin, range[1], value, deviation, error) == TESS_OK)
        for (int64_t i = 0; i < rows * width; i++)
            if (!isnan(measured[i]) && !isnan(value[i]))
                (*pair)[(*n)++] = (struct pair){
                    {measured[i], (double)measured[i] - value[i], context, readout[i % width]},
                    deviation[i]};
    tess_free(measured);
    tess_free(value);
    tess_free(deviation);
    return error->code;
}

/* A round's pairs to the end of what rank 0 has. Collective. */
static void add_round(struct tess_evaluation *evaluation, const struct pair *mine, int64_t n_mine,
                      size_t room[3])
{
    struct tess_spread *spread = &evaluation->spread;
    struct pair *all;
    int64_t n = 0;

    MPI_Reduce(&n_mine, &n, 1, MPI_INT64_T, MPI_SUM, 0, evaluation->comm);
    all = TESS_NEW(struct pair, n);
    tess_gather(evaluation->comm, mine, n_mine, sizeof *mine, all);
    spread->error =
        tess_grow(spread->error, &room[0], (size_t)(spread->n + n), sizeof *spread->error);
    if (tess_model_deviates(evaluation->model))
        spread->deviation = tess_grow(spread->deviation, &room[1], (size_t)(spread->n + n),
                                      sizeof *spread->deviation);
    if (evaluation->options.keep_values)
        spread->value =
            tess_grow(spread->value, &room[2], (size_t)(spread->n + n), sizeof *spread->value);
    for (int64_t i = 0; i < n; i++) {
        spread->error[spread->n + i] = all[i].value.error;
        if (spread->deviation)
            spread->deviation[spread->n + i] = all[i].deviation;
        if (spread->value)
            spread->value[spread->n + i] = all[i].value;
    }
    spread->n += n;
    tess_free(all);
}

int tess_evaluate_spread(struct tess_evaluation *evaluation, struct tess_error *error)
{
    int64_t n_chunks, *range;
    size_t room[3] = {0, 0, 0};
    int rank, n_ranks;

    if (!evaluation->has_model || evaluation->predicted ||
        (!tess_model_deviates(evaluation->model) && !evaluation->options.keep_values))
        return TESS_OK;
    MPI_Comm_rank(evaluation->comm, &rank);
    MPI_Comm_size(evaluation->comm, &n_ranks);
    range = cut(evaluation, &n_chunks);
    for (int64_t c = 0; c < n_chunks; c += n_ranks) {
        struct pair *mine = NULL;
        int64_t n = 0;

        if (c + rank < n_chunks)
            take(evaluation, range + 2 * (c + rank), &mine, &n, error);
        if (tess_agree(evaluation->comm, error) == TESS_OK)
            add_round(evaluation, mine, n, room);
        tess_free(mine);
        if (error->code != TESS_OK)
            break;
    }
    for (int64_t c = 0; c < n_chunks; c++)
        evaluation->spread.n_experiments += range[2 * c + 1] - range[2 * c];
    tess_free(range);
    return error->code;
}

void tess_evaluate_score_spread(struct tess_evaluation *evaluation)
{
    struct tess_spread *spread = &evaluation->spread;

    if (!evaluation->has_model || evaluation->predicted || !tess_model_deviates(evaluation->model))
        return;
    spread->uncalibrated =
        tess_deviation_find(&evaluation->blender, evaluation->comm, &spread->calibration);
    spread->rank_correlation = tess_calibration_rank(spread->n, spread->error, spread->deviation);
    spread->raw = tess_calibration_coverage(NULL, spread->n, spread->error, spread->deviation);
    spread->calibrated = tess_calibration_coverage(&spread->calibration, spread->n, spread->error,
                                                   spread->deviation);
}
