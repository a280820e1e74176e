/* effects_complete.c -- knock-outs that nobody measured, as a model imputes them.
 *
 * What is imputed is never taken for a measurement: it is no row of its own, to which the refit or
 * a correlation could be fitted. It is shrunk, the more the less the models agree, and added to
 * the effect, in place of the one that is missing. */
#include "tessera/effects.h"

#include "tessera/predicted.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>

/* The readouts that the model knows among this rank's targets. */
struct known {
    int64_t n, *target, *readout; /* (n) own */
};

static struct known find_known(const struct tess_effects *effects, const struct tess_model *model)
{
    struct known known = {0, TESS_NEW(int64_t, effects->n), TESS_NEW(int64_t, effects->n)};

    for (int64_t j = 0; j < effects->n; j++) {
        int64_t number = tess_vocab_find(&model->readout, effects->target.item[effects->first + j]);

        if (number < 0 || !model->trained_readout[number])
            continue;
        known.target[known.n] = j;
        known.readout[known.n++] = number;
    }
    return known;
}

/* p³ / (p² + sd²) of every stride-th of n values: their mean p, and deviation (n - 1). */
static double shrink(const double *p, int n)
{
    double mean = 0, squares = 0, variance;

    for (int m = 0; m < n; m++)
        mean += p[m] / n;
    for (int m = 0; m < n; m++)
        squares += (p[m] - mean) * (p[m] - mean);
    variance = n > 1 ? squares / (n - 1) : 0;
    return mean == 0 ? 0 : mean * mean * mean / (mean * mean + variance);
}

/* Row number `place` of those that are completed; out: values of n models, `stride` apart. */
static void fill_row(struct tess_effects *effects, int64_t place, const struct known *known,
                     const float *out, int n_members, int64_t stride)
{
    double *p = TESS_NEW(double, n_members), way = effects->turned[place] ? -1 : 1;

    for (int64_t k = 0; k < known->n; k++) {
        int64_t j = known->target[k];

        for (int m = 0; m < n_members; m++)
            p[m] = way * tess_effects_z(effects, effects->first + j, (double)out[m * stride + k]);
        effects->shrunk[place * effects->n + j] = TESS_COMPLETED_SHARE * shrink(p, n_members);
    }
    tess_free(p);
}

/* What the rows of a context are completed with: all members, or one of them. */
struct source {
    const struct tess_predicted *predicted;
    int64_t context;
    int first, n; /* members */
};

static int predict_block(struct tess_effects *effects, const struct source *source, int64_t first,
                         const struct known *known, struct tess_error *error)
{
    const struct tess_predicted *predicted = source->predicted;
    int64_t rest = effects->n_completed - first,
            n = rest < TESS_EFFECTS_ROWS ? rest : TESS_EFFECTS_ROWS;
    int64_t *one = TESS_NEW(int64_t, n + 1), *contexts = TESS_NEW(int64_t, n);
    const struct tess_rows rows = {n, one, effects->component + first, contexts};
    int64_t stride = n * known->n;
    float *out = TESS_NEW(float, (predicted->model.n_members + 1) * stride);

    for (int64_t k = 0; k < n; k++) {
        one[k + 1] = k + 1;
        contexts[k] = source->context;
    }
    if (tess_predicted_rows(predicted, &rows, known->n, known->readout, out, error) == TESS_OK)
        for (int64_t k = 0; k < n; k++)
            fill_row(effects, first + k, known, out + source->first * stride + k * known->n,
                     source->n, stride);
    tess_free(out);
    tess_free(one);
    tess_free(contexts);
    return error->code;
}

int tess_effects_complete(struct tess_effects *effects, const struct tess_predicted *predicted,
                          const char *context, int member, struct tess_error *error)
{
    int all = member == predicted->model.n_members;
    struct known known = find_known(effects, &predicted->model);
    struct source source = {predicted, 0, all ? 0 : member, all ? member : 1};
    int64_t size = effects->n_completed * effects->n;

    tess_predicted_context(predicted, context, &source.context, error);
    effects->shrunk = tess_alloc_large((size_t)size, sizeof(double), "completed rows", error);
    for (int64_t k = 0; k < size && error->code == TESS_OK; k++)
        effects->shrunk[k] = NAN;
    for (int64_t k = 0; k < effects->n_completed && error->code == TESS_OK; k += TESS_EFFECTS_ROWS)
        predict_block(effects, &source, k, &known, error);
    tess_free(known.target);
    tess_free(known.readout);
    return tess_agree(effects->comm, error);
}
