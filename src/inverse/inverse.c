/* inverse.c -- direct effects by inverting total ones.
 *
 * Without row i of S = R + ridge (nothing is known of what perturbing i does: its row is that of
 * the unit matrix) the inverse changes by one product of a column and a row, and what is left of
 * R_ij beside all paths over other genes is
 *
 *     e_ij = V_ij / (V_ii V_jj - V_ij V_ji),  V = S^-1
 *
 * (but for the sign): the off-diagonal of the inverse of V's 2 × 2 block. The ridge with the least
 * sum of squares is taken. All matrices here are transposed, as slabs.h says. */
#include "tessera/inverse.h"

#include "slabs.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <inttypes.h>
#include <math.h>

static const double ridge[] = {0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10};
enum { N_RIDGES = sizeof ridge / sizeof ridge[0], NO_RIDGE = -1 };

struct direct {
    struct tess_slabs slabs;
    struct tess_grid grid;
    struct tess_matrix total; /* S' */
    struct tess_matrix inverse; /* V' */
    struct tess_matrix room; /* V, while ridges are compared */
    double *diagonal; /* (n_read) of V; own */
    double added; /* to the diagonal of `total` by now */
    int made; /* the ridge that `inverse` belongs to */
};

static void add_ridge(struct direct *direct, double x)
{
    struct tess_matrix *total = &direct->total;

    for (int64_t j = 0; j < total->local_columns; j++)
        for (int64_t i = 0; i < total->local_rows; i++)
            if (tess_matrix_row(total, i) == tess_matrix_column(total, j))
                total->value[i + j * total->local_rows] = 1 + x;
    direct->added = x;
}

static int invert(struct direct *direct, int k, struct tess_inversion *about,
                  struct tess_error *error)
{
    add_ridge(direct, ridge[k]);
    direct->made = k;
    if (tess_matrix_invert(&direct->total, &direct->inverse, about, error) != TESS_OK)
        return error->code;
    tess_debug("ridge %g: inverted by %s in %.2f s, %.2f Gflop/s, %.0f %% of the rate of the "
               "product that checks it (%.2f Gflop/s); residual %.1e%s",
               ridge[k], about->by_qr ? "QR" : "LU", about->seconds, about->rate / 1e9,
               100 * about->rate / about->product_rate, about->product_rate / 1e9, about->residual,
               about->usable ? "" : ": not usable");
    return TESS_OK;
}

/* Sum of squares of what is left of all effects. */
static double left_of(struct direct *direct)
{
    const struct tess_matrix *v = &direct->inverse, *turned = &direct->room;
    const double *d = direct->diagonal;
    double sum = 0;

    tess_matrix_diagonal(v, direct->diagonal);
    tess_matrix_transpose(v, &direct->room);
    for (int64_t b = 0; b < v->local_columns; b++)
        for (int64_t a = 0; a < v->local_rows; a++) {
            int64_t at = a + b * v->local_rows, i = tess_matrix_row(v, a),
                    j = tess_matrix_column(v, b);
            double left = v->value[at] / (d[i] * d[j] - v->value[at] * turned->value[at]);

            sum += i == j ? 0 : left * left;
        }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, v->grid->comm);
    return sum;
}

/* The best, whose inverse is then there; one without an inverse is none. */
static int choose_ridge(struct direct *direct, struct tess_inversion *about,
                        struct tess_error *error)
{
    double least = INFINITY;
    int best = NO_RIDGE;

    for (int k = 0; k < N_RIDGES; k++) {
        double left;

        if (invert(direct, k, about, error) != TESS_OK)
            return error->code;
        left = about->usable ? left_of(direct) : INFINITY;
        tess_debug("ridge %g: %.6g is left of the effects", ridge[k], left);
        if (left < least) {
            least = left;
            best = k;
        }
    }
    if (best == NO_RIDGE)
        return tess_error_set(error, TESS_EDATA,
                              "%s: the effects have no inverse, whatever is added to their "
                              "diagonal: use --method evidence",
                              direct->slabs.totals->path);
    return best == direct->made ? TESS_OK : invert(direct, best, about, error);
}

/* B' of genes into `total`: -V_kj / V_jj. */
static void normalise(struct direct *direct)
{
    struct tess_matrix *b = &direct->total;

    tess_matrix_diagonal(&direct->inverse, direct->diagonal);
    for (int64_t k = 0; k < b->local_columns; k++)
        for (int64_t j = 0; j < b->local_rows; j++) {
            int64_t at = j + k * b->local_rows, row = tess_matrix_row(b, j);

            b->value[at] = row == tess_matrix_column(b, k)
                               ? 0
                               : -direct->inverse.value[at] / direct->diagonal[row];
        }
}

/* rest' -= B' R', of genes that are not read out. */
static int explain(const struct direct *direct, const struct tess_slab *part,
                   const struct tess_matrix *b, struct tess_error *error)
{
    const struct tess_slabs *slabs = &direct->slabs;
    const struct tess_slab on_genes = {slabs->n_read, slabs->n_unread, slabs->same, slabs->unread};
    const struct tess_slab rest = {part->n_rows, slabs->n_unread, part->readout, slabs->unread};
    struct tess_matrix effect, left;

    tess_matrix_init(&effect, &direct->grid, on_genes.n_rows, on_genes.n_columns,
                     "effects on genes", error);
    if (tess_matrix_init(&left, &direct->grid, rest.n_rows, rest.n_columns, "effects", error) ==
            TESS_OK &&
        tess_slabs_load(slabs, &on_genes, &effect, error) == TESS_OK &&
        tess_slabs_load(slabs, &rest, &left, error) == TESS_OK) {
        tess_matrix_multiply(b, &effect, -1, &left); /* minus what is to be left */
        for (int64_t k = 0; k < left.local_rows * left.local_columns; k++)
            left.value[k] = -left.value[k];
        tess_slabs_store(slabs, &rest, &left, error);
    }
    tess_matrix_release(&effect);
    tess_matrix_release(&left);
    return error->code;
}

/* Readouts that nobody perturbed: B' = R' V'. Then what is not read out; genes come last, as their
 * own effects are still needed. */
static int spread(struct direct *direct, struct tess_error *error)
{
    const struct tess_slabs *slabs = &direct->slabs;
    const struct tess_slab square = {slabs->n_read, slabs->n_read, slabs->same, slabs->read};
    const struct tess_slab others = {slabs->n_other, slabs->n_read, slabs->other, slabs->read};
    struct tess_matrix total = {.value = NULL}, b = {.value = NULL};

    if (slabs->n_other > 0) {
        tess_matrix_init(&total, &direct->grid, others.n_rows, others.n_columns, "effects", error);
        if (tess_matrix_init(&b, &direct->grid, others.n_rows, others.n_columns, "direct effects",
                             error) == TESS_OK &&
            tess_slabs_load(slabs, &others, &total, error) == TESS_OK) {
            tess_matrix_multiply(&total, &direct->inverse, 0, &b);
            tess_slabs_store(slabs, &others, &b, error);
        }
        if (error->code == TESS_OK && slabs->n_unread > 0)
            explain(direct, &others, &b, error);
        tess_matrix_release(&total);
        tess_matrix_release(&b);
    }
    normalise(direct);
    tess_matrix_release(&direct->inverse);
    if (error->code == TESS_OK && slabs->n_unread > 0)
        explain(direct, &square, &direct->total, error);
    if (error->code == TESS_OK)
        tess_slabs_store(slabs, &square, &direct->total, error);
    return error->code;
}

static int solve(struct direct *direct, struct tess_error *error)
{
    const struct tess_slabs *slabs = &direct->slabs;
    const struct tess_slab square = {slabs->n_read, slabs->n_read, slabs->same, slabs->read};
    int64_t n = slabs->n_read;
    struct tess_inversion about;

    tess_matrix_init(&direct->total, &direct->grid, n, n, "total effects", error);
    tess_matrix_init(&direct->inverse, &direct->grid, n, n, "direct effects", error);
    tess_matrix_init(&direct->room, &direct->grid, n, n, "a transposed inverse", error);
    if (error->code != TESS_OK)
        return error->code;
    if (tess_slabs_load(slabs, &square, &direct->total, error) != TESS_OK ||
        choose_ridge(direct, &about, error) != TESS_OK)
        return error->code;
    tess_info("%" PRId64 " genes are perturbed and read out; ridge %g; inverted by %s in %.2f s, "
              "%.1f Gflop/s, %.0f %% of the product's rate; residual %.1e",
              n, ridge[direct->made], about.by_qr ? "QR" : "LU", about.seconds, about.rate / 1e9,
              100 * about.rate / about.product_rate, about.residual);
    tess_matrix_release(&direct->room); /* effects on their way back need room */
    return spread(direct, error);
}

int tess_inverse_direct(struct tess_totals *totals, struct tess_error *error)
{
    struct direct direct = {.made = NO_RIDGE};

    tess_slabs_init(&direct.slabs, totals);
    if (direct.slabs.n_read < 2)
        tess_error_set(error, TESS_EDATA,
                       "%s: %" PRId64 " of the perturbed genes are read out: direct effects need "
                       "at least 2 of them; use --method effect",
                       totals->path, direct.slabs.n_read);
    else {
        direct.diagonal = TESS_NEW(double, direct.slabs.n_read);
        tess_grid_open(&direct.grid, totals->comm);
        solve(&direct, error);
        tess_matrix_release(&direct.total);
        tess_matrix_release(&direct.inverse);
        tess_matrix_release(&direct.room);
        tess_grid_close(&direct.grid);
        tess_free(direct.diagonal);
    }
    tess_slabs_release(&direct.slabs);
    return error->code;
}

int tess_inverse_fits(int64_t n_read, int64_t n_unread, int64_t n_other, int n_ranks)
{
    return tess_matrix_fits(n_read, n_read, n_ranks) &&
           tess_matrix_fits(n_other, n_read, n_ranks) &&
           tess_matrix_fits(n_read, n_unread, n_ranks) &&
           tess_matrix_fits(n_other, n_unread, n_ranks);
}

/* All matrices of `solve` are there when the first is loaded; the inverse, which takes one more for
 * its check, has no effects on their way. Then as in `spread`, and in `explain`. */
double tess_inverse_bytes(int64_t n_read, int64_t n_unread, int64_t n_other, int n_ranks)
{
    int64_t t = n_read + n_other, most = n_other > n_read ? n_other : n_read;
    double square = tess_matrix_bytes(n_read, n_read, n_ranks);
    double later = square, rest = 0;

    if (n_unread > 0)
        rest = tess_matrix_bytes(n_read, n_unread, n_ranks) +
               tess_matrix_bytes(most, n_unread, n_ranks) +
               tess_slabs_bytes(most, n_unread, t, n_ranks);
    if (n_other > 0) {
        later = 2 * square + 2 * tess_matrix_bytes(n_other, n_read, n_ranks);
        rest = fmax(rest, tess_slabs_bytes(n_other, n_read, t, n_ranks));
    }
    return fmax(3 * square + tess_slabs_bytes(n_read, n_read, t, n_ranks), later + rest);
}

/* The best ridge is inverted again, unless it was the last. */
double tess_inverse_work(int64_t genes)
{
    return (N_RIDGES + 1) * 4 * (double)genes * (double)genes * (double)genes;
}
