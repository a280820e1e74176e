/* feature_axes.c -- principal axes by the eigenvectors of products of columns, or of rows,
 * whichever are fewer. */
#include "feature_axes.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>

/* LAPACK's own symbol, with the hidden lengths of character arguments. */
void dsyevr_(const char *jobz, const char *range, const char *uplo, const int *n, double *a,
             const int *lda, const double *vl, const double *vu, const int *il, const int *iu,
             const double *abstol, int *m, double *w, double *z, const int *ldz, int *isuppz,
             double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t l1,
             size_t l2, size_t l3);

#define NOTHING 1e-10 /* of the largest eigenvalue */

/* The k leading eigenvectors of the symmetric a (n, n), destroyed: vector (k, n), value (k), the
 * smallest of them first. */
static int leading(int n, int k, double *a, double *value, double *vector, struct tess_error *error)
{
    int first = n - k + 1, found = 0, info, work_room = -1, iwork_room = -1, iwork_size, *iwork;
    int *support = TESS_NEW(int, 2 * (int64_t)n);
    double zero = 0, *all = TESS_NEW(double, n), work_size, *work;

    dsyevr_("V", "I", "L", &n, a, &n, &zero, &zero, &first, &n, &zero, &found, all, vector, &n,
            support, &work_size, &work_room, &iwork_size, &iwork_room, &info, 1, 1, 1);
    work_room = (int)work_size;
    iwork_room = iwork_size;
    work = TESS_NEW(double, work_room);
    iwork = TESS_NEW(int, iwork_room);
    dsyevr_("V", "I", "L", &n, a, &n, &zero, &zero, &first, &n, &zero, &found, all, vector, &n,
            support, work, &work_room, iwork, &iwork_room, &info, 1, 1, 1);
    if (info != 0 || found != k)
        tess_error_set(error, TESS_EOS, "features: LAPACK's eigenvectors failed (info %d)", info);
    for (int i = 0; i < k; i++)
        value[i] = fmax(all[i], 0);
    tess_free(support);
    tess_free(all);
    tess_free(work);
    tess_free(iwork);
    return error->code;
}

/* Coordinate j of all rows, out (m, axes), to its sign and scale. */
static void settle(int64_t m, int64_t axes, int64_t j, double scale, double *out)
{
    double most = 0;

    for (int64_t i = 0; i < m; i++)
        if (fabs(out[i * axes + j]) > fabs(most))
            most = out[i * axes + j];
    for (int64_t i = 0; i < m; i++)
        out[i * axes + j] *= most < 0 ? -scale : scale;
}

int tess_feature_axes(const struct tess_feature_matrix *matrix, int64_t axes, double *out,
                      struct tess_error *error)
{
    int64_t m = matrix->m, columns = matrix->columns;
    const double *x = matrix->x;
    int by_rows = m <= columns, n = tess_int(by_rows ? m : columns), wide = tess_int(columns);
    int k = tess_int(axes < n ? axes : n);
    double *gram, *vector, *value = TESS_NEW(double, k), total = 0;

    if (n > TESS_FEATURE_AXES_MOST) {
        tess_free(value);
        return tess_error_set(error, TESS_EDATA,
                              "%s: %" PRId64 " symbols with %" PRId64
                              " features: of one of both there may be at most %d: give fewer "
                              "features, such as leading principal components",
                              matrix->path, m, columns, TESS_FEATURE_AXES_MOST);
    }
    gram = tess_alloc_large((size_t)n * (size_t)n, sizeof *gram, "products of features", error);
    vector = tess_alloc_large((size_t)n * (size_t)k, sizeof *vector, "axes of features", error);
    if (error->code == TESS_OK) {
        cblas_dsyrk(CblasRowMajor, CblasUpper, by_rows ? CblasNoTrans : CblasTrans, n,
                    by_rows ? wide : tess_int(m), 1, x, wide, 0, gram, n);
        for (int i = 0; i < n; i++)
            total += gram[(size_t)i * (size_t)n + (size_t)i];
        leading(n, k, gram, value, vector, error);
    }
    for (int64_t j = 0; j < k && error->code == TESS_OK; j++) {
        const double *axis = vector + (k - 1 - j) * n;

        if (value[k - 1 - j] <=
            NOTHING * value[k - 1]) { /* beyond the rank there is rounding alone */
            for (int64_t i = 0; i < m; i++)
                out[i * axes + j] = 0;
            continue;
        }

        for (int64_t i = 0; i < m; i++)
            out[i * axes + j] = by_rows ? axis[i] * sqrt(value[k - 1 - j])
                                        : cblas_ddot(wide, x + i * columns, 1, axis, 1);
        settle(m, axes, j, sqrt((double)m / total), out);
    }
    tess_free(gram);
    tess_free(vector);
    tess_free(value);
    return error->code;
}
