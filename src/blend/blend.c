/* blend.c -- how much of a model, how much of a baseline. */
#include "tessera/blend.h"

#include <math.h>
#include <string.h>

/* The first is what the others fall back to. */
const int tess_blend_baselines[TESS_BLEND_BASELINES] = {
    TESS_READOUT_MEAN, TESS_ADDITIVE, TESS_LINEAR, TESS_INTERPOLATED, TESS_ADDITIVE_PARTS};

/* All chosen on small screens (docs/accuracy.md). */
#define SHRINKAGE 3.0 /* experiments' worth of belief in… */
#define EVEN      0.5 /* … this much of the model */
#define PAYS      0.95 /* weights above it are not worth what a baseline costs */

int tess_blend_parse(const char *text)
{
    static const char *const name[] = {"auto", "on", "off"};

    for (int i = 0; i < 3; i++)
        if (!text || strcmp(text, name[i]) == 0)
            return i;
    return -1;
}

int tess_blend_by_features(const uint8_t *fallback, const double *features)
{
    return features && fallback[TESS_ADDITIVE] && !fallback[TESS_FEATURES];
}

int tess_blend_pays(const struct tess_blend *blend)
{
    return blend->weight <= PAYS || blend->feature_weight <= PAYS;
}

/* The least Σ (w m + (1 - w) b)² is at w = Σ b (b - m) / Σ (b - m)². That is shrunk towards EVEN as
 * if there were some more experiments with Σ (b - m)² of the average one, on which that weight is
 * the best: of few validation experiments neither the model nor the baseline is believed alone. */
static double weight_of(double n, double m2, double b2, double mb)
{
    double apart = m2 - 2 * mb + b2, w;

    if (n <= 0 || !(apart > 0))
        return 1;
    w = ((b2 - mb) / apart * n + SHRINKAGE * EVEN) / (n + SHRINKAGE);
    return isfinite(w) ? fmin(fmax(w, 0), 1) : 1;
}

void tess_blend_fit(struct tess_blend *blend, const struct tess_blend_sums *sums)
{
    const typeof(sums->own[0]) *best_alone;
    int best = 0;

    for (int i = 1; i < TESS_BLEND_BASELINES; i++)
        if (sums->b2[i] < sums->b2[best])
            best = i;
    blend->baseline = tess_blend_baselines[best];
    blend->weight = weight_of(sums->own[best].experiments, sums->own[best].m2, sums->own[best].b2,
                              sums->own[best].mb);
    blend->mean_weight =
        weight_of(sums->own[0].experiments, sums->own[0].m2, sums->own[0].b2, sums->own[0].mb);
    best_alone = &sums->own[TESS_BLEND_BASELINES];
    blend->feature_rmse = blend->feature_model_rmse = NAN;
    if (blend->feature_weight < 1 && best_alone->experiments > 0) {
        double w = blend->feature_weight =
            weight_of(best_alone->experiments, best_alone->m2, best_alone->b2, best_alone->mb);
        double squares = w * w * best_alone->m2 + 2 * w * (1 - w) * best_alone->mb +
                         (1 - w) * (1 - w) * best_alone->b2;

        blend->feature_rmse = sqrt(squares / best_alone->values);
        blend->feature_model_rmse = sqrt(best_alone->m2 / best_alone->values);
    }
    blend->n_experiments = (int64_t)sums->experiments;
    blend->n_values = (int64_t)sums->values;
    blend->model_rmse = sqrt(sums->m2 / sums->values);
    blend->baseline_rmse = sqrt(sums->b2[best] / sums->values);
}
