/* dataset.c -- statistics of the training rows, kept readouts, loading. */
#include "tessera/dataset.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <math.h>
#include <string.h>

#define PIECE_FLOATS ((int64_t)16 << 20) /* read at a time */

/* Sums over the training rows of every context: (n_contexts, n_readouts of the store) each. */
struct statistics {
    int64_t n_readouts;
    double *n, *mean, *square;   /* rows, mean, Σ (x - mean)²            */
    double *n_control, *control; /* rows and mean of the control         */
};

static void add_row(struct statistics *s, int64_t context, int64_t width, const int64_t *readout,
                    const float *value, int is_control)
{
    for (int64_t k = 0; k < width; k++) { /* Welford */
        int64_t at = context * s->n_readouts + readout[k];
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

/* End of a piece that starts at `first`: at most PIECE_FLOATS values, at least one experiment. */
static int64_t piece_end(const struct tess_index *index, int64_t first, int64_t end)
{
    int64_t next = first + 1;

    while (next < end && index->value_first[next + 1] - index->value_first[first] <= PIECE_FLOATS)
        next++;
    return next;
}

static int64_t longest_piece(const struct tess_index *index)
{
    int64_t longest = PIECE_FLOATS;

    for (int64_t p = 0; p < index->n_panels; p++)
        if (index->panel_first[p + 1] - index->panel_first[p] > longest)
            longest = index->panel_first[p + 1] - index->panel_first[p];
    return longest < index->value_first[index->n_experiments]
               ? longest
               : index->value_first[index->n_experiments];
}

static int add_context(struct statistics *s, const struct tess_store *store, int64_t first,
                       int64_t end, float *value, struct tess_error *error)
{
    const struct tess_index *index = &store->index;

    for (int64_t at = first, next; at < end; at = next) {
        next = piece_end(index, at, end);
        if (tess_store_read_values(store, at, next - at, value, error) != TESS_OK)
            break;
        for (int64_t e = at; e < next; e++) {
            int64_t panel = index->panel[e], begin = index->panel_first[panel];

            if (index->split[e] == TESS_TRAIN)
                add_row(s, index->context_of[e], index->panel_first[panel + 1] - begin,
                        index->panel_readout + begin,
                        value + index->value_first[e] - index->value_first[at],
                        tess_index_is_control(index, index->combination[e]));
        }
    }
    return error->code;
}

static void share(MPI_Comm comm, double *x, int64_t n)
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
    float *value = tess_alloc_large((size_t)longest_piece(index), sizeof *value, "values", error);
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    s->n_readouts = index->readout.n;
    for (int i = 0; i < 5; i++)
        *array[i] = tess_alloc_large((size_t)n, sizeof(double), "training statistics", error);
    while (first < index->n_experiments && error->code == TESS_OK) {
        int64_t context = index->context_of[first], end = first;

        while (end < index->n_experiments && index->context_of[end] == context)
            end++;
        if (context % n_ranks == rank)
            add_context(s, store, first, end, value, error);
        first = end;
    }
    tess_free(value);
    if (tess_agree(comm, error) == TESS_OK)
        for (int i = 0; i < 5; i++)
            share(comm, *array[i], n);
    return error->code;
}

/* keep[readout] = 1 for the `want` that vary most within contexts; ties to the lower number. */
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

/* The model's readouts and the kept columns of every panel. */
static void keep_readouts(struct tess_dataset *dataset, const uint8_t *keep)
{
    const struct tess_index *index = &dataset->store->index;
    const char **symbol = TESS_NEW(const char *, index->readout.n);
    int64_t *number = TESS_NEW(int64_t, index->readout.n), n = 0, at = 0;
    int64_t all = index->panel_first[index->n_panels];

    for (int64_t r = 0; r < index->readout.n; r++) {
        number[r] = keep[r] ? n : -1;
        if (keep[r])
            symbol[n++] = index->readout.symbol[r];
    }
    tess_vocab_init(&dataset->readout, n, symbol, NULL);
    dataset->panel_first = TESS_NEW(int64_t, index->n_panels + 1);
    dataset->panel_readout = TESS_NEW(int64_t, all);
    dataset->panel_column = TESS_NEW(int64_t, all);
    for (int64_t p = 0; p < index->n_panels; p++) {
        for (int64_t k = index->panel_first[p]; k < index->panel_first[p + 1]; k++)
            if (number[index->panel_readout[k]] >= 0) {
                dataset->panel_readout[at] = number[index->panel_readout[k]];
                dataset->panel_column[at++] = k - index->panel_first[p];
            }
        dataset->panel_first[p + 1] = at;
    }
    tess_free(symbol);
    tess_free(number);
}

/* shift and scale of every kept (context, readout). */
static void choose_scale(struct tess_dataset *dataset, const struct statistics *s, int64_t rule,
                         const uint8_t *keep)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t R = dataset->readout.n, without = 0;

    dataset->shift = TESS_NEW(float, index->context.n *R);
    dataset->scale = TESS_NEW(float, index->context.n *R);
    for (int64_t c = 0; c < index->context.n; c++) {
        int has_control = 0;

        for (int64_t r = 0, k = 0; r < s->n_readouts; r++) {
            int64_t from = c * s->n_readouts + r, to = c * R + k;
            double deviation = s->n[from] > 1 ? sqrt(s->square[from] / (s->n[from] - 1)) : 0;

            if (!keep[r])
                continue;
            k++;
            has_control |= s->n_control[from] > 0;
            dataset->shift[to] =
                (float)(rule == TESS_NORMALIZE_DELTA && s->n_control[from] > 0 ? s->control[from]
                                                                               : s->mean[from]);
            dataset->scale[to] =
                rule == TESS_NORMALIZE_ZSCORE && deviation > 0 ? (float)deviation : 1.0f;
        }
        without += !has_control;
    }
    if (rule == TESS_NORMALIZE_DELTA && without > 0)
        tess_warn("data.normalize: delta: %lld of %lld contexts have no control among their "
                  "training rows; their mean over all training rows is subtracted instead",
                  (long long)without, (long long)index->context.n);
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

int tess_dataset_init(struct tess_dataset *dataset, const struct tess_store *store,
                      const struct tess_config *config, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_index *index = &store->index;
    int64_t want = config->data.top_variable, rule = config->data.normalize;
    int select = want > 0 && want < index->readout.n;
    struct statistics s = {0};
    uint8_t *keep;

    *dataset = (struct tess_dataset){.store = store, .comm = comm};
    if ((select || rule != TESS_NORMALIZE_NONE) &&
        gather_statistics(&s, store, comm, error) != TESS_OK) {
        statistics_release(&s);
        return error->code;
    }
    keep = TESS_NEW(uint8_t, index->readout.n);
    memset(keep, 1, (size_t)index->readout.n);
    if (select)
        choose_variable(&s, index->context.n, want, keep);
    keep_readouts(dataset, keep);
    if (rule != TESS_NORMALIZE_NONE)
        choose_scale(dataset, &s, rule, keep);
    if (mark_trained(dataset) == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: no experiment is in the training split: see 'tessera split'",
                       store->h5.path);
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
    tess_free(dataset->shift);
    tess_free(dataset->scale);
    tess_free(dataset->trained_perturbation);
    tess_free(dataset->trained_readout);
    tess_free(dataset->trained_context);
    *dataset = (struct tess_dataset){0};
}

/* Kept columns of one experiment from its whole row. */
static void keep_row(const struct tess_dataset *dataset, int64_t experiment, int scaled,
                     const float *row, float *out, int64_t *n_observed)
{
    int64_t panel = dataset->store->index.panel[experiment], first = dataset->panel_first[panel];
    int64_t context = dataset->store->index.context_of[experiment];

    for (int64_t k = first; k < dataset->panel_first[panel + 1]; k++) {
        int64_t at = context * dataset->readout.n + dataset->panel_readout[k];
        float x = row[dataset->panel_column[k]];

        *n_observed += !isnan(x);
        out[k - first] =
            scaled && dataset->shift ? (x - dataset->shift[at]) / dataset->scale[at] : x;
    }
}

int tess_dataset_load(const struct tess_dataset *dataset, int64_t first, int64_t end, int split,
                      int scaled, struct tess_loaded *loaded, struct tess_error *error)
{
    const struct tess_index *index = &dataset->store->index;
    int64_t n = 0, values = 0, i = 0;
    float *row;

    for (int64_t e = first; e < end; e++)
        if (index->split[e] == split) {
            n++;
            values += tess_dataset_width(dataset, index->panel[e]);
        }
    *loaded = (struct tess_loaded){.n = n};
    loaded->experiment = TESS_NEW(int64_t, n);
    loaded->value_first = TESS_NEW(int64_t, n + 1);
    loaded->value = tess_alloc_large((size_t)values, sizeof(float), "experiments", error);
    row = tess_alloc_large((size_t)longest_piece(index), sizeof *row, "a reading buffer", error);
    for (int64_t at = first, next; at < end && error->code == TESS_OK; at = next) {
        next = piece_end(index, at, end);
        if (tess_store_read_values(dataset->store, at, next - at, row, error) != TESS_OK)
            break;
        for (int64_t e = at; e < next; e++) {
            if (index->split[e] != split)
                continue;
            loaded->experiment[i] = e;
            keep_row(dataset, e, scaled, row + index->value_first[e] - index->value_first[at],
                     loaded->value + loaded->value_first[i], &loaded->n_observed);
            loaded->value_first[i + 1] =
                loaded->value_first[i] + tess_dataset_width(dataset, index->panel[e]);
            i++;
        }
    }
    tess_free(row);
    return error->code;
}

void tess_loaded_release(struct tess_loaded *loaded)
{
    tess_free(loaded->experiment);
    tess_free(loaded->value_first);
    tess_free(loaded->value);
    *loaded = (struct tess_loaded){0};
}
