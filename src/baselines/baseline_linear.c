/* baseline_linear.c -- readout factors G and perturbation factors P from PCA of the training
 * changes, and W between them by ridge regression: change(context c, p) = G W_c P_p
 * (Ahlmann-Eltze, Huber, Anders 2025).
 *
 * G are the K leading right singular vectors of all training changes (they are centred by context
 * already). P of a perturbation, as context c sees it, is the mean of its changes in the *other*
 * contexts, in those factors: so held-out and trained perturbations are described alike. As G is
 * orthonormal, the normal equations of a context need nothing but K numbers a unit:
 * W_c = (Z'P)(P'P + ridge)^-1 with Z the context's own changes in the factors. */
#include "baseline_linear.h"

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

/* One sum over all training units, shared out to the ranks. */
struct pass {
    struct tess_linear *linear;
    const struct tess_learn *learn;
    int64_t columns;
    const double *q; /* (n_readouts, columns), or NULL: the identity */
    double *out;
    int64_t first; /* unit that out begins with */
};

static int64_t n_readouts(const struct tess_learn *learn)
{
    return learn->profiles->store->index.readout.n;
}

/* The changes of some units of a context but control, (rows, n_readouts), zero where not measured.
 */
static double *changes_of(const struct tess_learn *learn, const struct tess_profile_rows *rows,
                          struct tess_error *error)
{
    const struct tess_profiles *profiles = learn->profiles;
    const int64_t *readout = profiles->readout + profiles->readout_first[rows->context];
    int64_t n = n_readouts(learn), width = tess_profiles_width(profiles, rows->context);
    double *x = tess_alloc_large((size_t)rows->n * (size_t)n, sizeof *x, "changes", error);

    for (int64_t k = 0; x && k < rows->n; k++)
        for (int64_t i = 0; i < width && tess_profiles_trains(profiles, rows->unit[k]); i++) {
            double change =
                tess_profiles_change(learn->mean, rows->context, rows->value + k * width, i);

            x[k * n + readout[i]] = isnan(change) ? 0 : change;
        }
    if (x && learn->stopped && learn->stopped())
        tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
    return x;
}

/* out += X'(X q), (n_readouts, columns) row-major; X'X if there is no q (its upper half). */
static int take_product(void *closure, const struct tess_profile_rows *rows,
                        struct tess_error *error)
{
    const struct pass *pass = closure;
    int n = tess_int(n_readouts(pass->learn)), l = tess_int(pass->columns), m = tess_int(rows->n);
    double *x = changes_of(pass->learn, rows, error), *xq;

    if (x && !pass->q)
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, n, m, 1, x, n, 1, pass->out, n);
    else if (x) {
        xq = TESS_NEW(double, (int64_t)m *l);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, l, n, 1, x, n, pass->q, l, 0, xq,
                    l);
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, l, m, 1, x, n, xq, l, 1, pass->out,
                    l);
        tess_free(xq);
    }
    tess_free(x);
    return error->code;
}

static int sum_products(void *closure, int64_t part, double *out, struct tess_error *error)
{
    struct pass pass = *(const struct pass *)closure;
    struct tess_profile_visitor visitor = {&pass, n_readouts(pass.learn), take_product};

    pass.out = out;
    return tess_profiles_scan(pass.learn->profiles, part, &visitor, error);
}

static void place_products(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct pass *pass = closure;

    (void)part;
    *first = 0;
    *n = n_readouts(pass->learn) * pass->columns;
}

/* out = A q with A = sum of X'X over all training units, which is never made if there is a q. */
static int apply(const struct tess_learn *learn, int64_t columns, const double *q, double *out,
                 struct tess_error *error)
{
    struct pass pass = {.learn = learn, .columns = columns, .q = q};
    struct tess_parts parts = {learn->comm, tess_profiles_n_parts(learn->profiles), &pass,
                               place_products, sum_products};

    memset(out, 0, (size_t)(n_readouts(learn) * columns) * sizeof *out);
    return tess_parts_sum(&parts, n_readouts(learn) * columns, out, error);
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

/* The k leading eigenvectors of the symmetric t (l, l), of which the lower
 * half by columns is read and all destroyed: vector (k, l), one a row. LAPACK
 * numbers eigenvalues upwards: the largest are the last. The first call asks for room only. */
static int leading(int l, int k, double *t, double *vector, struct tess_error *error)
{
    int first = l - k + 1, found = 0, info, work_room = -1, iwork_room = -1, iwork_size, *iwork;
    int *support = TESS_NEW(int, 2 * l);
    double zero = 0, *value = TESS_NEW(double, l), work_size, *work;

    dsyevr_("V", "I", "L", &l, t, &l, &zero, &zero, &first, &l, &zero, &found, value, vector, &l,
            support, &work_size, &work_room, &iwork_size, &iwork_room, &info, 1, 1, 1);
    work_room = (int)work_size;
    iwork_room = iwork_size;
    work = TESS_NEW(double, work_room);
    iwork = TESS_NEW(int, iwork_room);
    dsyevr_("V", "I", "L", &l, t, &l, &zero, &zero, &first, &l, &zero, &found, value, vector, &l,
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

/* Up to EXACT readouts: A is made, and its leading eigenvectors are the factors. */
static int find_exactly(struct tess_linear *linear, const struct tess_learn *learn,
                        struct tess_error *error)
{
    int64_t n = n_readouts(learn), k = linear->k;
    double *a = TESS_NEW(double, n *n), *vector = TESS_NEW(double, k *n);

    /* LAPACK counts columns first: the upper half by rows is the lower one by columns. */
    if (apply(learn, n, NULL, a, error) == TESS_OK &&
        leading(tess_int(n), tess_int(k), a, vector, error) == TESS_OK)
        for (int64_t i = 0; i < n * k; i++)
            linear->readout[i] = vector[i % k * n + i / k];
    tess_free(a);
    tess_free(vector);
    return tess_agree(learn->comm, error);
}

/* An orthonormal basis for the leading factors: a sharpened random part of the space. */
static int find_basis(const struct tess_learn *learn, double *q, struct tess_error *error)
{
    int64_t n = n_readouts(learn);
    /* No seed: the baseline is the same in every evaluation of a store. */
    struct tess_random stream = tess_random_stream(0, TESS_RANDOM_SKETCH, 0);
    double *next = TESS_NEW(double, n *SKETCH);

    for (int64_t i = 0; i < n * SKETCH; i++)
        q[i] = tess_random_normal(stream, (uint64_t)i);
    /* Orthonormalised after each product: else all columns would turn towards the first factor. */
    for (int round = 0; round <= ROUNDS && error->code == TESS_OK; round++) {
        if (round > 0 && apply(learn, SKETCH, q, next, error) == TESS_OK)
            memcpy(q, next, (size_t)(n * SKETCH) * sizeof *q);
        if (error->code == TESS_OK)
            orthonormalize(tess_int(n), SKETCH, q, error);
        tess_agree(learn->comm, error);
    }
    tess_free(next);
    return error->code;
}

/* Rayleigh-Ritz: the leading eigenvectors of A within the basis. */
static int find_in_basis(struct tess_linear *linear, const struct tess_learn *learn,
                         struct tess_error *error)
{
    int64_t n = n_readouts(learn);
    int k = tess_int(linear->k);
    double *q = TESS_NEW(double, n *SKETCH), *aq = TESS_NEW(double, n *SKETCH);
    double *t = TESS_NEW(double, SKETCH *SKETCH), *vector = TESS_NEW(double, k *SKETCH);

    if (find_basis(learn, q, error) == TESS_OK && apply(learn, SKETCH, q, aq, error) == TESS_OK) {
        cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, SKETCH, SKETCH, tess_int(n), 1, q,
                    SKETCH, aq, SKETCH, 0, t, SKETCH);
        if (leading(SKETCH, k, t, vector, error) == TESS_OK)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tess_int(n), k, SKETCH, 1, q,
                        SKETCH, vector, SKETCH, 0, linear->readout, k);
    }
    tess_free(q);
    tess_free(aq);
    tess_free(t);
    tess_free(vector);
    return tess_agree(learn->comm, error);
}

static int take_factors(void *closure, const struct tess_profile_rows *rows,
                        struct tess_error *error)
{
    const struct pass *pass = closure;
    int n = tess_int(n_readouts(pass->learn)), k = tess_int(pass->linear->k);
    double *x = changes_of(pass->learn, rows, error), *z = TESS_NEW(double, rows->n *k);

    if (x)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tess_int(rows->n), k, n, 1, x, n,
                    pass->linear->readout, k, 0, z, k);
    for (int64_t u = 0; u < rows->n; u++)
        memcpy(pass->out + (rows->unit[u] - pass->first) * k, z + u * k, (size_t)k * sizeof *z);
    tess_free(x);
    tess_free(z);
    return error->code;
}

static void place_factors(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct pass *pass = closure;
    int64_t begin = tess_profiles_part(pass->learn->profiles, part);

    *first = begin * pass->linear->k;
    *n = tess_profiles_part(pass->learn->profiles, part + 1) * pass->linear->k - *first;
}

static int compute_factors(void *closure, int64_t part, double *out, struct tess_error *error)
{
    struct pass pass = *(const struct pass *)closure;
    struct tess_profile_visitor visitor = {&pass, n_readouts(pass.learn), take_factors};

    pass.out = out;
    pass.first = tess_profiles_part(pass.learn->profiles, part);
    return tess_profiles_scan(pass.learn->profiles, part, &visitor, error);
}

/* Units that are not trained on stay 0 in linear->unit, and are never asked for. */
static int project_units(struct tess_linear *linear, const struct tess_learn *learn,
                         struct tess_error *error)
{
    struct pass pass = {.linear = linear, .learn = learn};
    struct tess_parts parts = {learn->comm, tess_profiles_n_parts(learn->profiles), &pass,
                               place_factors, compute_factors};

    return tess_parts_sum(&parts, learn->profiles->n_units * linear->k, linear->unit, error);
}

/* P of a combination, seen from each of its contexts: the mean of the others, the sum of those
 * before plus the sum of those after, so that nothing is taken away again. */
static void average_elsewhere(struct tess_linear *linear, int64_t n, const int64_t *unit,
                              double *all)
{
    double sum[TESS_LINEAR_FACTORS] = {0};
    int64_t k = linear->k;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            linear->elsewhere[unit[i] * k + j] = sum[j];
            sum[j] += linear->unit[unit[i] * k + j];
        }
    for (int64_t j = 0; n > 0 && j < k; j++)
        all[j] = sum[j] / (double)n;
    memset(sum, 0, sizeof sum);
    for (int64_t i = n; i-- > 0;)
        for (int64_t j = 0; n > 1 && j < k; j++) {
            double *p = &linear->elsewhere[unit[i] * k + j];

            *p = (*p + sum[j]) / (double)(n - 1);
            sum[j] += linear->unit[unit[i] * k + j];
        }
}

static int64_t n_trained(const struct tess_profiles *profiles, int64_t combination)
{
    return profiles->trained_first[combination + 1] - profiles->trained_first[combination];
}

/* Solves (P'P + ridge) W' = P'Z; `between` holds W', column-major. The least ridge keeps the
 * condition below 1e11, whatever units the values have: a smaller one is noise of single precision.
 */
static void fit(struct tess_linear *linear, const struct tess_profiles *profiles, int64_t context)
{
    int k = tess_int(linear->k), info;
    double gram[TESS_LINEAR_FACTORS * TESS_LINEAR_FACTORS] = {0}, trace = 0, least;
    double *between = linear->between + context * k * k;

    for (int i = 0; i < k; i++)
        gram[i * k + i] = TESS_LINEAR_RIDGE;
    for (int64_t u = profiles->context_first[context]; u < profiles->context_first[context + 1];
         u++) {
        const double *z = linear->unit + u * k, *p = linear->elsewhere + u * k;

        if (!tess_profiles_trains(profiles, u) || n_trained(profiles, profiles->combination[u]) < 2)
            continue;
        for (int i = 0; i < k; i++) {
            trace += p[i] * p[i];
            for (int j = 0; j < k; j++) {
                gram[i * k + j] += p[i] * p[j];
                between[j * k + i] += p[i] * z[j];
            }
        }
    }
    least = TESS_LINEAR_LEAST_RIDGE * trace / k;
    for (int i = 0; i < k && least > TESS_LINEAR_RIDGE; i++)
        gram[i * k + i] += least - TESS_LINEAR_RIDGE;
    dposv_("U", &k, &k, gram, &k, between, &k, &info, 1);
    linear->solved[context] = info == 0;
}

double tess_linear_bytes(const struct tess_profiles *profiles)
{
    double readouts = (double)profiles->store->index.readout.n, k = TESS_LINEAR_FACTORS;

    return 8 * k *
               (2 * (double)profiles->n_units + (double)profiles->store->index.n_combinations +
                k * (double)profiles->n_contexts) +
           8 * readouts * (k + 4 * SKETCH);
}

int tess_linear_init(struct tess_linear *linear, const struct tess_learn *learn,
                     struct tess_error *error)
{
    const struct tess_profiles *profiles = learn->profiles;
    int64_t n = n_readouts(learn), n_combinations = profiles->store->index.n_combinations, k;

    *linear = (struct tess_linear){.k = n < TESS_LINEAR_FACTORS ? n : TESS_LINEAR_FACTORS};
    k = linear->k;
    linear->readout = TESS_NEW(double, n *k);
    linear->unit = TESS_NEW(double, profiles->n_units *k);
    linear->elsewhere = TESS_NEW(double, profiles->n_units *k);
    linear->everywhere = TESS_NEW(double, n_combinations *k);
    linear->between = TESS_NEW(double, profiles->n_contexts *k *k);
    linear->solved = TESS_NEW(uint8_t, profiles->n_contexts);
    if ((n <= EXACT ? find_exactly(linear, learn, error) : find_in_basis(linear, learn, error)) !=
        TESS_OK)
        return error->code;
    /* One rank's factors for all: no rank can have other bits. */
    tess_broadcast(learn->comm, linear->readout, (size_t)(n * k) * sizeof(double));
    if (project_units(linear, learn, error) != TESS_OK)
        return error->code;
    for (int64_t p = 0; p < n_combinations; p++)
        average_elsewhere(linear, n_trained(profiles, p),
                          profiles->trained + profiles->trained_first[p],
                          linear->everywhere + p * k);
    for (int64_t c = 0; c < profiles->n_contexts; c++)
        fit(linear, profiles, c);
    return TESS_OK;
}

void tess_linear_release(struct tess_linear *linear)
{
    tess_free(linear->readout);
    tess_free(linear->unit);
    tess_free(linear->elsewhere);
    tess_free(linear->everywhere);
    tess_free(linear->between);
    tess_free(linear->solved);
    *linear = (struct tess_linear){0};
}

int tess_linear_predict(const struct tess_linear *linear, const struct tess_profiles *profiles,
                        int64_t context, int64_t combination, double *z)
{
    int64_t k = linear->k, n = combination < 0 ? 0 : n_trained(profiles, combination);
    int64_t own =
        combination < 0 ? -1 : tess_profiles_find(profiles, context, combination, TESS_TRAIN);
    const double *between = linear->between + context * k * k;
    const double *p = own >= 0 ? linear->elsewhere + own * k : linear->everywhere + combination * k;

    memset(z, 0, (size_t)k * sizeof *z);
    if (!linear->solved[context] || n == 0 || (own >= 0 && n == 1))
        return 0;
    for (int64_t j = 0; j < k; j++)
        for (int64_t i = 0; i < k; i++)
            z[j] += between[j * k + i] * p[i];
    return 1;
}
