/* blend.c -- how much of a model, how much of a baseline. */
#include "tessera/blend.h"

#include <math.h>
#include <string.h>

/* The first is what the others fall back to. */
const int tess_blend_baselines[TESS_BLEND_BASELINES] = {
    TESS_READOUT_MEAN, TESS_ADDITIVE, TESS_LINEAR, TESS_INTERPOLATED, TESS_ADDITIVE_PARTS};

const int tess_blend_components[TESS_BLEND_COMPONENTS] = {TESS_ADDITIVE_COMPONENTS,
                                                          TESS_INTERACTING_COMPONENTS};

/* All chosen on small screens (docs/accuracy.md). */
#define SHRINKAGE 3.0 /* experiments' worth of belief in… */
#define EVEN      0.5 /* … this much of the model */
#define ALIKE     1e-9 /* model and sum say the same: what both are worth is not to be told */
#define PAYS      0.95 /* weights above it are not worth what a baseline costs */
#define WORTH     0.98 /* of the squared error: sums that leave more are not, either */

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

int tess_blend_speaks(int baseline, const uint8_t *fallback, int by_features)
{
    return !fallback[baseline] && (!by_features || baseline == TESS_INTERPOLATED);
}

int tess_blend_pays(const struct tess_blend *blend)
{
    return blend->weight <= PAYS || blend->feature_weight <= PAYS;
}

static double shrunk(double n, double w)
{
    return (w * n + SHRINKAGE * EVEN) / (n + SHRINKAGE);
}

/* The least Σ (w m + (1 - w) b)² is at w = Σ b (b - m) / Σ (b - m)². That is shrunk towards EVEN as
 * if there were some more experiments with Σ (b - m)² of the average one, on which that weight is
 * the best: of few validation experiments neither the model nor the baseline is believed alone. */
static double weight_of(const struct tess_blend_products *of)
{
    double n = of->experiments, apart = of->m2 - 2 * of->mb + of->b2, w;

    if (n <= 0 || !(apart > 0))
        return 1;
    w = shrunk(n, (of->b2 - of->mb) / apart);
    return isfinite(w) ? fmin(fmax(w, 0), 1) : 1;
}

/* Σ (w m + (1 - w) b)² */
static double blended(const struct tess_blend_products *of, double w)
{
    return w * w * of->m2 + 2 * w * (1 - w) * of->mb + (1 - w) * (1 - w) * of->b2;
}

/* The least Σ (a m + b s - y)² with neither below 0, shrunk; its value, or infinity if there is
 * none.
 */
static double fit_sum(const struct tess_blend_sums *sums, int which, double *a, double *b)
{
    const typeof(sums->components[0]) *of = &sums->components[which];
    double m2 = of->m2, s2 = of->s2, ms = of->ms, my = of->my, sy = of->sy;
    double determinant = m2 * s2 - ms * ms;

    if (of->experiments <= 0 || !(determinant > ALIKE * m2 * s2))
        return INFINITY;
    *a = (my * s2 - sy * ms) / determinant;
    *b = (sy * m2 - my * ms) / determinant;
    if (*a < 0 || *b < 0) { /* then one alone, that which does more */
        double model = fmax(my, 0) / m2, sum = fmax(sy, 0) / s2;
        int better = model * my > sum * sy;

        *a = better ? model : 0;
        *b = better ? 0 : sum;
    }
    *a = shrunk(of->experiments, *a);
    *b = shrunk(of->experiments, *b);
    return *a * *a * m2 + *b * *b * s2 + of->y2 + 2 * (*a * *b * ms - *a * my - *b * sy);
}

/* The sum and the weights of the least error, if that is well below what the others' weights leave
 * on the same experiments. */
static void fit_components(struct tess_blend *blend, const struct tess_blend_sums *sums, int best)
{
    double least = WORTH * (blended(&sums->beside[best][0], blend->weight) +
                            blended(&sums->beside[best][1], blend->mean_weight));

    blend->components_model = blend->components_sum = NAN;
    blend->components_baseline = tess_blend_components[0];
    for (int i = 0; i < TESS_BLEND_COMPONENTS; i++) {
        double a, b, error = fit_sum(sums, i, &a, &b);

        if (error < least) {
            least = error;
            blend->components_model = a;
            blend->components_sum = b;
            blend->components_baseline = tess_blend_components[i];
        }
    }
}

void tess_blend_fit(struct tess_blend *blend, const struct tess_blend_sums *sums)
{
    const struct tess_blend_products *best_alone;
    int best = 0;

    for (int i = 1; i < TESS_BLEND_BASELINES; i++)
        if (sums->b2[i] < sums->b2[best])
            best = i;
    blend->baseline = tess_blend_baselines[best];
    blend->weight = weight_of(&sums->own[best]);
    blend->mean_weight = weight_of(&sums->own[0]);
    best_alone = &sums->own[TESS_BLEND_BASELINES];
    blend->feature_rmse = blend->feature_model_rmse = NAN;
    if (blend->feature_weight < 1 && best_alone->experiments > 0) {
        double w = blend->feature_weight = weight_of(best_alone);

        blend->feature_rmse = sqrt(blended(best_alone, w) / best_alone->values);
        blend->feature_model_rmse = sqrt(best_alone->m2 / best_alone->values);
    }
    fit_components(blend, sums, best);
    blend->n_experiments = (int64_t)sums->experiments;
    blend->n_values = (int64_t)sums->values;
    blend->model_rmse = sqrt(sums->m2 / sums->values);
    blend->baseline_rmse = sqrt(sums->b2[best] / sums->values);
}
