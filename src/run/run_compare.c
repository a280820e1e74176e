/* run_compare.c -- is the model better than what needs no training? */
#include "run_compare.h"

#include "run_validation.h"

#include "tessera/alloc.h"
#include "tessera/log.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <math.h>

/* Squared errors of each baseline; number of values; squared error of the model. */
#define VALUES TESS_BLEND_BASELINES
#define MODEL  (TESS_BLEND_BASELINES + 1)
#define N_SUMS (TESS_BLEND_BASELINES + 2)

void tess_comparing_begin(struct tess_comparing *comparing, const struct tess_trainer *trainer)
{
    *comparing = (struct tess_comparing){trainer, TESS_NEW(double, trainer->validation.n *N_SUMS)};
}

void tess_comparing_take(struct tess_comparing *comparing,
                         const struct tess_validation_batch *batch, const float *out)
{
    for (int64_t at = 0; at < batch->n * batch->width; at++) {
        double y = tess_validation_value(comparing->trainer, batch, at);
        double *sum = comparing->sum + batch->place[at / batch->width] * N_SUMS;

        if (isnan(y))
            continue;
        sum[VALUES] += 1;
        sum[MODEL] += out ? ((double)out[at] - y) * ((double)out[at] - y) : NAN;
        for (int i = 0; i < TESS_BLEND_BASELINES; i++) {
            const double *b = batch->out[tess_blend_baselines[i]];
            double e = b ? b[at] - y : NAN;

            sum[i] += e * e;
        }
    }
}

void tess_comparing_finish(struct tess_comparing *comparing, struct tess_comparison *comparison)
{
    double sum[N_SUMS];

    tess_validation_add_up(comparing->trainer, N_SUMS, comparing->sum, sum);
    *comparison = (struct tess_comparison){.made = sum[VALUES] > 0,
                                           .stride = tess_validation_stride(comparing->trainer),
                                           .model = sqrt(sum[MODEL] / sum[VALUES])};
    for (int b = 0; b < TESS_BASELINES; b++)
        comparison->rmse[b] = NAN;
    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        comparison->rmse[tess_blend_baselines[i]] =
            comparison->made ? sqrt(sum[i] / sum[VALUES]) : NAN;
}

void tess_comparing_release(struct tess_comparing *comparing)
{
    tess_free(comparing->sum);
    *comparing = (struct tess_comparing){0};
}

/* What the user may try that is not so already. */
static void warn_worse(const struct tess_trainer *trainer, double model, const char *baseline,
                       double best)
{
    const struct tess_config *config = &trainer->config;

    tess_warn("the model is worse than the baseline %s (RMSE %.4f, the model's %.4f): try %s%s"
              "other train.epochs, fewer parameters (model.embedding_dim, model.hidden_dim), or "
              "more training data",
              baseline, best, model,
              config->model.kind == TESS_KIND_MLP
                  ? "model.kind=dot (better in most screens of some hundred experiments), "
                  : "",
              config->data.normalize == TESS_NORMALIZE_NONE ? "data.normalize (zscore, delta), "
                                                            : "");
}

void tess_run_say_comparison(const struct tess_trainer *trainer,
                             const struct tess_comparison *comparison)
{
    int sampled = comparison->made && comparison->stride > 1, which = tess_blend_baselines[0];
    double model = sampled ? comparison->model : trainer->progress.best_score, best = INFINITY;
    char *line = tess_format("best validation RMSE %.4f after epoch %lld",
                             trainer->progress.best_score, (long long)trainer->progress.best_epoch);

    if (sampled)
        tess_info("one of %lld validation experiments is compared: the model's RMSE on them is "
                  "%.4f",
                  (long long)comparison->stride, model);
    for (int i = 0; comparison->made && i < TESS_BLEND_BASELINES; i++) {
        double rmse = comparison->rmse[tess_blend_baselines[i]];
        char *longer = tess_format("%s%s%s %.4f", line, i ? ", " : "; baselines: ",
                                   tess_baseline_name(tess_blend_baselines[i]), rmse);

        tess_free(isnan(rmse) ? longer : line);
        line = isnan(rmse) ? line : longer;
        if (rmse < best) {
            best = rmse;
            which = tess_blend_baselines[i];
        }
    }
    tess_info("%s", line);
    tess_free(line);
    if (comparison->made && model > best)
        warn_worse(trainer, model, tess_baseline_name(which), best);
}
