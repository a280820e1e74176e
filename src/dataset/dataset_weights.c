/* dataset_weights.c -- what experiments count: their observations, and each of these in the loss.
 */
#include "dataset_weights.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

int64_t tess_dataset_observations(const struct tess_dataset *dataset, int64_t experiment)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t panel = index->panel[experiment], width = tess_dataset_width(dataset, panel);
    int64_t all = index->panel_first[panel + 1] - index->panel_first[panel];

    return width == all ? index->n_observed[experiment]
                        : index->n_observed[experiment] * width / all;
}

/* The mean of n replicates has the variance σ² / n, and what a model cannot follow adds τ²: the
 * weight is the inverse of their sum, but for a factor n / (n + σ²/τ²). */
#define RATIO 4 /* σ²/τ²; docs/accuracy.md compares some */

static double weight_of(const struct tess_index *index, int64_t rule, int64_t e)
{
    double n = (double)index->n_replicates[e];

    return rule == TESS_WEIGHT_COLUMN ? index->weight[e] : n / (n + RATIO);
}

int tess_dataset_weigh(struct tess_dataset *dataset, const struct tess_config *config,
                       struct tess_error *error)
{
    const struct tess_index *index = &dataset->store->index;
    double sum = 0, observations = 0, mean;
    int64_t rule = config->data.weight;

    if (rule == TESS_WEIGHT_NONE)
        return TESS_OK;
    if (rule == TESS_WEIGHT_COLUMN && !index->weight)
        return tess_error_set(error, TESS_ECONFIG,
                              "data.weight: column: %s keeps no weights: import its files with "
                              "--weight COL",
                              dataset->store->h5.path);
    for (int64_t e = 0; e < index->n_experiments; e++)
        if (index->split[e] == TESS_TRAIN) {
            double n = (double)tess_dataset_observations(dataset, e);

            sum += n * weight_of(index, rule, e);
            observations += n;
        }
    mean = observations > 0 ? sum / observations : 1;
    if (!(mean > 0))
        return tess_error_set(error, TESS_EDATA,
                              "%s: the weights of all training experiments are 0: import its files "
                              "with other weights, or set data.weight: none",
                              dataset->store->h5.path);
    dataset->weight = TESS_NEW(float, index->n_experiments);
    for (int64_t e = 0; e < index->n_experiments; e++)
        dataset->weight[e] = (float)(weight_of(index, rule, e) / mean);
    return TESS_OK;
}
