/* predict_bins.c -- scattered pairs into as few products of fixed shape as go.
 *
 * A left vector has one place in a product, a right vector one, too, and each product has the same
 * shape: a value's bits follow from its two vectors and their places alone. So one product serves
 * any pairs whose vectors do not want each other's places: some two hundred random ones, and all
 * 65 536 of 256 rows and 256 readouts. */
#include "predict_bins.h"

#include "predict_scratch.h"

#include "tessera/alloc.h"

#include <string.h>

#define ROWS    TESS_PREDICT_ROWS
#define COLUMNS TESS_PREDICT_COLUMNS
#define OPEN    64 /* bins that a pair is tried in, from the one that took the pair before it */

/* Vectors + 1 at their places; 0: free. */
struct bin {
    int64_t left[ROWS], right[COLUMNS];
};

struct bins {
    const struct tess_predictor *p;
    const int64_t *vector;
    const struct tess_predict_lists *lists;
    size_t n, room;
    struct bin *bin; /* own */
    size_t newest; /* of the OPEN ones, the last that was opened */
    size_t open[OPEN], n_open, at; /* at: which of them took the last pair */
};

static int fits(const struct bin *bin, int64_t left, int64_t right)
{
    int64_t l = bin->left[left % ROWS], r = bin->right[right % COLUMNS];

    return (!l || l == left + 1) && (!r || r == right + 1);
}

/* A new bin, in the place of the oldest that is open. */
static size_t open_bin(struct bins *bins)
{
    size_t at = bins->n_open < OPEN ? bins->n_open++ : (bins->newest + 1) % OPEN;

    bins->bin = tess_grow(bins->bin, &bins->room, bins->n + 1, sizeof *bins->bin);
    bins->newest = at;
    bins->open[at] = bins->n++;
    return at;
}

static size_t find_bin(struct bins *bins, int64_t left, int64_t right)
{
    struct bin *bin;
    size_t i = 0;

    while (i < bins->n_open &&
           !fits(&bins->bin[bins->open[(bins->at + i) % bins->n_open]], left, right))
        i++;
    bins->at = i < bins->n_open ? (bins->at + i) % bins->n_open : open_bin(bins);
    bin = &bins->bin[bins->open[bins->at]];
    bin->left[left % ROWS] = left + 1;
    bin->right[right % COLUMNS] = right + 1;
    return bins->open[bins->at];
}

/* The pairs of each bin: a counting sort. A pair is its left place, its right place and its output.
 */
struct taken {
    int64_t *first; /* (bins + 1) own */
    int64_t *output; /* own */
    int32_t *place; /* left place · COLUMNS + right place; own */
};

static void sort_pairs(const struct bins *bins, const int32_t *bin_of, int64_t n,
                       struct taken *taken)
{
    const struct tess_predict_lists *lists = bins->lists;
    int64_t begin = lists->first[0], *next = TESS_NEW(int64_t, bins->n + 1);

    taken->first = TESS_NEW(int64_t, bins->n + 1);
    taken->output = TESS_NEW(int64_t, lists->first[n] - begin);
    taken->place = TESS_NEW(int32_t, lists->first[n] - begin);
    for (int64_t k = 0; k < lists->first[n] - begin; k++)
        taken->first[bin_of[k] + 1]++;
    for (size_t b = 0; b < bins->n; b++) {
        taken->first[b + 1] += taken->first[b];
        next[b + 1] = taken->first[b + 1];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++) {
            int64_t at = next[bin_of[k - begin]]++;

            taken->output[at] = k;
            taken->place[at] =
                (int32_t)(bins->vector[i] % ROWS * COLUMNS + lists->readout[k] % COLUMNS);
        }
    tess_free(next);
}

/* Its vectors side by side, free places zeroes; their product; the pairs' values. */
static void multiply(const struct bins *bins, size_t b, const struct taken *taken, float *out)
{
    const struct tess_predictor *p = bins->p;
    struct tess_predict_part *s = tess_predict_scratch_part(p);
    const struct bin *bin = &bins->bin[b];
    int64_t K = p->shape.factors;
    size_t bytes = (size_t)K * sizeof(float);
    float *left = TESS_NEW(float, (ROWS + COLUMNS) * K), *right = left + ROWS * K;

    for (int64_t i = 0; i < ROWS; i++)
        if (bin->left[i])
            memcpy(left + i * K, p->scratch->left + (bin->left[i] - 1) * K, bytes);
    for (int64_t k = 0; k < COLUMNS; k++)
        if (bin->right[k])
            memcpy(right + k * K, p->right + (bin->right[k] - 1) * K, bytes);
    tess_predict_scratch_multiply(p, left, right, s->out, 0);
    for (int64_t k = taken->first[b]; k < taken->first[b + 1]; k++)
        out[taken->output[k]] = s->out[taken->place[k]];
    tess_free(left);
}

void tess_predict_bins_run(const struct tess_predictor *predictor, int64_t n, const int64_t *vector,
                           const struct tess_predict_lists *lists, float *out)
{
    struct bins bins = {.p = predictor, .vector = vector, .lists = lists};
    int32_t *bin_of = TESS_NEW(int32_t, lists->first[n] - lists->first[0]);
    struct taken taken;

    for (int64_t i = 0; i < n; i++)
        for (int64_t k = lists->first[i]; k < lists->first[i + 1]; k++)
            bin_of[k - lists->first[0]] = (int32_t)find_bin(&bins, vector[i], lists->readout[k]);
    sort_pairs(&bins, bin_of, n, &taken);
#pragma omp parallel for schedule(dynamic) num_threads(predictor->scratch->n_threads)
    for (size_t b = 0; b < bins.n; b++)
        multiply(&bins, b, &taken, out);
    tess_free(taken.first);
    tess_free(taken.output);
    tess_free(taken.place);
    tess_free(bin_of);
    tess_free(bins.bin);
}
