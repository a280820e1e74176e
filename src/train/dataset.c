/* dataset.c -- statistics of the training rows, kept readouts, loading. */
#include "tessera/dataset.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/mapping.h"

#include <math.h>
#include <string.h>

/* Sums over the training rows of every context: (n_contexts, n_readouts of the store) each. */
struct statistics {
    const struct tess_index *index;
    int64_t n_readouts;
    double *n, *mean, *square; /* rows, mean, Σ (x - mean)² */
    double *n_control, *control; /* rows and mean of the control */
};

/* Welford (1962): running mean and Σ (x - mean)², without the cancellation of Σ x² - n mean². */
static void add_piece(void *closure, int64_t experiment, int64_t column, int64_t n,
                      const float *value)
{
    struct statistics *s = closure;
    const struct tess_index *index = s->index;
    const int64_t *readout =
        index->panel_readout + index->panel_first[index->panel[experiment]] + column;
    int is_control = tess_index_is_control(index, index->combination[experiment]);

    for (int64_t k = 0; k < n; k++) {
        int64_t at = index->context_of[experiment] * s->n_readouts + readout[k];
        double delta;

        if (isnan(value[k]))
            continue;
        delta = (double)value[k] - s->mean[at];
        s->mean[at] += delta / ++s->n[at];
        s->square[at] += delta * ((double)value[k] - s->mean[at]);
        if (is_control)
            s->control[at] += ((double)value[k] - s->control[at]) / ++s->n_control[at];
    }
}

static void add_over_ranks(MPI_Comm comm, double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += 1 << 26) /* each number is nonzero on one rank: exact */
        MPI_Allreduce(MPI_IN_PLACE, x + i, tess_int(n - i < 1 << 26 ? n - i : 1 << 26), MPI_DOUBLE,
                      MPI_SUM, comm);
}

static void statistics_release(struct statistics *s)
{
    tess_free(s->n);
    tess_free(s->mean);
    tess_free(s->square);
    tess_free(s->n_control);
    tess_free(s->control);
}

/* Collective over comm. */
static int gather_statistics(struct statistics *s, const struct tess_store *store, MPI_Comm comm,
                             struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    int64_t n = index->context.n * index->readout.n, first = 0;
    double **array[] = {&s->n, &s->mean, &s->square, &s->n_control, &s->control};
    struct tess_store_visitor visitor = {s, add_piece};
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    s->index = index;
    s->n_readouts = index->readout.n;
    for (int i = 0; i < 5; i++)
        *array[i] = tess_alloc_large((size_t)n, sizeof(double), "training statistics", error);
    while (first < index->n_experiments && error->code == TESS_OK) {
        int64_t context = index->context_of[first], end = first;

        while (end < index->n_experiments && index->context_of[end] == context)
            end++;
        /* A context is one rank's, in the order of its experiments: sums of doubles depend on their
         * order, and this one is the same on any number of ranks. */
        if (context % n_ranks == rank)
            tess_store_scan(store, first, end, TESS_TRAIN, &visitor, error);
        first = end;
    }
    if (tess_agree(comm, error) == TESS_OK)
        for (int i = 0; i < 5; i++)
            add_over_ranks(comm, *array[i], n);
    return error->code;
}

/* keep[readout] = 1 for the `want` that vary most within contexts; ties to the lower number. The
 * variance is pooled over contexts: Σ squares about each context's mean / Σ (n - 1). */
static void choose_variable(const struct statistics *s, int64_t n_contexts, int64_t want,
                            uint8_t *keep)
{
    double *variance = TESS_NEW(double, s->n_readouts);

    for (int64_t r = 0; r < s->n_readouts; r++) {
        double square = 0, n = 0;

        for (int64_t c = 0; c < n_contexts; c++) {
            square += s->square[c * s->n_readouts + r];
            n += s->n[c * s->n_readouts + r] > 1 ? s->n[c * s->n_readouts + r] - 1 : 0;
        }
        variance[r] = n > 0 ? square / n : -1;
    }
    memset(keep, 0, (size_t)s->n_readouts);
    for (int64_t i = 0; i < want && i < s->n_readouts; i++) {
        int64_t best = -1;

        for (int64_t r = 0; r < s->n_readouts; r++)
            if (!keep[r] && (best < 0 || variance[r] > variance[best]))
                best = r;
        keep[best] = 1;
    }
    tess_free(variance);
}

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

/* shift and scale of every kept (context, readout): delta subtracts the control's mean where it is
 * measured; else it is the mean of the training rows. z-scores divide by their deviation (n - 1),
 * if it is not 0. */
static void choose_scale(struct tess_dataset *dataset, const struct statistics *s, int64_t rule,
                         const uint8_t *keep)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t R = dataset->readout.n, without = 0;

    dataset->scaling.shift = TESS_NEW(float, index->context.n *R);
    dataset->scaling.scale = TESS_NEW(float, index->context.n *R);
    for (int64_t c = 0; c < index->context.n; c++) {
        int has_control = 0;

        for (int64_t r = 0, k = 0; r < s->n_readouts; r++) {
            int64_t from = c * s->n_readouts + r, to = c * R + k;
            double deviation = s->n[from] > 1 ? sqrt(s->square[from] / (s->n[from] - 1)) : 0;

            if (!keep[r])
                continue;
            k++;
            has_control |= s->n_control[from] > 0;
            dataset->scaling.shift[to] =
                (float)(rule == TESS_NORMALIZE_DELTA && s->n_control[from] > 0 ? s->control[from]
                                                                               : s->mean[from]);
            dataset->scaling.scale[to] =
                rule == TESS_NORMALIZE_ZSCORE && deviation > 0 ? (float)deviation : 1.0f;
        }
        without += !has_control;
    }
    if (rule == TESS_NORMALIZE_DELTA && without > 0)
        tess_warn("data.normalize: delta: %lld of %lld contexts have no control among their "
                  "training rows; their mean over all training rows is subtracted instead",
                  (long long)without, (long long)index->context.n);
}

/* center and spread: mean and deviation (n - 1) of all kept training values as they are once they
 * are normalised, by Chan's formula from those of every (context, readout), readout by readout. */
static void choose_spread(struct tess_dataset *dataset, const struct statistics *s, double scale,
                          const uint8_t *keep)
{
    struct tess_scaling *scaling = &dataset->scaling;
    int64_t R = dataset->readout.n;
    double n = 0, mean = 0, square = 0, spread;

    for (int64_t r = 0, k = 0; r < s->n_readouts; k += keep[r++])
        for (int64_t c = 0; keep[r] && c < dataset->store->index.context.n; c++) {
            int64_t from = c * s->n_readouts + r, at = c * R + k;
            double shift = scaling->shift ? (double)scaling->shift[at] : 0;
            double divisor = scaling->shift ? (double)scaling->scale[at] : 1;
            double delta = (s->mean[from] - shift) / divisor - mean, m = s->n[from];

            if (m > 0) {
                mean += delta * m / (n + m);
                square += s->square[from] / (divisor * divisor) + delta * delta * n * m / (n + m);
                n += m;
            }
        }
    spread = n > 1 ? sqrt(square / (n - 1)) / scale : 0;
    scaling->center = (float)mean;
    scaling->spread = (float)spread > 0 && isfinite((float)spread) ? (float)spread : 1;
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

/* Statistics cost a pass over all training values: made only if something is chosen by them. */
int tess_dataset_init(struct tess_dataset *dataset, const struct tess_store *store,
                      const struct tess_config *config, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    int64_t want = config->data.top_variable, rule = config->data.normalize;
    int select = want > 0 && want < index->readout.n;
    struct statistics s = {0};
    uint8_t *keep;

    *dataset = (struct tess_dataset){.store = store,
                                     .comm = comm,
                                     .scaling = TESS_SCALING_NONE,
                                     .estimated = select || rule != TESS_NORMALIZE_NONE ||
                                                  config->data.scale > 0};
    if (dataset->estimated && gather_statistics(&s, store, comm, error) != TESS_OK) {
        statistics_release(&s);
        return error->code;
    }
    keep = TESS_NEW(uint8_t, index->readout.n);
    memset(keep, 1, (size_t)index->readout.n);
    if (select)
        choose_variable(&s, index->context.n, want, keep);
    keep_readouts(dataset, keep);
    dataset->scaling.n_readouts = dataset->readout.n;
    if (rule != TESS_NORMALIZE_NONE)
        choose_scale(dataset, &s, rule, keep);
    if (config->data.scale > 0)
        choose_spread(dataset, &s, config->data.scale, keep);
    if (mark_trained(dataset) == 0)
        refuse_untrained(store, error);
    tess_free(keep);
    statistics_release(&s);
    return error->code;
}

void tess_dataset_release(struct tess_dataset *dataset)
{
    tess_vocab_release(&dataset->readout);
    tess_free(dataset->panel_first);
    tess_free(dataset->panel_readout);
    tess_free(dataset->panel_column);
    tess_scaling_release(&dataset->scaling);
    tess_free(dataset->trained_perturbation);
    tess_free(dataset->trained_readout);
    tess_free(dataset->trained_context);
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

int64_t tess_dataset_observations(const struct tess_dataset *dataset, int64_t experiment)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t panel = index->panel[experiment], width = tess_dataset_width(dataset, panel);
    int64_t all = index->panel_first[panel + 1] - index->panel_first[panel];

    return width == all ? index->n_observed[experiment]
                        : index->n_observed[experiment] * width / all;
}

/* Which experiments and how wide first: so all their values lie in one block. */
int tess_dataset_load(const struct tess_dataset *dataset, struct tess_wanted wanted,
                      struct tess_loaded *loaded, struct tess_error *error)
{
    int64_t first = wanted.first, end = wanted.end;
    int split = wanted.split;
    const struct tess_index *index = &dataset->store->index;
    struct loading loading = {dataset, loaded, wanted.scaled, 0, 0};
    struct tess_store_visitor visitor = {&loading, keep_piece};
    int64_t n = 0, i = 0;

    for (int64_t e = first; e < end; e++)
        n += index->split[e] == split;
    *loaded = (struct tess_loaded){.n = n};
    loaded->experiment = TESS_NEW(int64_t, n);
    loaded->value_first = TESS_NEW(int64_t, n + 1);
    for (int64_t e = first; e < end; e++)
        if (index->split[e] == split) {
            loaded->experiment[i++] = e;
            loaded->value_first[i] =
                loaded->value_first[i - 1] + tess_dataset_width(dataset, index->panel[e]);
        }
    loaded->value =
        tess_alloc_large((size_t)loaded->value_first[n], sizeof(float), "experiments", error);
    return loaded->value ? tess_store_scan(dataset->store, first, end, split, &visitor, error)
                         : error->code;
}

void tess_loaded_release(struct tess_loaded *loaded)
{
    tess_free(loaded->experiment);
    tess_free(loaded->value_first);
    tess_free(loaded->value);
    *loaded = (struct tess_loaded){0};
}
