/* impute_block.c -- rows of values: predicted, changed, and given to the file. */
#include "impute.h"

#include "half.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/known.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

#define DEVIATION   "std" /* the layer of several models' standard deviation */
#define CALIBRATED  "std_calibrated" /* and of that of a measured value (calibration.h) */
#define OBSERVED    "observed" /* the layer that marks measured values */
#define UNCERTAINTY TESS_WRITER_OBS "uncertainty"

unsigned tess_imputation_parts(const struct tess_impute *impute)
{
    return (impute->n_models > 1 || impute->keep ? TESS_WRITER_LAYERS : 0) |
           (impute->half ? TESS_WRITER_HALF : 0) | (impute->level ? TESS_WRITER_PACKED : 0);
}

int64_t tess_imputation_row_floats(const struct imputation *work)
{
    int64_t n = work->readout.n;

    return work->n_matrices * n + (work->n_matrices > 1) + (work->impute->keep ? (n + 3) / 4 : 0);
}

struct imputation_block tess_imputation_block(const struct imputation *work, int64_t n,
                                              float *memory)
{
    int64_t values = n * work->readout.n;
    struct imputation_block block = {.value = memory};

    memory += values;
    if (work->n_matrices > 1) {
        block.deviation = memory;
        block.uncertainty = memory + values;
        memory += values + n;
    }
    if (work->n_matrices > 2) {
        block.calibrated = memory;
        memory += values;
    }
    if (work->impute->keep)
        block.observed = (uint8_t *)memory;
    return block;
}

/* Rows [first, first + n) as the model takes them; the arrays are own. */
struct rows {
    int64_t n, *begin, *member, *context;
};

static void describe(const struct imputation *work, int64_t first, int64_t n, struct rows *rows)
{
    size_t room = 0;

    *rows = (struct rows){n, TESS_NEW(int64_t, n + 1), NULL, TESS_NEW(int64_t, n)};
    for (int64_t i = 0; i < n; i++) {
        int64_t set, context, pair[2], size, at = rows->begin[i];
        const int64_t *member;

        tess_imputation_row(work, first + i, &set, &context);
        size = tess_imputation_members(work, set, pair, &member);
        rows->member = tess_grow(rows->member, &room, (size_t)(at + size), sizeof *rows->member);
        memcpy(rows->member + at, member, (size_t)size * sizeof *member);
        rows->begin[i + 1] = at + size;
        rows->context[i] = work->context.member[context];
    }
}

static void rows_release(struct rows *rows)
{
    tess_free(rows->begin);
    tess_free(rows->member);
    tess_free(rows->context);
}

/* A member's predictions of `n` rows of one context less its control's. */
struct change {
    const struct imputation *work;
    int64_t n;
};

static void subtract(const void *closure, int member, float *out)
{
    const struct change *change = closure;
    const struct imputation_delta *delta = &change->work->delta;
    int64_t n_readouts = change->work->readout.n;
    const float *control = delta->control < 0 ? delta->mean : delta->member + member * n_readouts;

    for (int64_t i = 0; i < change->n; i++)
        for (int64_t k = 0; k < n_readouts; k++)
            out[i * n_readouts + k] -= control[k];
}

static int predict(struct imputation *work, const struct rows *rows, int64_t first, int64_t n,
                   const struct imputation_block *block, struct tess_error *error)
{
    struct change change = {work, n};
    struct tess_model_change then = {&change, subtract};
    int64_t at = first * work->readout.n;
    struct tess_model_columns columns = {.n_readouts = work->readout.n,
                                         .readout = work->readout.member,
                                         .out = block->value + at,
                                         .deviation =
                                             block->deviation ? block->deviation + at : NULL,
                                         .then = work->impute->delta ? &then : NULL};

    /* members are told by their places: `begin` need not begin at 0 */
    return tess_blender_predict(
        &work->blender,
        &(struct tess_rows){n, rows->begin + first, rows->member, rows->context + first}, &columns,
        error);
}

/* Measured values in the place of predicted ones, as changes if those are. */
static int keep(struct imputation *work, const struct rows *rows, int64_t i,
                const struct imputation_block *block, struct tess_error *error)
{
    int64_t n = work->readout.n;
    float *value = block->value + i * n, *measured = TESS_NEW(float, n);
    struct imputation_experiment of = {rows->begin[i + 1] - rows->begin[i], rows->context[i],
                                       rows->member + rows->begin[i]};
    int found;

    memset(block->observed + i * n, 0, (size_t)n);
    if (tess_imputation_measured(work, &of, measured, &found, error) == TESS_OK && found)
        for (int64_t k = 0; k < n; k++)
            if (!isnan(measured[k])) {
                value[k] = work->impute->delta ? measured[k] - work->delta.mean[k] : measured[k];
                block->observed[i * n + k] = 1;
            }
    tess_free(measured);
    return error->code;
}

/* Rows of one context at a time, if they need its control. */
static int fill(struct imputation *work, const struct rows *rows,
                const struct imputation_block *block, struct tess_error *error)
{
    int delta = work->impute->delta;

    for (int64_t first = 0, end; first < rows->n && error->code == TESS_OK; first = end) {
        int64_t context = rows->context[first];

        for (end = first + 1; end < rows->n && (!delta || rows->context[end] == context); end++)
            ;
        if (delta && tess_imputation_control(work, context, error) != TESS_OK)
            break;
        predict(work, rows, first, end - first, block, error);
        for (int64_t i = first; block->observed && i < end && error->code == TESS_OK; i++)
            keep(work, rows, i, block, error);
    }
    return error->code;
}

/* What is not asked of a row is NaN. */
static void leave_out(const struct imputation *work, int64_t row, int64_t i,
                      const struct imputation_block *block)
{
    const struct imputation_rows *rows = &work->rows;
    int64_t n = work->readout.n, at = rows->asked_first[rows->begin + row],
            end = rows->asked_first[rows->begin + row + 1];

    for (int64_t k = 0; k < n; k++) {
        if (at < end && rows->asked[at] == k) {
            at++;
            continue;
        }
        block->value[i * n + k] = NAN;
        if (block->deviation)
            block->deviation[i * n + k] = NAN;
        if (block->calibrated)
            block->calibrated[i * n + k] = NAN;
        if (block->observed)
            block->observed[i * n + k] = 0;
    }
}

static void average(const struct imputation *work, int64_t i, const struct imputation_block *block)
{
    int64_t n = work->readout.n, counted = 0;
    double sum = 0;

    for (int64_t k = 0; k < n; k++)
        if (!isnan(block->deviation[i * n + k])) {
            sum += (double)block->deviation[i * n + k];
            counted++;
        }
    block->uncertainty[i] = counted ? (float)(sum / (double)counted) : NAN;
}

/* Does the deviation of what is known by features alone stand for this row? */
static int is_by_features(const struct imputation *work, const struct rows *rows, int64_t i)
{
    return !isnan(work->feature_deviation) &&
           tess_known_has_deviation(&work->model, rows->begin[i + 1] - rows->begin[i],
                                    rows->member + rows->begin[i], rows->context[i]);
}

/* The deviation of measured values. How far members are apart does not tell how little features
 * do. */
static void calibrate(const struct imputation *work, const struct rows *rows,
                      const struct imputation_block *block)
{
    int64_t n = work->readout.n;

    for (int64_t i = 0; i < rows->n; i++) {
        int by_features = is_by_features(work, rows, i);

        for (int64_t k = i * n; k < (i + 1) * n; k++)
            block->calibrated[k] =
                (float)(by_features ? work->feature_deviation
                                    : tess_calibration_apply(&work->calibration,
                                                             (double)block->deviation[k]));
    }
}

static int halve(const struct imputation *work, int64_t first, int64_t n, float *value,
                 struct tess_error *error)
{
    int64_t n_readouts = work->readout.n, at = tess_half_from_floats(n * n_readouts, value);

    if (at >= 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: row %lld, readout %s: the value is beyond %d, the largest of float16: "
                       "give --dtype float32",
                       work->output, (long long)(first + at / n_readouts + 1),
                       work->model.readout.symbol[work->readout.member[at % n_readouts]],
                       TESS_HALF_MOST);
    return error->code;
}

int tess_imputation_fill(struct imputation *work, int64_t first, int64_t n,
                         const struct imputation_block *block, struct tess_error *error)
{
    struct rows rows;

    describe(work, first, n, &rows);
    fill(work, &rows, block, error);
    if (block->calibrated && error->code == TESS_OK)
        calibrate(work, &rows, block);
    for (int64_t i = 0; work->rows.asked && i < n && error->code == TESS_OK; i++)
        leave_out(work, first + i, i, block);
    for (int64_t i = 0; block->uncertainty && i < n && error->code == TESS_OK; i++)
        average(work, i, block);
    if (work->impute->half && error->code == TESS_OK &&
        halve(work, first, n, block->value, error) == TESS_OK && block->deviation &&
        halve(work, first, n, block->deviation, error) == TESS_OK && block->calibrated)
        halve(work, first, n, block->calibrated, error);
    rows_release(&rows);
    return error->code;
}

int tess_imputation_define(const struct imputation *work, struct tess_writer *file,
                           struct tess_error *error)
{
    int several = work->n_matrices > 1;

    tess_writer_define_matrix(file, NULL, error);
    if (several && error->code == TESS_OK &&
        tess_writer_define_matrix(file, DEVIATION, error) == TESS_OK)
        tess_writer_define_column(file, UNCERTAINTY, error);
    if (work->n_matrices > 2 && error->code == TESS_OK)
        tess_writer_define_matrix(file, CALIBRATED, error);
    if (work->impute->keep && error->code == TESS_OK)
        tess_writer_define_marks(file, OBSERVED, error);
    return error->code;
}

int tess_imputation_put(struct tess_writer *file, int64_t first, int64_t n,
                        const struct imputation_block *block, struct tess_error *error)
{
    tess_writer_put_rows(file, NULL, first, n, block->value, error);
    if (block->deviation && error->code == TESS_OK &&
        tess_writer_put_rows(file, DEVIATION, first, n, block->deviation, error) == TESS_OK)
        tess_writer_put_rows(file, UNCERTAINTY, first, n, block->uncertainty, error);
    if (block->calibrated && error->code == TESS_OK)
        tess_writer_put_rows(file, CALIBRATED, first, n, block->calibrated, error);
    if (block->observed && error->code == TESS_OK)
        tess_writer_put_rows(file, OBSERVED, first, n, block->observed, error);
    return error->code;
}

void tess_imputation_wait(struct tess_writer *file, const struct imputation_block *block)
{
    tess_writer_wait(file, block->value);
    if (block->deviation) {
        tess_writer_wait(file, block->deviation);
        tess_writer_wait(file, block->uncertainty);
    }
    if (block->calibrated)
        tess_writer_wait(file, block->calibrated);
    if (block->observed)
        tess_writer_wait(file, block->observed);
}
