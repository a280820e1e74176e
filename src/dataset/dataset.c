/* dataset.c -- kept readouts, what was trained, loading. */
#include "tessera/dataset.h"

#include "dataset_weights.h"
#include "statistics.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/feature_file.h"
#include "tessera/mapping.h"

#include <string.h>

/* The model's readouts and the kept columns of every panel, in the panel's order: pieces of a row
 * come in that order, too (keep_piece). */
static void keep_readouts(struct tess_dataset *dataset, const uint8_t *keep)
{
    const struct tess_index *index = &dataset->store->index;
    const char **symbol = TESS_NEW(const char *, index->readout.n);
    int64_t all = index->panel_first[index->n_panels], n = 0, at = 0;
    struct tess_mapping kept;

    for (int64_t r = 0; r < index->readout.n; r++)
        if (keep[r])
            symbol[n++] = index->readout.symbol[r];
    tess_vocab_init(&dataset->readout, n, symbol, NULL);
    tess_mapping_init(&kept, &index->readout, &dataset->readout, NULL);
    dataset->panel_first = TESS_NEW(int64_t, index->n_panels + 1);
    dataset->panel_readout = TESS_NEW(int64_t, all);
    dataset->panel_column = TESS_NEW(int64_t, all);
    for (int64_t p = 0; p < index->n_panels; p++) {
        for (int64_t k = index->panel_first[p]; k < index->panel_first[p + 1]; k++)
            if (kept.to[index->panel_readout[k]] >= 0) {
                dataset->panel_readout[at] = kept.to[index->panel_readout[k]];
                dataset->panel_column[at++] = k - index->panel_first[p];
            }
        dataset->panel_first[p + 1] = at;
    }
    tess_free(symbol);
    tess_mapping_release(&kept);
}

static int64_t mark_trained(struct tess_dataset *dataset)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t n = 0;

    dataset->trained_perturbation = TESS_NEW(uint8_t, index->perturbation.n);
    dataset->trained_context = TESS_NEW(uint8_t, index->context.n);
    dataset->trained_readout = TESS_NEW(uint8_t, dataset->readout.n);
    for (int64_t e = 0; e < index->n_experiments; e++) {
        int64_t q = index->combination[e], p = index->panel[e];

        if (index->split[e] != TESS_TRAIN || index->n_observed[e] == 0)
            continue;
        n++;
        dataset->trained_context[index->context_of[e]] = 1;
        for (int64_t k = index->combination_first[q]; k < index->combination_first[q + 1]; k++)
            dataset->trained_perturbation[index->combination_member[k]] = 1;
        for (int64_t k = dataset->panel_first[p]; k < dataset->panel_first[p + 1]; k++)
            dataset->trained_readout[dataset->panel_readout[k]] = 1;
    }
    return n;
}

/* Are these the features of that file? Else it is emptied, and to be filled with them. */
static int cached(struct tess_feature_cache *cache, const struct tess_config *config)
{
    const char *path[] = {config->features.perturbations, config->features.readouts};

    if (!cache || cache->known)
        return 0;
    if (cache->axes == config->features.axes && cache->top_variable == config->data.top_variable &&
        strcmp(cache->path[0], path[0]) == 0 && strcmp(cache->path[1], path[1]) == 0)
        return 1;
    tess_feature_cache_release(cache);
    cache->axes = config->features.axes;
    cache->top_variable = config->data.top_variable;
    for (int f = 0; f < 2; f++)
        snprintf(cache->path[f], TESS_PATH, "%s", path[f]);
    return 0;
}

/* What vectors are made of, and who is known by that. Collective. */
static int compose(struct tess_dataset *dataset, const struct tess_config *config,
                   struct tess_feature_cache *cache, struct tess_error *error)
{
    const struct tess_index *index = &dataset->store->index;
    const struct tess_vocab *symbols[] = {&index->perturbation, &dataset->readout, &index->context};
    uint8_t *trained[] = {dataset->trained_perturbation, dataset->trained_readout,
                          dataset->trained_context};

    const struct tess_feature_file file[] = {
        {config->features.perturbations, "perturbation", config->features.axes, 1},
        {config->features.readouts, "readout", config->features.axes, 0},
        {"", "context", 0, 0}};
    int has = cached(cache, config);

    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++) {
        if (tess_composition_init(&dataset->composition[t], t, config, symbols[t],
                                  dataset->store->h5.path, error) != TESS_OK)
            break;
        if (cache && cache->known)
            tess_features_take(&dataset->features[t], symbols[t], &cache->known[t]);
        else if (has)
            tess_features_copy(&dataset->features[t], &cache->features[t]);
        else
            tess_feature_file_read(&dataset->features[t], &file[t], symbols[t], dataset->comm,
                                   error);
        if (error->code == TESS_OK && cache && !has && !cache->known)
            tess_features_copy(&cache->features[t], &dataset->features[t]);
        if (error->code == TESS_OK) {
            tess_features_compose(&dataset->features[t], &dataset->composition[t]);
            tess_composition_known(&dataset->composition[t], trained[t]);
        }
    }
    if (error->code != TESS_OK && cache && !cache->known)
        tess_feature_cache_release(cache);
    return error->code;
}

/* Why there is nothing to train on. */
static int refuse_untrained(const struct tess_store *store, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    int64_t n = 0;

    for (int64_t e = 0; e < index->n_experiments; e++)
        n += index->split[e] == TESS_TRAIN;
    if (tess_index_observed(index, -1) == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: holds no measured value, all are missing (NaN): import data "
                              "that have some",
                              store->h5.path);
    if (n > 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: the %lld experiments of the training split have no measured "
                              "value, all are missing (NaN): choose others with 'tessera split'",
                              store->h5.path, (long long)n);
    return tess_error_set(error, TESS_EDATA,
                          "%s: no experiment is in the training split: see 'tessera split'",
                          store->h5.path);
}

/* What is kept, and how it is scaled. Statistics cost a pass over all training values: made only if
 * something is chosen by them, and by readout only if that needs them. Collective. */
static int choose(struct tess_dataset *dataset, const struct tess_config *config, uint8_t *keep,
                  struct tess_error *error)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t want = config->data.top_variable, rule = config->data.normalize;
    int select = want > 0 && want < index->readout.n;
    struct tess_statistics s;
    enum tess_detail detail = rule == TESS_NORMALIZE_DELTA              ? TESS_OF_CONTROLS
                              : select || rule == TESS_NORMALIZE_ZSCORE ? TESS_OF_READOUTS
                                                                        : TESS_OF_ALL;

    if (detail == TESS_OF_ALL && config->data.scale <= 0)
        return TESS_OK;
    if (tess_statistics_gather(&s, dataset->store, detail, dataset->comm, error) == TESS_OK) {
        if (select)
            tess_statistics_select(&s, want, keep);
        tess_statistics_scaling(&s, config, keep, &dataset->scaling);
    }
    dataset->statistics_bytes = s.bytes;
    tess_statistics_release(&s);
    return error->code;
}

int tess_dataset_init(struct tess_dataset *dataset, const struct tess_store *store,
                      const struct tess_config *config, struct tess_feature_cache *cache,
                      MPI_Comm comm, struct tess_error *error)
{
    uint8_t *keep = TESS_NEW(uint8_t, store->index.readout.n);

    *dataset = (struct tess_dataset){
        .store = store, .comm = comm, .each = 1, .scaling = TESS_SCALING_NONE};
    memset(keep, 1, (size_t)store->index.readout.n);
    if (choose(dataset, config, keep, error) == TESS_OK) {
        keep_readouts(dataset, keep);
        dataset->n_training = mark_trained(dataset);
        if (dataset->n_training == 0)
            refuse_untrained(store, error);
        else
            compose(dataset, config, cache, error);
        if (error->code == TESS_OK)
            tess_dataset_weigh(dataset, config, error);
    }
    tess_free(keep);
    return error->code;
}

void tess_dataset_release(struct tess_dataset *dataset)
{
    tess_vocab_release(&dataset->readout);
    tess_free(dataset->panel_first);
    tess_free(dataset->panel_readout);
    tess_free(dataset->panel_column);
    tess_scaling_release(&dataset->scaling);
    tess_free(dataset->weight);
    tess_free(dataset->trained_perturbation);
    tess_free(dataset->trained_readout);
    tess_free(dataset->trained_context);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_composition_release(&dataset->composition[t]);
        tess_features_release(&dataset->features[t]);
    }
    *dataset = (struct tess_dataset){0};
}

/* A load in progress: `next` is the experiment that comes, of which `n_done` kept columns have. */
struct loading {
    const struct tess_dataset *dataset;
    struct tess_loaded *loaded;
    int scaled;
    int64_t next, n_done;
};

/* Pieces of an experiment come in the order of its columns, several an experiment. A row is scaled
 * once, with the piece that completes it: pieces behind its last kept column add nothing. */
static void keep_piece(void *closure, int64_t experiment, int64_t column, int64_t n,
                       const float *value)
{
    struct loading *l = closure;
    const struct tess_dataset *dataset = l->dataset;
    const struct tess_index *index = &dataset->store->index;
    int64_t panel = index->panel[experiment], width = tess_dataset_width(dataset, panel), k;
    const int64_t *place = dataset->panel_column + dataset->panel_first[panel];
    float *row;

    while (l->loaded->experiment[l->next] != experiment) { /* the one before is complete */
        l->next++;
        l->n_done = 0;
    }
    row = l->loaded->value + l->loaded->value_first[l->next];
    if (width == index->value_first[experiment + 1] - index->value_first[experiment]) { /* all */
        memcpy(row + column, value, (size_t)n * sizeof *row);
        k = column + n;
    } else
        for (k = l->n_done; k < width && place[k] < column + n; k++)
            row[k] = value[place[k] - column];
    if (l->scaled && l->n_done < width && k == width)
        tess_scaling_apply(&dataset->scaling, index->context_of[experiment], width,
                           dataset->panel_readout + dataset->panel_first[panel], row);
    l->n_done = k;
}

void tess_dataset_list(const struct tess_dataset *dataset, struct tess_wanted wanted,
                       struct tess_loaded *loaded)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t n = 0, i = 0;

    for (int64_t e = wanted.first; e < wanted.end; e++)
        n += index->split[e] == wanted.split;
    *loaded = (struct tess_loaded){.n = n};
    loaded->experiment = TESS_NEW(int64_t, n);
    loaded->value_first = TESS_NEW(int64_t, n + 1);
    for (int64_t e = wanted.first; e < wanted.end; e++)
        if (index->split[e] == wanted.split) {
            loaded->experiment[i++] = e;
            loaded->value_first[i] =
                loaded->value_first[i - 1] + tess_dataset_width(dataset, index->panel[e]);
        }
}

int tess_dataset_load(const struct tess_dataset *dataset, struct tess_wanted wanted,
                      struct tess_loaded *loaded, struct tess_error *error)
{
    struct loading loading = {dataset, loaded, wanted.scaled, 0, 0};
    struct tess_store_visitor visitor = {&loading, keep_piece};

    /* Which experiments and how wide first: so all their values lie in one block. */
    tess_dataset_list(dataset, wanted, loaded);
    loaded->value = tess_alloc_large((size_t)loaded->value_first[loaded->n], sizeof(float),
                                     "experiments", error);
    return error->code == TESS_OK ? tess_store_scan(dataset->store, wanted.first, wanted.end,
                                                    wanted.split, &visitor, error)
                                  : error->code;
}

void tess_loaded_release(struct tess_loaded *loaded)
{
    tess_free(loaded->experiment);
    tess_free(loaded->value_first);
    tess_free(loaded->value);
    *loaded = (struct tess_loaded){0};
}
