/* inverse_sparse.c -- a path of penalties, from none of the edges to many; at each of them whole
 * fits of all effects but a fifth, by different ranks, and one of all. */
#include "tessera/inverse.h"

#include "slabs.h"
#include "penalized.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/random.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PENALTIES   20
#define LAST        0.01 /* of the first one */
#define FOLDS       10
#define TURNS       100
#define ENOUGH      1e-4
#define LAST_TURNS  2000 /* of the fit that is kept */
#define LAST_ENOUGH 1e-8
#define AS_GOOD     1.02 /* errors beside the least one: more edges are then taken */
#define HIDDEN      0.2 /* of the effects, in a fold */

struct path {
    struct tess_slabs slabs;
    int64_t n; /* genes that are perturbed and read out */
    double *effect; /* (m, n) of all genes on those; own */
    double *r, *w; /* (n, n) own */
    struct tess_penalized fit[FOLDS + 1]; /* the last one of all effects; others' are empty */
    uint8_t *hidden[FOLDS];
    double *room, *best; /* best (3, n, n): U, V and multipliers; own */
    double least, penalty, rho;
    int n_worse; /* penalties running that predict worse */
};

static int is_mine(const struct path *path, int fold)
{
    return fold % path->slabs.n_ranks == path->slabs.rank;
}

/* All ranks' parts of (n_genes, n) to all. */
static void gather(const struct path *path, int64_t n_genes, const int64_t *gene,
                   const double *value, double *out)
{
    const struct tess_totals *totals = path->slabs.totals;

    memset(out, 0, (size_t)(n_genes * path->n) * sizeof *out);
    for (int64_t i = 0; i < n_genes; i++)
        for (int64_t k = 0; k < path->n; k++) {
            int64_t j = path->slabs.same[k] - totals->first;

            if (j >= 0 && j < totals->n)
                out[i * path->n + k] = value[(gene ? gene[i] : i) * totals->n + j];
        }
    for (int64_t i = 0; i < n_genes; i++)
        MPI_Allreduce(MPI_IN_PLACE, out + i * path->n, tess_int(path->n), MPI_DOUBLE, MPI_SUM,
                      totals->comm);
}

static int init(struct path *path, const double *weight, struct tess_error *error)
{
    const struct tess_totals *totals = path->slabs.totals;
    int64_t n = path->n;
    size_t size = (size_t)(n * n);

    path->effect = tess_alloc_large((size_t)(totals->m * n), sizeof(double), "effects", error);
    path->r = tess_alloc_large((5 + TESS_PENALIZED_ROOM) * size, sizeof(double), "effects", error);
    path->w = path->r + size;
    path->best = path->w + size;
    path->room = path->best + 3 * size;
    for (int f = 0; f <= FOLDS; f++) {
        path->fit[f] = (struct tess_penalized){.n = n, .r = path->r, .w = path->w};
        if (!is_mine(path, f))
            continue;
        tess_penalized_init(&path->fit[f], error);
        if (f < FOLDS)
            path->fit[f].hidden = path->hidden[f] =
                tess_alloc_large(size, 1, "the effects that are hidden", error);
    }
    if (tess_agree(totals->comm, error) != TESS_OK)
        return error->code;
    gather(path, totals->m, NULL, totals->value, path->effect);
    gather(path, n, path->slabs.read, totals->value, path->r);
    gather(path, n, path->slabs.read, weight, path->w);
    for (int64_t i = 0; i < n; i++)
        path->r[i * n + i] = path->w[i * n + i] = 1;
    for (int f = 0; f < FOLDS; f++)
        for (int64_t at = 0; path->hidden[f] && at < n * n; at++)
            path->hidden[f][at] =
                at / n != at % n &&
                tess_random_uniform(tess_random_stream(0, TESS_RANDOM_HIDE, (uint64_t)f),
                                    (uint64_t)at) < HIDDEN;
    return TESS_OK;
}

/* The penalty from which on there is no edge. */
static double first_penalty(const struct path *path)
{
    double most = 0;

    for (int64_t at = 0; at < path->n * path->n; at++)
        if (at / path->n != at % path->n)
            most = fmax(most, fabs(path->w[at] * path->r[at]));
    return most;
}

/* Of the effects that a fold hides: what is wrong in V^-1, for which U stands. */
static double wrong_of(const struct path *path, int fold)
{
    const struct tess_penalized *fit = &path->fit[fold];
    double sum = 0;

    for (int64_t at = 0; at < path->n * path->n; at++)
        if (path->hidden[fold][at]) {
            double x = path->r[at] - fit->u[at];

            sum += path->w[at] * x * x;
        }
    return sum;
}

static int64_t count_edges(const struct path *path, const double *v)
{
    int64_t n_edges = 0;

    for (int64_t at = 0; at < path->n * path->n; at++)
        n_edges += at / path->n != at % path->n && v[at] != 0;
    return n_edges;
}

/* Fits by all ranks with this penalty; kept if the hidden effects are predicted as well as ever:
 * a direct effect that is hidden cannot be predicted, so that the error hardly falls with edges. */
static void try_penalty(struct path *path, double penalty)
{
    MPI_Comm comm = path->slabs.totals->comm;
    double found[3] = {0, 0, 0}; /* wrong, edges, turns */

    for (int f = 0; f <= FOLDS; f++)
        if (is_mine(path, f)) {
            tess_penalized_fit(&path->fit[f], penalty, TURNS, ENOUGH, path->room);
            found[0] += f < FOLDS ? wrong_of(path, f) : 0;
            found[1] += f < FOLDS ? 0 : (double)count_edges(path, path->fit[f].v);
            found[2] = fmax(found[2], (double)path->fit[f].n_turns);
        }
    MPI_Allreduce(MPI_IN_PLACE, found, 2, MPI_DOUBLE, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, found + 2, 1, MPI_DOUBLE, MPI_MAX, comm);
    tess_debug("penalty %.8g: %.0f edges, %.6g of the hidden effects is wrong, %.0f turns", penalty,
               found[1], found[0], found[2]);
    path->n_worse++;
    if (!(found[0] <= AS_GOOD * path->least))
        return;
    path->n_worse = 0;
    path->least = fmin(found[0], path->least);
    path->penalty = penalty;
    path->rho = path->fit[FOLDS].rho;
    if (is_mine(path, FOLDS))
        memcpy(path->best, path->fit[FOLDS].u, (size_t)(3 * path->n * path->n) * sizeof(double));
}

/* The best fit of all effects, in earnest; V is then had by all, in `best`. */
static void finish(struct path *path)
{
    struct tess_penalized *fit = &path->fit[FOLDS];
    int64_t n = path->n;

    if (is_mine(path, FOLDS)) {
        memcpy(fit->u, path->best, (size_t)(3 * n * n) * sizeof(double));
        fit->rho = path->rho;
        tess_penalized_fit(fit, path->penalty, LAST_TURNS, LAST_ENOUGH, path->room);
        memcpy(path->best, fit->v, (size_t)(n * n) * sizeof(double));
    }
    for (int64_t i = 0; i < n; i++)
        MPI_Bcast(path->best + i * n, tess_int(n), MPI_DOUBLE, FOLDS % path->slabs.n_ranks,
                  path->slabs.totals->comm);
}

/* Readouts that nobody perturbed: V R. `best` still is V. */
static void spread(const struct path *path)
{
    const struct tess_totals *totals = path->slabs.totals;
    int64_t n = path->n, width = totals->n;
    double *column = TESS_NEW(double, n), *out = TESS_NEW(double, n);

    for (int64_t k = 0; k < path->slabs.n_other; k++) {
        int64_t j = path->slabs.other[k] - totals->first;

        if (j < 0 || j >= width)
            continue;
        for (int64_t i = 0; i < n; i++)
            column[i] = totals->value[path->slabs.read[i] * width + j];
        cblas_dgemv(CblasRowMajor, CblasNoTrans, tess_int(n), tess_int(n), 1, path->best,
                    tess_int(n), column, 1, 0, out, 1);
        for (int64_t i = 0; i < n; i++)
            totals->value[path->slabs.read[i] * width + j] = out[i];
    }
    tess_free(column);
    tess_free(out);
}

static void put_genes(const struct path *path)
{
    const struct tess_totals *totals = path->slabs.totals;
    int64_t n = path->n;

    for (int64_t k = 0; k < n; k++) {
        int64_t j = path->slabs.same[k] - totals->first;

        for (int64_t i = 0; i < n && j >= 0 && j < totals->n; i++)
            totals->value[path->slabs.read[i] * totals->n + j] =
                i == k ? 0 : -path->best[i * n + k] / path->best[k * n + k];
    }
}

/* What the genes above do not explain of those that are not read out. */
static void explain(const struct path *path)
{
    const struct tess_totals *totals = path->slabs.totals;
    int64_t n = path->n, width = totals->n;

    for (int64_t u = 0; u < path->slabs.n_unread; u++) {
        int64_t gene = path->slabs.unread[u];

        for (int64_t i = 0; i < n; i++)
            cblas_daxpy(tess_int(width), -path->effect[gene * n + i],
                        totals->value + path->slabs.read[i] * width, 1,
                        totals->value + gene * width, 1);
    }
}

static int solve(struct path *path, const double *weight, struct tess_error *error)
{
    double first;

    if (init(path, weight, error) != TESS_OK)
        return error->code;
    first = first_penalty(path);
    for (int k = 0; k < PENALTIES && first > 0 && path->n_worse < 2; k++)
        try_penalty(path, first * pow(LAST, (double)k / (PENALTIES - 1)));
    if (!isfinite(path->least))
        return tess_error_set(error, TESS_EDATA,
                              "%s: no effect of a gene on another is known: there is nothing to "
                              "invert",
                              path->slabs.totals->path);
    finish(path);
    tess_info("%" PRId64 " genes are perturbed and read out; penalty %.8g: %" PRId64 " edges",
              path->n, path->penalty, count_edges(path, path->best));
    spread(path);
    put_genes(path);
    explain(path);
    return TESS_OK;
}

int tess_inverse_sparse(struct tess_totals *totals, const double *weight, struct tess_error *error)
{
    struct path path = {.least = INFINITY};

    tess_slabs_init(&path.slabs, totals);
    path.n = path.slabs.n_read;
    if (path.n < 2)
        tess_error_set(error, TESS_EDATA,
                       "%s: %" PRId64 " of the perturbed genes are read out: direct effects need "
                       "at least 2 of them; use --method effect",
                       totals->path, path.n);
    else
        solve(&path, weight, error);
    for (int f = 0; f <= FOLDS; f++)
        tess_penalized_release(&path.fit[f]);
    for (int f = 0; f < FOLDS; f++)
        tess_free(path.hidden[f]);
    tess_free(path.effect);
    tess_free(path.r);
    tess_slabs_release(&path.slabs);
    return error->code;
}

double tess_inverse_sparse_bytes(int64_t genes, int n_ranks)
{
    int fits = (FOLDS + n_ranks) / n_ranks; /* of FOLDS + 1, rounded up */

    return 8 * (double)genes * (double)genes * (6 + TESS_PENALIZED_ROOM + fits * 3.125);
}
