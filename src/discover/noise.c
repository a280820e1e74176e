/* noise.c -- replicates of an experiment differ by noise alone. Where it is large, or shared by
 * many readouts, a change says little: in its units all directions are equally uncertain, as in
 * linear discriminant analysis (Fisher, 1936), shrunk as by Ledoit and Wolf (2004) with a fixed
 * share. */
#include "noise.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/pca.h"
#include "tessera/store.h"

#include <cblas.h>
#include <math.h>

#define AXES  200
#define SHARE 0.1 /* of the variance that is spread evenly */
#define MOST  10000 /* readouts: their covariances, 0.8 GB, lie on all ranks together, twice */

/* Residuals: one row of each fold of an experiment that has several. */
struct residuals {
    const struct tess_store *store;
    int64_t n, freedom; /* rows; less the means that were taken off */
    int64_t *experiment; /* (n) own */
};

static void list_rows(struct residuals *rows)
{
    const struct tess_index *index = &rows->store->index;

    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            rows->experiment = TESS_NEW(int64_t, rows->n);
        rows->n = 0;
        for (int64_t e = 0; e < index->n_experiments; e++) {
            int64_t folds = index->fold_first[e + 1] - index->fold_first[e];

            if (index->split[e] != TESS_TRAIN || folds < 2)
                continue;
            for (int64_t f = 0; f < folds && pass == 1; f++)
                rows->experiment[rows->n + f] = e;
            rows->n += folds;
            rows->freedom += pass == 1 ? folds - 1 : 0;
        }
    }
}

/* One fold's residual of each readout, weighted by its replicates: value (folds, panel). */
static void subtract_mean(const struct tess_index *index, int64_t experiment, int64_t fold,
                          const float *value, double *out)
{
    int64_t panel = index->panel[experiment], first = index->fold_first[experiment];
    int64_t folds = index->fold_first[experiment + 1] - first;
    int64_t width = index->panel_first[panel + 1] - index->panel_first[panel];
    const int64_t *readout = index->panel_readout + index->panel_first[panel];

    for (int64_t j = 0; j < width; j++) {
        double sum = 0, weight = 0, own = (double)value[fold * width + j];

        for (int64_t f = 0; f < folds; f++) {
            double x = (double)value[f * width + j], w = (double)index->fold_replicates[first + f];

            sum += isnan(x) ? 0 : w * x;
            weight += isnan(x) ? 0 : w;
        }
        if (!isnan(own))
            out[readout[j]] =
                (own - sum / weight) * sqrt((double)index->fold_replicates[first + fold]);
    }
}

static int make(void *closure, int64_t first, int64_t n, double *out, struct tess_error *error)
{
    const struct residuals *rows = closure;
    const struct tess_index *index = &rows->store->index;
    int64_t width = index->readout.n, last = -1, fold = 0;
    float *value = NULL;

    for (int64_t i = 0; i < n * width; i++)
        out[i] = 0;
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        int64_t e = rows->experiment[first + i], begin = index->fold_first[e];
        int64_t folds = index->fold_first[e + 1] - begin;

        if (e != last) {
            tess_free(value);
            value = TESS_NEW(float, index->fold_value_first[begin + folds] -
                                        index->fold_value_first[begin]);
            tess_store_read_folds(rows->store, begin, folds, value, error);
            last = e;
            fold = 0;
            for (int64_t b = first + i; b > 0 && rows->experiment[b - 1] == e; b--)
                fold++;
        }
        if (error->code == TESS_OK)
            subtract_mean(index, e, fold++, value, out + i * width);
    }
    tess_free(value);
    return error->code;
}

/* Variances to gains. */
static void find_gains(struct tess_noise *noise, const struct tess_pca *pca, double scale)
{
    double total = pca->total * scale, even = SHARE * total / (double)noise->n, rest = total;

    for (int64_t j = 0; j < noise->k; j++) {
        noise->gain[j] = 1 / sqrt((1 - SHARE) * pca->variance[j] * scale + even);
        rest -= pca->variance[j] * scale;
    }
    if (noise->k < noise->n)
        even += (1 - SHARE) * fmax(rest, 0) / (double)(noise->n - noise->k);
    noise->rest = 1 / sqrt(even);
    for (int64_t i = 0; i < noise->k * noise->n; i++)
        noise->axis[i] = pca->axis[i];
}

int tess_noise_init(struct tess_noise *noise, const struct tess_store *store,
                    struct tess_error *error)
{
    struct residuals rows = {.store = store};
    struct tess_pca_rows made = {.width = store->index.readout.n, .closure = &rows, .make = make};
    struct tess_pca pca = {.width = 0};
    int64_t k = made.width < AXES ? made.width : AXES;

    *noise = (struct tess_noise){.n = made.width};
    if (made.width > MOST)
        return tess_error_set(error, TESS_EDATA,
                              "%s: has more than %d readouts, too many for the covariance of their "
                              "noise: import fewer of them, or leave --vectors completed out",
                              store->h5.path, MOST);
    list_rows(&rows);
    made.n = rows.n;
    k = k < made.n - 1 ? k : made.n - 1;
    if (k > 0 && tess_pca_init(&pca, &made, k, store->comm, error) == TESS_OK && pca.total > 0) {
        noise->k = k;
        noise->axis = TESS_NEW(double, k * noise->n);
        noise->gain = TESS_NEW(double, k);
        find_gains(noise, &pca, (double)(rows.n - 1) / (double)rows.freedom);
    }
    if (error->code == TESS_OK && noise->k == 0)
        tess_warn(
            "the store has no replicates that differ: changes are not taken in units of their "
            "noise");
    tess_pca_release(&pca);
    tess_free(rows.experiment);
    return error->code;
}

void tess_noise_divide(const struct tess_noise *noise, double *x)
{
    int n = tess_int(noise->n), k = tess_int(noise->k);
    double *place = TESS_NEW(double, noise->k);

    if (k > 0) {
        cblas_dgemv(CblasRowMajor, CblasNoTrans, k, n, 1, noise->axis, n, x, 1, 0, place, 1);
        for (int j = 0; j < k; j++)
            place[j] *= noise->gain[j] - noise->rest;
        cblas_dgemv(CblasRowMajor, CblasTrans, k, n, 1, noise->axis, n, place, 1, noise->rest, x,
                    1);
    }
    tess_free(place);
}

void tess_noise_release(struct tess_noise *noise)
{
    tess_free(noise->axis);
    tess_free(noise->gain);
    *noise = (struct tess_noise){.n = 0};
}
