/* penalized.c -- the objective is that of inspre (Brown et al. 2023, bioRxiv 2023.10.13.562293);
 * rho is balanced as Boyd et al. 2011 say (section 3.4.1). */
#include "penalized.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define FIRST_RHO 100
#define CG_TURNS  10
#define SWEEPS    3
#define UNBALANCE 10
#define BALANCE   1.5

int tess_penalized_init(struct tess_penalized *problem, struct tess_error *error)
{
    int64_t n = problem->n, size = n * n;

    problem->u = tess_alloc_large((size_t)(3 * size), sizeof(double), "a sparse inverse", error);
    if (!problem->u)
        return error->code;
    problem->v = problem->u + size;
    problem->y = problem->v + size;
    problem->rho = FIRST_RHO;
    for (int64_t i = 0; i < n; i++)
        problem->u[i * n + i] = problem->v[i * n + i] = 1;
    return TESS_OK;
}

void tess_penalized_release(struct tess_penalized *problem)
{
    tess_free(problem->u);
    problem->u = problem->v = problem->y = NULL;
}

static void multiply(int64_t n, int turn_a, int turn_b, const double *a, const double *b,
                     double *out)
{
    int size = tess_int(n);

    cblas_dgemm(CblasRowMajor, turn_a ? CblasTrans : CblasNoTrans,
                turn_b ? CblasTrans : CblasNoTrans, size, size, size, 1, a, size, b, size, 0, out,
                size);
}

static double weight_at(const struct tess_penalized *problem, int64_t at)
{
    return problem->hidden && problem->hidden[at] ? 0 : problem->w[at];
}

/* 1 - Y. */
static void aim(const struct tess_penalized *problem, double *out)
{
    for (int64_t i = 0; i < problem->n; i++)
        for (int64_t j = 0; j < problem->n; j++)
            out[i * problem->n + j] = (i == j) - problem->y[i * problem->n + j];
}

/* ---- U: (diag(w_c) + rho V'V) u_c = w_c r_c + rho V'(1 - Y)_c, all columns c at once ---- */

struct cg {
    double *a, *rest, *direction, *image, *extra; /* (n, n) */
    double *dot, *bend, *next; /* (n) of each column */
    double rho;
};

/* out = rest / diagonal, its dot products with rest into dot. */
static void precondition(const struct tess_penalized *problem, const struct cg *cg, double *out,
                         double *dot)
{
    int64_t n = problem->n;

    memset(dot, 0, (size_t)n * sizeof *dot);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < n; c++) {
            int64_t at = i * n + c;

            out[at] = cg->rest[at] / (weight_at(problem, at) + cg->a[i * n + i]);
            dot[c] += out[at] * cg->rest[at];
        }
}

static double cg_begin(struct tess_penalized *problem, struct cg *cg)
{
    int64_t n = problem->n;
    double size = 0;

    multiply(n, 1, 0, problem->v, problem->v, cg->a);
    cblas_dscal(tess_int(n * n), cg->rho, cg->a, 1);
    aim(problem, cg->extra);
    multiply(n, 1, 0, problem->v, cg->extra, cg->rest);
    multiply(n, 0, 0, cg->a, problem->u, cg->image);
    for (int64_t at = 0; at < n * n; at++) {
        double w = weight_at(problem, at), right = w * problem->r[at] + cg->rho * cg->rest[at];

        size += right * right;
        cg->rest[at] = right - w * problem->u[at] - cg->image[at];
    }
    precondition(problem, cg, cg->direction, cg->dot);
    return size;
}

/* One step of each column; what is left, squared. */
static double cg_step(struct tess_penalized *problem, struct cg *cg)
{
    int64_t n = problem->n;
    double left = 0;

    multiply(n, 0, 0, cg->a, cg->direction, cg->image);
    memset(cg->bend, 0, (size_t)n * sizeof *cg->bend);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < n; c++) {
            int64_t at = i * n + c;

            cg->image[at] += weight_at(problem, at) * cg->direction[at];
            cg->bend[c] += cg->image[at] * cg->direction[at];
        }
    for (int64_t c = 0; c < n; c++)
        cg->bend[c] = cg->bend[c] > 0 ? cg->dot[c] / cg->bend[c] : 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < n; c++) {
            int64_t at = i * n + c;

            problem->u[at] += cg->bend[c] * cg->direction[at];
            cg->rest[at] -= cg->bend[c] * cg->image[at];
            left += cg->rest[at] * cg->rest[at];
        }
    precondition(problem, cg, cg->extra, cg->next);
    for (int64_t c = 0; c < n; c++) {
        cg->bend[c] = cg->dot[c] > 0 ? cg->next[c] / cg->dot[c] : 0;
        cg->dot[c] = cg->next[c];
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < n; c++)
            cg->direction[i * n + c] =
                cg->extra[i * n + c] + cg->bend[c] * cg->direction[i * n + c];
    return left;
}

static void solve_u(struct tess_penalized *problem, double *room)
{
    int64_t n = problem->n, size = n * n;
    struct cg cg = {.a = room,
                    .rest = room + size,
                    .direction = room + 2 * size,
                    .image = room + 3 * size,
                    .extra = room + 4 * size,
                    .dot = TESS_NEW(double, n),
                    .bend = TESS_NEW(double, n),
                    .next = TESS_NEW(double, n),
                    .rho = problem->rho};
    double whole = cg_begin(problem, &cg);

    for (int turn = 0; turn < CG_TURNS; turn++)
        if (cg_step(problem, &cg) <= 1e-20 * whole)
            break;
    tess_free(cg.dot);
    tess_free(cg.bend);
    tess_free(cg.next);
}

/* ---- V: least of lambda |v| + rho / 2 |v U - aim|^2, row by row ---- */

/* One sweep over row i; `rest` (n) is aim U' - v U U' of it. */
static void sweep(struct tess_penalized *problem, int64_t i, const double *gram, double threshold,
                  double *rest)
{
    int64_t n = problem->n;
    double *v = problem->v + i * n;

    for (int64_t k = 0; k < n; k++) {
        double d = gram[k * n + k], x = rest[k] + v[k] * d, change;

        if (k != i)
            x = x > threshold ? x - threshold : x < -threshold ? x + threshold : 0;
        change = d > 0 ? x / d - v[k] : 0;
        if (change != 0) {
            v[k] += change;
            cblas_daxpy(tess_int(n), -change, gram + k * n, 1, rest, 1);
        }
    }
}

/* How far it moved, squared. */
static double solve_v(struct tess_penalized *problem, double lambda, double *room)
{
    int64_t n = problem->n, size = n * n;
    double *gram = room, *wanted = room + size, *right = room + 2 * size, *image = room + 3 * size;
    double *old = room + 4 * size, moved = 0;

    memcpy(old, problem->v, (size_t)size * sizeof *old);
    multiply(n, 0, 1, problem->u, problem->u, gram);
    aim(problem, wanted);
    multiply(n, 0, 1, wanted, problem->u, right);
    multiply(n, 0, 0, problem->v, gram, image);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < n; k++)
            right[i * n + k] -= image[i * n + k];
        for (int k = 0; k < SWEEPS; k++)
            sweep(problem, i, gram, lambda / problem->rho, right + i * n);
    }
    for (int64_t at = 0; at < size; at++)
        moved += (problem->v[at] - old[at]) * (problem->v[at] - old[at]);
    return moved;
}

/* ---- all together ---- */

static void balance(struct tess_penalized *problem, double gap, double moved)
{
    double factor = gap > UNBALANCE * moved ? BALANCE : moved > UNBALANCE * gap ? 1 / BALANCE : 1;

    problem->rho *= factor;
    if (factor != 1)
        cblas_dscal(tess_int(problem->n * problem->n), 1 / factor, problem->y, 1);
}

void tess_penalized_fit(struct tess_penalized *problem, double lambda, int64_t most, double enough,
                        double *room)
{
    int64_t n = problem->n;

    for (problem->n_turns = 1; problem->n_turns <= most; problem->n_turns++) {
        double gap = 0, moved;

        solve_u(problem, room);
        moved = sqrt(solve_v(problem, lambda, room)) / (double)n;
        multiply(n, 0, 0, problem->v, problem->u, room);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                double x = room[i * n + j] - (i == j);

                problem->y[i * n + j] += x;
                gap += x * x;
            }
        gap = sqrt(gap) / (double)n;
        if (gap < enough && moved < enough)
            break;
        balance(problem, gap, moved);
    }
}
