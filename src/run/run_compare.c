/* run_compare.c -- is the model better than what needs no training? */
#include "run_compare.h"

#include "run_validation.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/preempt.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <math.h>

#define N_SUMS (TESS_BLEND_BASELINES + 1) /* squared errors of each baseline, and values */

struct comparing {
    const struct tess_trainer *trainer;
    double *sum; /* (validation.n, N_SUMS) */
};

static void take(void *closure, const struct tess_validation_batch *batch)
{
    const struct comparing *comparing = closure;

    for (int64_t at = 0; at < batch->n * batch->width; at++) {
        double y = tess_validation_value(comparing->trainer, batch, at);
        double *sum = comparing->sum + (batch->first + at / batch->width) * N_SUMS;

        if (isnan(y))
            continue;
        sum[TESS_BLEND_BASELINES] += 1;
        for (int i = 0; i < TESS_BLEND_BASELINES; i++) {
            double e = batch->out[tess_blend_baselines[i]][at] - y;

            sum[i] += e * e;
        }
    }
}

static int compare(const struct tess_trainer *trainer, struct tess_comparison *comparison,
                   struct tess_error *error)
{
    struct comparing comparing = {trainer, TESS_NEW(double, trainer->validation.n *N_SUMS)};
    double sum[N_SUMS];

    if (tess_validation_visit(trainer, &(struct tess_validation_visitor){&comparing, take},
                              error) == TESS_OK) {
        tess_validation_add_up(trainer, N_SUMS, comparing.sum, sum);
        for (int i = 0; i < TESS_BLEND_BASELINES; i++)
            comparison->rmse[tess_blend_baselines[i]] =
                sum[TESS_BLEND_BASELINES] > 0 ? sqrt(sum[i] / sum[TESS_BLEND_BASELINES]) : NAN;
        comparison->made = sum[TESS_BLEND_BASELINES] > 0;
    }
    tess_free(comparing.sum);
    return error->code;
}

/* A training does not end for what cannot be compared: what cannot be read was read before. */
int tess_run_compare(const struct tess_trainer *trainer, struct tess_comparison *comparison,
                     struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;

    *comparison = (struct tess_comparison){0};
    for (int b = 0; b < TESS_BASELINES; b++)
        comparison->rmse[b] = NAN;
    if (tess_index_observed(&trainer->store.index, TESS_VAL) == 0) {
        tess_info("no validation values: the model is not compared with the baselines");
        return TESS_OK;
    }
    if (compare(trainer, comparison, &mine) == TESS_EINTERRUPTED)
        *error = mine;
    else if (mine.code != TESS_OK)
        tess_warn("%s; the model is not compared with the baselines", mine.text);
    return error->code;
}

void tess_run_say_comparison(const struct tess_trainer *trainer,
                             const struct tess_comparison *comparison)
{
    double model = trainer->progress.best_score, best = INFINITY;
    int which = tess_blend_baselines[0];
    char *line = tess_format("best validation RMSE %.4f after epoch %lld", model,
                             (long long)trainer->progress.best_epoch);

    for (int i = 0; comparison->made && i < TESS_BLEND_BASELINES; i++) {
        double rmse = comparison->rmse[tess_blend_baselines[i]];
        char *longer = tess_format("%s%s%s %.4f", line, i ? ", " : "; baselines: ",
                                   tess_baseline_name(tess_blend_baselines[i]), rmse);

        tess_free(line);
        line = longer;
        if (rmse < best) {
            best = rmse;
            which = tess_blend_baselines[i];
        }
    }
    tess_info("%s", line);
    tess_free(line);
    if (comparison->made && model > best)
        tess_warn("the model is worse than the baseline %s (RMSE %.4f, the model's %.4f): try "
                  "model.kind=dot (better in most screens of some hundred experiments), "
                  "data.normalize (zscore, delta), other train.epochs, fewer parameters "
                  "(model.embedding_dim, model.hidden_dim), or more training data",
                  tess_baseline_name(which), best, model);
}
