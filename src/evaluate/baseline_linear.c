/* baseline_linear.c -- readout factors G and perturbation factors P from PCA of the training
 * changes, and W between them by ridge regression: change(context c, p) = G W_c P_p
 * (Ahlmann-Eltze, Huber, Anders 2025).
 *
 * G are the K leading right singular vectors of all training changes (they are centred by context
 * already). P of a perturbation, as context c sees it, is the mean of its changes in the *other*
 * contexts, in those factors: so held-out and trained perturbations are described alike. As G is
 * orthonormal, the normal equations of a context need nothing but K numbers a unit:
 * W_c = (Z'P)(P'P + ridge)^-1 with Z the context's own changes in the factors. */
#include "tessera/baseline_linear.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* LAPACK's own symbols, with the hidden lengths of character arguments. */
void dsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a,
             const int *lda, const double *vl, const double *vu, const int *il, const int *iu,
             const double *abstol, int *m, double *w, double *z, const int *ldz, int *isuppz,
             double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t l1,
             size_t l2, size_t l3);
void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work,
             const int *lwork, int *info);
void dorgqr_(const int *m, const int *n, const int *k, double *a, const int *lda, const double *tau,
             double *work, const int *lwork, int *info);
void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda, double *b,
            const int *ldb, int *info, size_t l1);

/* Up to so many readouts the factors are exact; beyond, a random subspace of SKETCH columns is
 * sharpened ROUNDS times (Halko, Martinsson, Tropp 2011). */
#define EXACT  3000
#define SKETCH 64
#define ROUNDS 6

/* The changes of a context's training units, (units, n_readouts), zero where not measured. */
static double *changes_of(struct tess_profiles *profiles, double *const *mean, int64_t context,
                          int64_t *n_units, int64_t **unit, struct tess_error *error)
{
    const int64_t *readout = profiles->readout + profiles->readout_first[context];
    int64_t first = profiles->context_first[context], end = profiles->context_first[context + 1];
    int64_t n = profiles->store->index.readout.n;
    const float *value = tess_profiles_read(profiles, context, error);
    double *x;

    *n_units = 0;
    *unit = TESS_NEW(int64_t, end - first);
    for (int64_t u = first; value && u < end; u++)
        if (tess_profiles_trains(profiles, u))
            (*unit)[(*n_units)++] = u;
    x = tess_alloc_large((size_t)*n_units * (size_t)n, sizeof *x, "a context's changes", error);
    for (int64_t k = 0; x && k < *n_units; k++)
        for (int64_t i = 0; i < tess_profiles_width(profiles, context); i++) {
            double change = tess_profiles_change(profiles, mean, context, value, (*unit)[k], i);

            x[k * n + readout[i]] = isnan(change) ? 0 : change;
        }
    return x;
}

/* out = A q with A = sum of X'X over the contexts, which is never made: X'(X q), a context at a
 * time and always in their order. q, out (n, columns) row-major. */
static int apply(struct tess_profiles *profiles, double *const *mean, int64_t columns,
                 const double *q, double *out, struct tess_error *error)
{
    int n = tess_int(profiles->store->index.readout.n), l = tess_int(columns);

    memset(out, 0, (size_t)n * (size_t)l * sizeof *out);
    for (int64_t c = 0; c < profiles->n_contexts && error->code == TESS_OK; c++) {
        int64_t n_units, *unit;
        double *x = changes_of(profiles, mean, c, &n_units, &unit, error);
        double *xq = tess_alloc_large((size_t)n_units * (size_t)l, sizeof *xq,
                                      "the linear baseline's products", error);
        int m = tess_int(n_units);

        if (x && xq && m > 0) {
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, l, n, 1, x, n, q, l, 0, xq,
                        l);
            cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, l, m, 1, x, n, xq, l, 1, out,
                        l);
        }
        tess_free(x);
        tess_free(xq);
        tess_free(unit);
    }
    return error->code;
}

/* Orthonormal columns spanning those of q, (n, l) row-major. */
static int orthonormalize(int n, int l, double *q, struct tess_error *error)
{
    double *a = TESS_NEW(double, (size_t)n *(size_t)l), *tau = TESS_NEW(double, l);
    int room = 64 * l, info, again;
    double *work = TESS_NEW(double, room);

    for (int i = 0; i < n; i++)
        for (int j = 0; j < l; j++)
            a[i + (size_t)j * (size_t)n] = q[(size_t)i * (size_t)l + (size_t)j];
    dgeqrf_(&n, &l, a, &n, tau, work, &room, &info);
    dorgqr_(&n, &l, &l, a, &n, tau, work, &room, &again);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < l; j++)
            q[(size_t)i * (size_t)l + (size_t)j] = a[i + (size_t)j * (size_t)n];
    if (info != 0 || again != 0)
        tess_error_set(error, TESS_EOS, "the linear baseline: LAPACK's QR failed (info %d, %d)",
                       info, again);
    tess_free(a);
    tess_free(tau);
    tess_free(work);
    return error->code;
}

/* The k leading eigenvectors of the symmetric t (l, l), destroyed: vector (k, l), one a row. LAPACK
 * numbers eigenvalues upwards: the largest are the last. The first call asks for room only. */
static int leading(int l, int k, double *t, double *vector, struct tess_error *error)
{
    int first = l - k + 1, found = 0, info, work_room = -1, iwork_room = -1, iwork_size, *iwork;
    int *support = TESS_NEW(int, 2 * l);
    double zero = 0, *value = TESS_NEW(double, l), work_size, *work;

    dsyevr_("V", "I", "U", &l, t, &l, &zero, &zero, &first, &l, &zero, &found, value, vector, &l,
            support, &work_size, &work_room, &iwork_size, &iwork_room, &info, 1, 1, 1);
    work_room = (int)work_size;
    iwork_room = iwork_size;
    work = TESS_NEW(double, work_room);
    iwork = TESS_NEW(int, iwork_room);
    dsyevr_("V", "I", "U", &l, t, &l, &zero, &zero, &first, &l, &zero, &found, value, vector, &l,
            support, work, &work_room, iwork, &iwork_room, &info, 1, 1, 1);
    if (info != 0 || found != k)
        tess_error_set(error, TESS_EOS,
                       "the linear baseline: LAPACK found %d of %d eigenvectors (info %d)", found,
                       k, info);
    tess_free(support);
    tess_free(value);
    tess_free(work);
    tess_free(iwork);
    return error->code;
}

/* An orthonormal basis for the leading factors: all of the space, or a sharpened random part. */
static double *start_basis(struct tess_profiles *profiles, double *const *mean, int64_t columns,
                           struct tess_error *error)
{
    int64_t n = profiles->store->index.readout.n;
    /* No seed: the baseline is the same in every evaluation of a store. */
    struct tess_random stream = tess_random_stream(0, TESS_RANDOM_SKETCH, 0);
    double *q = tess_alloc_large((size_t)(n * columns), sizeof *q, "the linear baseline", error);
    double *next;

    if (columns == n) {
        for (int64_t i = 0; q && i < n; i++)
            q[i * n + i] = 1;
        return q;
    }
    next = tess_alloc_large((size_t)(n * columns), sizeof *next, "the linear baseline", error);
    for (int64_t i = 0; q && i < n * columns; i++)
        q[i] = tess_random_normal(stream, (uint64_t)i);
    /* Orthonormalised after each product: else all columns would turn towards the first factor. */
    for (int round = 0; round <= ROUNDS && error->code == TESS_OK; round++) {
        if (round > 0 && apply(profiles, mean, columns, q, next, error) == TESS_OK)
            memcpy(q, next, (size_t)(n * columns) * sizeof *q);
        orthonormalize(tess_int(n), tess_int(columns), q, error);
    }
    tess_free(next);
    return q;
}

/* Rayleigh-Ritz: the leading eigenvectors of A within the basis. */
static int find_readout_factors(struct tess_linear *linear, struct tess_profiles *profiles,
                                double *const *mean, struct tess_error *error)
{
    int64_t n = profiles->store->index.readout.n, columns = n <= EXACT ? n : SKETCH;
    int l = tess_int(columns), k = tess_int(linear->k);
    double *q = start_basis(profiles, mean, columns, error);
    double *aq = tess_alloc_large((size_t)(n * columns), sizeof *aq, "the linear baseline", error);
    double *t = TESS_NEW(double, columns *columns), *vector = TESS_NEW(double, k *columns);

    if (error->code == TESS_OK && apply(profiles, mean, columns, q, aq, error) == TESS_OK) {
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, l, l, tess_int(n), 1, q, l, aq, l, 0,
                    t, l);
        if (leading(l, k, t, vector, error) == TESS_OK)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tess_int(n), k, l, 1, q, l, vector,
                        l, 0, linear->readout, k);
    }
    tess_free(q);
    tess_free(aq);
    tess_free(t);
    tess_free(vector);
    return error->code;
}

/* Units that are not trained on stay 0 in linear->unit, and are never asked for. */
static int project_units(struct tess_linear *linear, struct tess_profiles *profiles,
                         double *const *mean, struct tess_error *error)
{
    int n = tess_int(profiles->store->index.readout.n), k = tess_int(linear->k);

    for (int64_t c = 0; c < profiles->n_contexts && error->code == TESS_OK; c++) {
        int64_t n_units, *unit;
        double *x = changes_of(profiles, mean, c, &n_units, &unit, error);
        double *z = TESS_NEW(double, n_units *k);

        if (x && n_units > 0)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tess_int(n_units), k, n, 1, x, n,
                        linear->readout, k, 0, z, k);
        for (int64_t u = 0; u < n_units; u++)
            memcpy(linear->unit + unit[u] * k, z + u * k, (size_t)k * sizeof *z);
        tess_free(x);
        tess_free(z);
        tess_free(unit);
    }
    return error->code;
}

/* One rank's factors for all: no rank can have other bits. */
int tess_linear_init(struct tess_linear *linear, struct tess_profiles *profiles,
                     double *const *mean, MPI_Comm comm, struct tess_error *error)
{
    int64_t n = profiles->store->index.readout.n;
    int rank;

    MPI_Comm_rank(comm, &rank);
    *linear =
        (struct tess_linear){.context = -1, .k = n < TESS_LINEAR_FACTORS ? n : TESS_LINEAR_FACTORS};
    linear->readout = TESS_NEW(double, n * linear->k);
    linear->unit = TESS_NEW(double, profiles->n_units * linear->k);
    linear->between = TESS_NEW(double, linear->k * linear->k);
    if (rank == 0 && find_readout_factors(linear, profiles, mean, error) == TESS_OK)
        project_units(linear, profiles, mean, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    tess_broadcast(comm, linear->readout, (size_t)(n * linear->k) * sizeof(double));
    tess_broadcast(comm, linear->unit, (size_t)(profiles->n_units * linear->k) * sizeof(double));
    return error->code;
}

void tess_linear_release(struct tess_linear *linear)
{
    tess_free(linear->readout);
    tess_free(linear->unit);
    tess_free(linear->between);
    *linear = (struct tess_linear){0};
}

/* P: the mean over the contexts other than `context`; how many there are. */
static int64_t perturbation_factor(const struct tess_linear *linear,
                                   const struct tess_profiles *profiles, int64_t context,
                                   int64_t combination, double *p)
{
    int64_t n = 0;

    memset(p, 0, (size_t)linear->k * sizeof *p);
    for (int64_t d = 0; d < profiles->n_contexts; d++) {
        int64_t u = d == context ? -1 : tess_profiles_find(profiles, d, combination, TESS_TRAIN);

        for (int64_t i = 0; u >= 0 && i < linear->k; i++)
            p[i] += linear->unit[u * linear->k + i];
        n += u >= 0;
    }
    for (int64_t i = 0; n > 0 && i < linear->k; i++)
        p[i] /= (double)n;
    return n;
}

/* Solves (P'P + ridge) W' = P'Z; `between` holds W', column-major. The least ridge keeps the
 * condition below 1e11, whatever units the values have: a smaller one is noise of single precision.
 */
static void fit(struct tess_linear *linear, const struct tess_profiles *profiles, int64_t context)
{
    int k = tess_int(linear->k), info;
    double *gram = TESS_NEW(double, k *k), p[TESS_LINEAR_FACTORS], trace = 0, least;

    memset(linear->between, 0, (size_t)(k * k) * sizeof *linear->between);
    for (int i = 0; i < k; i++)
        gram[i * k + i] = TESS_LINEAR_RIDGE;
    for (int64_t u = profiles->context_first[context]; u < profiles->context_first[context + 1];
         u++) {
        const double *z = linear->unit + u * k;

        if (!tess_profiles_trains(profiles, u) ||
            !perturbation_factor(linear, profiles, context, profiles->combination[u], p))
            continue;
        for (int i = 0; i < k; i++) {
            trace += p[i] * p[i];
            for (int j = 0; j < k; j++) {
                gram[i * k + j] += p[i] * p[j];
                linear->between[j * k + i] += p[i] * z[j];
            }
        }
    }
    least = TESS_LINEAR_LEAST_RIDGE * trace / k;
    for (int i = 0; i < k && least > TESS_LINEAR_RIDGE; i++)
        gram[i * k + i] += least - TESS_LINEAR_RIDGE;
    dposv_("U", &k, &k, gram, &k, linear->between, &k, &info, 1);
    linear->solved = info == 0;
    linear->context = context;
    tess_free(gram);
}

int tess_linear_predict(struct tess_linear *linear, const struct tess_profiles *profiles,
                        int64_t context, int64_t combination, double *change)
{
    const int64_t *readout = profiles->readout + profiles->readout_first[context];
    double p[TESS_LINEAR_FACTORS], z[TESS_LINEAR_FACTORS] = {0};
    int64_t k = linear->k;

    if (linear->context != context)
        fit(linear, profiles, context);
    if (!linear->solved || perturbation_factor(linear, profiles, context, combination, p) == 0) {
        memset(change, 0, (size_t)tess_profiles_width(profiles, context) * sizeof *change);
        return 0;
    }
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < k; i++)
            z[j] += linear->between[j * k + i] * p[i];
    for (int64_t i = 0; i < tess_profiles_width(profiles, context); i++) {
        change[i] = 0;
        for (int64_t j = 0; j < k; j++)
            change[i] += linear->readout[readout[i] * k + j] * z[j];
    }
    return 1;
}
