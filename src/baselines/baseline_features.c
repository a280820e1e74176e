/* baseline_features.c -- ridge regression of changes on features, within each context.
 *
 * With X the centred features of a context's training perturbations, X'X = V S V' and T = X V, the
 * fit of any penalty is T (S + penalty)^-1 T'Z, and a perturbation that is left out has the error
 * e / (1 - h) of the fit's error e and its leverage h: all penalties are compared by one
 * decomposition. */
#include "baseline_features.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

void dsyev_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w,
            double *work, const int *lwork, int *info, size_t l1, size_t l2);

#define LEAST     8 /* perturbations with features in a context */
#define PENALTIES 15 /* from 10^-3 to 10^4 of the mean eigenvalue, half a decade apart */
#define K         TESS_LINEAR_FACTORS

/* One context while it is fitted: rows are its training units with features. */
struct ridge {
    int64_t n;
    int axes, k;
    double *x, *z; /* (n, axes), (n, k) centred */
    double *v, *s; /* (axes, axes) an eigenvector a row; (axes) */
    double *t, *b; /* (n, axes) rotated features; (axes, k) T'Z */
};

/* Training units with features, by context. */
static void find_units(struct tess_by_features *by, const struct tess_profiles *profiles)
{
    double *x = TESS_NEW(double, by->axes);
    size_t room = 0, room_x = 0;
    int64_t n = 0;

    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        for (int64_t u = profiles->context_first[c]; u < profiles->context_first[c + 1]; u++) {
            if (!tess_profiles_trains(profiles, u) ||
                !tess_features_of(by->features, profiles,
                                  (struct tess_featured){profiles->combination[u], NULL}, x))
                continue;
            by->unit = tess_grow(by->unit, &room, (size_t)n + 1, sizeof *by->unit);
            by->x = tess_grow(by->x, &room_x, (size_t)((n + 1) * by->axes), sizeof *by->x);
            memcpy(by->x + n * by->axes, x, (size_t)by->axes * sizeof *x);
            by->unit[n++] = u;
        }
        by->first[c + 1] = n;
    }
    tess_free(x);
}

/* Rows less their mean, which is kept. */
static void center(int64_t n, int64_t width, double *x, double *mean)
{
    for (int64_t i = 0; i < n * width; i++)
        mean[i % width] += x[i] / (double)n;
    for (int64_t i = 0; i < n * width; i++)
        x[i] -= mean[i % width];
}

static void ridge_init(struct ridge *ridge, const struct tess_by_features *by,
                       const struct tess_linear *linear, int64_t context)
{
    int64_t first = by->first[context], n = by->first[context + 1] - first;
    double *mean = by->center + context * (by->axes + by->k);

    *ridge = (struct ridge){.n = n, .axes = tess_int(by->axes), .k = tess_int(by->k)};
    ridge->x = TESS_NEW(double, n * by->axes);
    ridge->z = TESS_NEW(double, n * by->k);
    ridge->v = TESS_NEW(double, by->axes * by->axes);
    ridge->s = TESS_NEW(double, by->axes);
    ridge->t = TESS_NEW(double, n * by->axes);
    ridge->b = TESS_NEW(double, by->axes * by->k);
    memcpy(ridge->x, by->x + first * by->axes, (size_t)(n * by->axes) * sizeof *ridge->x);
    for (int64_t i = 0; i < n; i++)
        memcpy(ridge->z + i * by->k, linear->unit + by->unit[first + i] * by->k,
               (size_t)by->k * sizeof *ridge->z);
    center(n, by->axes, ridge->x, mean);
    center(n, by->k, ridge->z, mean + by->axes);
}

static void ridge_release(struct ridge *ridge)
{
    tess_free(ridge->x);
    tess_free(ridge->z);
    tess_free(ridge->v);
    tess_free(ridge->s);
    tess_free(ridge->t);
    tess_free(ridge->b);
}

static int decompose(struct ridge *ridge)
{
    int n = tess_int(ridge->n), f = ridge->axes, k = ridge->k, room = 64 * f, info;
    double *work = TESS_NEW(double, room);

    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, f, n, 1, ridge->x, f, 0, ridge->v, f);
    dsyev_("V", "L", &f, ridge->v, &f, ridge->s, work, &room, &info, 1, 1);
    tess_free(work);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, f, f, 1, ridge->x, f, ridge->v, f, 0,
                ridge->t, f);
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, f, k, n, 1, ridge->t, f, ridge->z, k, 0,
                ridge->b, k);
    return info == 0;
}

/* Squared error of perturbations that are left out one at a time. */
static double left_out(const struct ridge *ridge, double penalty)
{
    double sum = 0;

    for (int64_t i = 0; i < ridge->n; i++) {
        const double *t = ridge->t + i * ridge->axes;
        double leverage = 1 / (double)ridge->n, fit[K] = {0};

        for (int j = 0; j < ridge->axes; j++) {
            double share = t[j] / (fmax(ridge->s[j], 0) + penalty);

            leverage += t[j] * share;
            for (int f = 0; f < ridge->k; f++)
                fit[f] += share * ridge->b[j * ridge->k + f];
        }
        for (int f = 0; f < ridge->k; f++) {
            double e = (ridge->z[i * ridge->k + f] - fit[f]) / fmax(1 - leverage, 1e-9);

            sum += e * e;
        }
    }
    return sum;
}

/* map (axes, k) = V (S + penalty)^-1 T'Z. */
static void take_map(const struct ridge *ridge, double penalty, double *map)
{
    for (int j = 0; j < ridge->axes; j++)
        for (int a = 0; a < ridge->axes; a++) {
            double share = ridge->v[j * ridge->axes + a] / (fmax(ridge->s[j], 0) + penalty);

            for (int f = 0; f < ridge->k; f++)
                map[a * ridge->k + f] += share * ridge->b[j * ridge->k + f];
        }
}

/* The penalty of the least error; infinite where the mean alone is as good. */
static void fit_context(struct tess_by_features *by, const struct tess_linear *linear,
                        int64_t context)
{
    struct tess_feature_fit *fit = &by->fit[context];
    double trace = 0, best, other;
    struct ridge ridge;

    if (by->first[context + 1] - by->first[context] < LEAST)
        return;
    ridge_init(&ridge, by, linear, context);
    fit->solved = decompose(&ridge);
    for (int j = 0; j < ridge.axes; j++)
        trace += fmax(ridge.s[j], 0);
    fit->penalty = INFINITY;
    best = left_out(&ridge, INFINITY);
    for (int i = 0; i < PENALTIES && trace > 0; i++) {
        double penalty = trace / ridge.axes * pow(10, -3 + 0.5 * i);

        other = left_out(&ridge, penalty);
        if (other < best) {
            best = other;
            fit->penalty = penalty;
        }
    }
    if (isfinite(fit->penalty))
        take_map(&ridge, fit->penalty, by->map + context * by->axes * by->k);
    fit->neighbors =
        tess_neighbors_choose(&(struct tess_neighbors){ridge.n, by->axes, by->k, ridge.x, ridge.z});
    ridge_release(&ridge);
}

int tess_by_features_init(struct tess_by_features *by, const struct tess_learn *learn,
                          const struct tess_features *features, const struct tess_linear *linear,
                          struct tess_error *error)
{
    int64_t n = learn->profiles->n_contexts, center = features->k + linear->k,
            map = features->k * linear->k;
    int rank, n_ranks;

    *by = (struct tess_by_features){.features = features, .k = linear->k, .axes = features->k};
    MPI_Comm_rank(learn->comm, &rank);
    MPI_Comm_size(learn->comm, &n_ranks);
    by->fit = TESS_NEW(struct tess_feature_fit, n);
    by->center = TESS_NEW(double, n *center);
    by->map = tess_alloc_large((size_t)(n * map), sizeof(double), "maps of features", error);
    by->first = TESS_NEW(int64_t, n + 1);
    if (tess_agree(learn->comm, error) != TESS_OK)
        return error->code;
    find_units(by, learn->profiles);
    for (int64_t c = rank; c < n && !(learn->stopped && learn->stopped()); c += n_ranks)
        fit_context(by, linear, c);
    for (int64_t c = 0; c < n; c++) {
        int owner = (int)(c % n_ranks);

        MPI_Bcast(&by->fit[c], (int)sizeof by->fit[c], MPI_BYTE, owner, learn->comm);
        MPI_Bcast(by->center + c * center, tess_int(center), MPI_DOUBLE, owner, learn->comm);
        MPI_Bcast(by->map + c * map, tess_int(map), MPI_DOUBLE, owner, learn->comm);
    }
    if (learn->stopped && learn->stopped())
        tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
    return tess_agree(learn->comm, error);
}

void tess_by_features_release(struct tess_by_features *by)
{
    tess_free(by->fit);
    tess_free(by->center);
    tess_free(by->map);
    tess_free(by->first);
    tess_free(by->unit);
    tess_free(by->x);
    *by = (struct tess_by_features){.k = 0};
}

int tess_by_features_ridge(const struct tess_by_features *by, const struct tess_profiles *profiles,
                           int64_t context, struct tess_featured asked, double *z)
{
    const double *mean = by->center + context * (by->axes + by->k);
    const double *map = by->map + context * by->axes * by->k;
    double *x = TESS_NEW(double, by->axes);
    int known = by->fit[context].solved && tess_features_of(by->features, profiles, asked, x);

    memset(z, 0, (size_t)by->k * sizeof *z);
    for (int64_t f = 0; known && f < by->k; f++) {
        z[f] = mean[by->axes + f];
        for (int64_t j = 0; j < by->axes; j++)
            z[f] += (x[j] - mean[j]) * map[j * by->k + f];
    }
    tess_free(x);
    return known;
}

int tess_by_features_nearest(const struct tess_by_features *by,
                             const struct tess_profiles *profiles, const struct tess_linear *linear,
                             int64_t context, struct tess_featured asked, double *z)
{
    int64_t first = by->first[context], n = by->first[context + 1] - first, own = -1;
    double *x = TESS_NEW(double, by->axes);
    int known = by->fit[context].solved && tess_features_of(by->features, profiles, asked, x);
    int64_t *nearest = TESS_NEW(int64_t, by->fit[context].neighbors), found = 0;

    memset(z, 0, (size_t)by->k * sizeof *z);
    for (int64_t i = 0; known && i < n; i++)
        if (profiles->combination[by->unit[first + i]] == asked.combination)
            own = i;
    if (known)
        found = tess_neighbors_find(
            &(struct tess_neighbors){n, by->axes, by->k, by->x + first * by->axes, NULL}, x, own,
            by->fit[context].neighbors, nearest);
    for (int64_t i = 0; i < found; i++)
        for (int64_t f = 0; f < by->k; f++)
            z[f] += linear->unit[by->unit[first + nearest[i]] * by->k + f] / (double)found;
    tess_free(nearest);
    tess_free(x);
    return known && found > 0;
}
