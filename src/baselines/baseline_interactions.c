/* baseline_interactions.c -- ridge regression of combinations' deviations on products of changes.
 *
 * In the k factors of the linear baseline, a pair of components with changes a and b against the
 * control says the symmetric product ab' + ba' (its upper half, off the diagonal times sqrt 2, so
 * that turned factors would make no difference) and the sum a + b. The pairs of a combination are
 * added up: order is nothing, and a single component says nothing. The penalty is the one under
 * which whole combinations, left out by fifths with all their contexts, are predicted best; of sums
 * over each fifth, all penalties are compared without a second look at the units. */
#include "baseline_interactions.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda, double *b,
            const int *ldb, int *info, size_t l1);

#define LEAST     8 /* combinations */
#define FOLDS     5
#define PENALTIES 15 /* from 10^-4 to 10^3 of the mean eigenvalue, half a decade apart */
#define K         TESS_LINEAR_FACTORS
#define FEATURES  (K * (K + 1) / 2 + K)

int tess_components_find(const struct tess_profiles *profiles, int64_t context, int64_t n,
                         const int64_t *component, int64_t *unit)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t single = tess_index_find(&profiles->store->index, 1, &component[i]);

        unit[i] = single < 0 ? -1 : tess_profiles_find(profiles, context, single, TESS_TRAIN);
        if (unit[i] < 0)
            return 0;
    }
    return n > 1;
}

/* Sums over combinations: X'X and X'D, and the squares of D. */
struct sums {
    double gram[FEATURES * FEATURES], between[FEATURES * K], square;
};

static void add_sums(struct sums *to, const struct sums *from, double sign)
{
    for (int i = 0; i < FEATURES * FEATURES; i++)
        to->gram[i] += sign * from->gram[i];
    for (int i = 0; i < FEATURES * K; i++)
        to->between[i] += sign * from->between[i];
    to->square += sign * from->square;
}

/* A unit's change against the control, in factors; none of the control itself. */
static void change_of(const struct tess_interactions *of, const struct tess_profiles *profiles,
                      int64_t unit, double *z)
{
    const double *zero = of->zero + profiles->context_of[unit] * of->k;

    for (int64_t j = 0; j < of->k; j++)
        z[j] =
            tess_profiles_trains(profiles, unit) ? of->linear->unit[unit * of->k + j] - zero[j] : 0;
}

/* What two components say together is added to x. */
static void add_pair(int64_t k, const double *a, const double *b, double *x)
{
    for (int64_t i = 0; i < k; i++) {
        *x++ += a[i] * b[i];
        for (int64_t j = i + 1; j < k; j++)
            *x++ += (a[i] * b[j] + a[j] * b[i]) * M_SQRT1_2;
    }
    for (int64_t i = 0; i < k; i++)
        x[i] += a[i] + b[i];
}

static void features_of(const struct tess_interactions *of, const struct tess_profiles *profiles,
                        int64_t n, const int64_t *unit, double *x)
{
    double *z = TESS_NEW(double, n * of->k);

    memset(x, 0, (size_t)of->n_features * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        change_of(of, profiles, unit[i], z + i * of->k);
        for (int64_t j = 0; j < of->k; j++)
            z[i * of->k + j] /= of->scale;
        for (int64_t j = 0; j < i; j++)
            add_pair(of->k, z + j * of->k, z + i * of->k, x);
    }
    tess_free(z);
}

/* One training unit of a combination; x and d are what it is described by and how it deviates. */
static void add_unit(const struct tess_interactions *of, const double *x, const double *d,
                     struct sums *sums)
{
    int64_t f = of->n_features, k = of->k;

    for (int64_t i = 0; i < f; i++) {
        for (int64_t j = i; j < f; j++)
            sums->gram[i * f + j] += x[i] * x[j];
        for (int64_t j = 0; j < k; j++)
            sums->between[j * f + i] += x[i] * d[j];
    }
    for (int64_t j = 0; j < k; j++)
        sums->square += d[j] * d[j];
}

/* All units of a combination: 1 if its components are measured in one of their contexts. */
static int add_combination(const struct tess_interactions *of, const struct tess_profiles *profiles,
                           int64_t combination, struct sums *sums)
{
    const struct tess_index *index = &profiles->store->index;
    int64_t first = index->combination_first[combination],
            n = index->combination_first[combination + 1] - first;
    int64_t *unit = n > 1 ? TESS_NEW(int64_t, n) : NULL;
    double x[FEATURES], d[K], z[K];
    int found = 0;

    for (int64_t t = profiles->trained_first[combination];
         n > 1 && t < profiles->trained_first[combination + 1]; t++) {
        int64_t own = profiles->trained[t];

        if (!tess_components_find(profiles, profiles->context_of[own], n,
                                  index->combination_member + first, unit))
            continue;
        found = 1;
        if (!sums)
            break;
        features_of(of, profiles, n, unit, x);
        change_of(of, profiles, own, d);
        for (int64_t i = 0; i < n; i++) {
            change_of(of, profiles, unit[i], z);
            for (int64_t j = 0; j < of->k; j++)
                d[j] -= z[j];
        }
        add_unit(of, x, d, sums);
    }
    tess_free(unit);
    return found;
}

/* map = (X'X + penalty)^-1 X'D, (k, n_features); 0 if there is no solution. */
static int solve(const struct tess_interactions *of, const struct sums *sums, double penalty,
                 double *map)
{
    int f = tess_int(of->n_features), k = tess_int(of->k), info;
    double *gram = TESS_NEW(double, FEATURES *FEATURES);

    memcpy(gram, sums->gram, (size_t)(f * f) * sizeof *gram);
    memcpy(map, sums->between, (size_t)(f * k) * sizeof *map);
    for (int i = 0; i < f; i++)
        gram[i * f + i] += penalty;
    dposv_("L", &f, &k, gram, &f, map, &f, &info, 1); /* the upper half by rows is its lower one */
    tess_free(gram);
    return info == 0;
}

/* The squared error of a map: |D|² - 2 tr(W'X'D) + tr(W'X'X W). */
static double error_of(const struct tess_interactions *of, const struct sums *sums,
                       const double *map)
{
    int64_t f = of->n_features;
    double error = sums->square;

    for (int64_t c = 0; c < of->k; c++)
        for (int64_t i = 0; i < f; i++) {
            double w = map[c * f + i], row = sums->gram[i * f + i] * w / 2;

            for (int64_t j = i + 1; j < f; j++)
                row += sums->gram[i * f + j] * map[c * f + j];
            error += 2 * w * (row - sums->between[c * f + i]);
        }
    return error;
}

/* Of the folds, each predicted from the others; infinite if one cannot be. */
static double left_out(const struct tess_interactions *of, const struct sums *fold,
                       const struct sums *all, double penalty)
{
    struct sums *others = TESS_NEW(struct sums, 1);
    double *map = TESS_NEW(double, FEATURES *K), error = 0;

    for (int i = 0; i < FOLDS; i++) {
        *others = *all;
        add_sums(others, &fold[i], -1);
        error += solve(of, others, penalty, map) ? error_of(of, &fold[i], map) : INFINITY;
    }
    tess_free(others);
    tess_free(map);
    return error;
}

/* The map of the best penalty: 1, or 0 if sums alone are as good. */
static int fit(struct tess_interactions *of, const struct sums *fold)
{
    struct sums *all = TESS_NEW(struct sums, 1);
    double trace = 0, best, chosen = INFINITY;
    int64_t f = of->n_features;
    int found;

    for (int i = 0; i < FOLDS; i++)
        add_sums(all, &fold[i], 1);
    for (int64_t i = 0; i < f; i++)
        trace += all->gram[i * f + i];
    best = all->square;
    for (int i = 0; i < PENALTIES && trace > 0; i++) {
        double penalty = trace / (double)f * pow(10, -4 + 0.5 * i);
        double error = left_out(of, fold, all, penalty);

        if (error < best) {
            best = error;
            chosen = penalty;
        }
    }
    found = isfinite(chosen) && solve(of, all, chosen, of->map);
    tess_free(all);
    return found;
}

/* The control of each context, and how large changes of single components are; as long as there is
 * one. */
static int find_scale(struct tess_interactions *of, const struct tess_learn *learn,
                      double *const *control)
{
    const struct tess_profiles *profiles = learn->profiles;
    const struct tess_index *index = &profiles->store->index;
    double square = 0, n = 0, z[K];

    for (int64_t c = 0; c < profiles->n_contexts; c++)
        for (int64_t i = 0; control[c] && i < tess_profiles_width(profiles, c); i++) {
            double change = control[c][i] - learn->mean[c][i];
            int64_t r = profiles->readout[profiles->readout_first[c] + i];

            for (int64_t j = 0; j < of->k && !isnan(change); j++)
                of->zero[c * of->k + j] += change * of->linear->readout[r * of->k + j];
        }
    for (int64_t u = 0; u < profiles->n_units; u++) {
        const int64_t *first = index->combination_first + profiles->combination[u];

        if (!tess_profiles_trains(profiles, u) || first[1] - first[0] != 1)
            continue;
        change_of(of, profiles, u, z);
        for (int64_t j = 0; j < of->k; j++)
            square += z[j] * z[j];
        n++;
    }
    of->scale = n > 0 ? sqrt(square / n) : 0;
    return of->scale > 0;
}

/* Enough combinations to learn from? All ranks see the same index. */
static int is_enough(const struct tess_profiles *profiles)
{
    int64_t n = 0;

    for (int64_t p = 0; p < profiles->store->index.n_combinations && n < LEAST; p++)
        n += add_combination(NULL, profiles, p, NULL);
    return n >= LEAST;
}

/* Rank 0 learns, all have the same bits. Combinations are dealt out to the folds in turn. */
static int learn_map(struct tess_interactions *of, const struct tess_learn *learn)
{
    struct sums *fold = TESS_NEW(struct sums, FOLDS);
    int64_t n = 0, n_combinations = learn->profiles->store->index.n_combinations;
    int rank, found = 0;

    MPI_Comm_rank(learn->comm, &rank);
    for (int64_t p = 0; rank == 0 && p < n_combinations; p++)
        n += add_combination(of, learn->profiles, p, &fold[n % FOLDS]);
    if (rank == 0)
        found = fit(of, fold);
    MPI_Bcast(&found, 1, MPI_INT, 0, learn->comm);
    tess_broadcast(learn->comm, of->map, (size_t)(of->n_features * of->k) * sizeof *of->map);
    tess_free(fold);
    return found;
}

struct tess_interactions *tess_interactions_init(const struct tess_learn *learn,
                                                 double *const *control,
                                                 const struct tess_linear *linear)
{
    int64_t k = linear->k, n_features = k * (k + 1) / 2 + k;
    struct tess_interactions *of;

    if (!is_enough(learn->profiles))
        return NULL;
    of = TESS_NEW(struct tess_interactions, 1);
    *of = (struct tess_interactions){.linear = linear, .k = k, .n_features = n_features};
    of->zero = TESS_NEW(double, learn->profiles->n_contexts *k);
    of->map = TESS_NEW(double, n_features *k);
    if (find_scale(of, learn, control) && learn_map(of, learn))
        return of;
    tess_interactions_release(of);
    return NULL;
}

double tess_interactions_bytes(const struct tess_profiles *profiles)
{
    return (double)((FOLDS + 3) * sizeof(struct sums)) +
           8.0 * K * (FEATURES + (double)profiles->n_contexts);
}

void tess_interactions_release(struct tess_interactions *interactions)
{
    if (!interactions)
        return;
    tess_free(interactions->zero);
    tess_free(interactions->map);
    tess_free(interactions);
}

void tess_interactions_predict(const struct tess_interactions *interactions,
                               const struct tess_profiles *profiles, int64_t n, const int64_t *unit,
                               double *z)
{
    int64_t f = interactions->n_features;
    double x[FEATURES];

    features_of(interactions, profiles, n, unit, x);
    for (int64_t j = 0; j < interactions->k; j++) {
        z[j] = 0;
        for (int64_t i = 0; i < f; i++)
            z[j] += x[i] * interactions->map[j * f + i];
    }
}
