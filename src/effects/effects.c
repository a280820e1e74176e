/* effects.c -- who has which targets. */
#include "tessera/effects.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/slices.h"

#include <math.h>

#define LEAST_WEIGHT 0.05 /* of knock-downs, in what is divided by it */

int tess_effects_owner(const struct tess_effects *effects, int64_t target)
{
    int64_t n_tiles = ((int64_t)effects->target.n + effects->tile - 1) / effects->tile;
    int rank = 0;

    while (tess_slice_first(n_tiles, rank + 1, effects->n_ranks) <= target / effects->tile)
        rank++;
    return rank;
}

void tess_effects_targets(const struct tess_effects *effects, int rank, int64_t *first, int64_t *n)
{
    int64_t t = (int64_t)effects->target.n, n_tiles = (t + effects->tile - 1) / effects->tile;
    int64_t end = tess_slice_first(n_tiles, rank + 1, effects->n_ranks) * effects->tile;

    *first = tess_slice_first(n_tiles, rank, effects->n_ranks) * effects->tile;
    *first = *first < t ? *first : t;
    *n = (end < t ? end : t) - *first;
}

/* Enough tiles for many ranks, and wide enough for products; of t alone. */
void tess_effects_deal(struct tess_effects *effects)
{
    int64_t width = ((int64_t)effects->target.n / 64 + 7) / 8 * 8;

    effects->tile = width < 8 ? 8 : width > 128 ? 128 : width;
    tess_effects_targets(effects, effects->rank, &effects->first, &effects->n);
}

int tess_effects_start(struct tess_effects *effects, uint32_t **count, struct tess_error *error)
{
    size_t size = (size_t)((effects->n_rows + 1) * effects->n);

    *count = tess_alloc_large(size, sizeof **count, "the counts of values", error);
    effects->value = tess_alloc_large(size, sizeof(double), "the effects", error);
    effects->measured = tess_alloc_large(size, 1, "the effects' marks", error);
    return error->code;
}

void tess_effects_add(struct tess_effects *effects, uint32_t *count, int64_t place, const float *x)
{
    for (int64_t j = 0; j < effects->n; j++) {
        if (isnan(x[j]))
            continue;
        effects->value[place * effects->n + j] += (double)x[j];
        count[place * effects->n + j]++;
    }
}

void tess_effects_average(struct tess_effects *effects, uint32_t *count)
{
    int64_t size = (effects->n_rows + 1) * effects->n;

    for (int64_t k = 0; effects->value && effects->measured && count && k < size; k++) {
        effects->measured[k] = count[k] > 0;
        if (count[k] > 1)
            effects->value[k] /= (double)count[k];
    }
    tess_free(count);
}

int tess_effects_known(const struct tess_effects *effects, int64_t regulator, int64_t j)
{
    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        int64_t row = effects->row[kind][regulator];

        if (row >= 0 && effects->measured[row * effects->n + j])
            return 1;
    }
    return !isnan(tess_effects_added(effects, regulator, j));
}

double tess_effects_own(const struct tess_effects *effects, int64_t regulator, int64_t j)
{
    int64_t out = effects->row[TESS_KNOCKOUT][regulator];
    int64_t down = effects->row[TESS_KNOCKDOWN][regulator];
    double weight = fmax(effects->weight, LEAST_WEIGHT);

    if (out >= 0 && effects->measured[out * effects->n + j])
        return effects->own[regulator];
    if (down < 0 || !effects->measured[down * effects->n + j])
        return effects->own[regulator];
    if (!isnan(tess_effects_added(effects, regulator, j)))
        weight *= 1 + TESS_COMPLETED_SHARE;
    return effects->own[regulator] * weight;
}

double tess_effects_added(const struct tess_effects *effects, int64_t regulator, int64_t j)
{
    int64_t place = effects->completed ? effects->completed[regulator] : -1;

    return place < 0 || effects->column[regulator] == effects->first + j
               ? NAN
               : effects->shrunk[place * effects->n + j];
}

double tess_effects_z(const struct tess_effects *effects, int64_t target, double value)
{
    double x = effects->power < 1 ? pow(fmax(value, 0), effects->power) : value;

    return (x - effects->middle[target]) / effects->unit;
}

void tess_effects_release(struct tess_effects *effects)
{
    tess_strings_release(&effects->regulator);
    tess_strings_release(&effects->target);
    tess_free(effects->column);
    for (int kind = 0; kind < TESS_PERTURBED; kind++) {
        tess_free(effects->row[kind]);
        tess_free(effects->gained[kind]);
    }
    tess_free(effects->value);
    tess_free(effects->measured);
    tess_free(effects->noise);
    tess_free(effects->own);
    tess_free(effects->middle);
    tess_free(effects->completed);
    tess_free(effects->component);
    tess_free(effects->turned);
    tess_free(effects->shrunk);
    *effects = (struct tess_effects){.n = 0};
}
