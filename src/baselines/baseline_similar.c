/* baseline_similar.c -- correlations of the changes of pairs of contexts.
 *
 * What Pearson's r needs of a pair are sums over what both have: n, x, y, xx, yy, xy. Blocks of
 * contexts are taken in turn, and for each of them parts of the combinations are dealt out to the
 * ranks. Two ways lead to the sums. Where most contexts share most perturbations, they are products
 * of matrices (contexts, perturbations × readouts) of changes, of their squares and of what is
 * measured. Where they share few, each pair that shares a perturbation is visited. */
#include "baseline_similar.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/vectorised.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#define BLOCK   128 /* contexts whose rows are made together */
#define PARTS   12 /* of the combinations, at most */
#define COLUMNS 256 /* of the matrices at a time */
#define LANES   8 /* sums side by side over readouts, so that they are vectors */
#define GAIN    16 /* products make so many sums in the time of one visit */

enum { N, X, Y, XX, YY, XY, SHARED, SUMS };

struct similar {
    const struct tess_learn *learn;
    int64_t n_asked, n_parts;
    const int64_t *asked; /* (n_asked) contexts of the block */
    int64_t *number; /* (n_contexts) of a context in the block, or -1 */
    int dense; /* by products? */
};

/* One combination's changes: rows of the contexts that have it. */
struct changes {
    int64_t n, n_readouts; /* rows, and their length: padded with NaN to whole lanes */
    const int32_t *context; /* (n) */
    double *value; /* (n, n_readouts) */
    int64_t room;
    float *row; /* (readouts) */
};

static int read_changes(struct changes *changes, const struct tess_learn *learn,
                        int64_t combination, struct tess_error *error)
{
    struct tess_profiles *profiles = learn->profiles;
    int64_t first = profiles->trained_first[combination];

    changes->n = profiles->trained_first[combination + 1] - first;
    changes->context = profiles->trained_in + first;
    if (changes->n > changes->room) {
        tess_free(changes->value);
        changes->room = 2 * changes->n;
        changes->value = TESS_NEW(double, changes->room * changes->n_readouts);
    }
    for (int64_t k = 0; k < changes->n; k++) {
        int64_t c = changes->context[k];
        const int64_t *readout = profiles->readout + profiles->readout_first[c];
        const float *row =
            tess_profiles_row(profiles, profiles->trained[first + k], changes->row, error);
        double *to = changes->value + k * changes->n_readouts;

        for (int64_t r = 0; r < changes->n_readouts; r++)
            to[r] = NAN;
        for (int64_t i = 0; row && i < tess_profiles_width(profiles, c); i++)
            to[readout[i]] = tess_profiles_change(learn->mean, c, row, i);
    }
    return error->code;
}

static void changes_init(struct changes *changes, const struct tess_learn *learn)
{
    int64_t n = learn->profiles->store->index.readout.n;

    *changes = (struct changes){.n_readouts = (n + LANES - 1) / LANES * LANES};
    changes->row = TESS_NEW(float, n);
}

static void changes_release(struct changes *changes)
{
    tess_free(changes->value);
    tess_free(changes->row);
}

/* sum += those of two rows of n numbers, n a multiple of LANES. */
VECTORISED static void add_pair(int64_t n, const double *restrict x, const double *restrict y,
                                double sum[SUMS])
{
    double lane[SHARED][LANES] = {{0}};

    for (int64_t i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double a = x[i + l], b = y[i + l], both = a == a && b == b ? 1 : 0;

            a = both > 0 ? a : 0;
            b = both > 0 ? b : 0;
            lane[N][l] += both;
            lane[X][l] += a;
            lane[Y][l] += b;
            lane[XX][l] += a * a;
            lane[YY][l] += b * b;
            lane[XY][l] += a * b;
        }
    for (int s = 0; s < SHARED; s++)
        for (int l = 0; l < LANES; l++)
            sum[s] += lane[s][l];
}

/* The i-th and the j-th context of those that have the combination, the i-th of which is asked for.
 * out (SUMS, asked, n_contexts). Of two that are both asked for one is found from the other. */
static void visit_pair(const struct similar *similar, const struct changes *changes, int64_t i,
                       int64_t j, double *out)
{
    static const int swapped[SUMS] = {N, Y, X, YY, XX, XY, SHARED};
    int64_t n = similar->learn->profiles->n_contexts, size = similar->n_asked * n;
    int64_t a = similar->number[changes->context[i]], b = similar->number[changes->context[j]];
    int64_t at = a * n + changes->context[j], mirrored = b * n + changes->context[i];
    double sum[SUMS] = {[SHARED] = 1};

    if (i == j || (b >= 0 && j < i))
        return;
    add_pair(changes->n_readouts, changes->value + i * changes->n_readouts,
             changes->value + j * changes->n_readouts, sum);
    for (int s = 0; s < SUMS; s++) {
        out[s * size + at] += sum[s];
        if (b >= 0)
            out[s * size + mirrored] += sum[swapped[s]];
    }
}

static void visit_pairs(const struct similar *similar, const struct changes *changes, double *out)
{
    for (int64_t i = 0; i < changes->n; i++)
        for (int64_t j = 0; similar->number[changes->context[i]] >= 0 && j < changes->n; j++)
            visit_pair(similar, changes, i, j, out);
}

/* Columns are pairs of a perturbation and a readout, zero where nothing is measured. */
struct matrices {
    int64_t n_contexts, n_asked, columns, units;
    double *there, *x, *xx; /* (COLUMNS, n_contexts) is there a value, it, its square */
    double *unit; /* (COLUMNS, n_contexts) is the perturbation trained on: a column each */
    const int64_t *asked; /* (n_asked) borrowed */
    double *some; /* (COLUMNS, n_asked) room for their columns of one of these */
};

static void matrices_init(struct matrices *matrices, const struct similar *similar)
{
    int64_t n = similar->learn->profiles->n_contexts;

    *matrices =
        (struct matrices){.n_contexts = n, .n_asked = similar->n_asked, .asked = similar->asked};
    matrices->there = TESS_NEW(double, COLUMNS *n);
    matrices->x = TESS_NEW(double, COLUMNS *n);
    matrices->xx = TESS_NEW(double, COLUMNS *n);
    matrices->unit = TESS_NEW(double, COLUMNS *n);
    matrices->some = TESS_NEW(double, COLUMNS *BLOCK);
}

static void matrices_release(struct matrices *matrices)
{
    tess_free(matrices->there);
    tess_free(matrices->x);
    tess_free(matrices->xx);
    tess_free(matrices->unit);
    tess_free(matrices->some);
}

/* out (asked, n_contexts) += the asked contexts of a times all of b. */
static void multiply(const struct matrices *matrices, int64_t columns, const double *a,
                     const double *b, double *out)
{
    int m = tess_int(matrices->n_asked), n = tess_int(matrices->n_contexts);

    for (int64_t k = 0; k < columns; k++)
        for (int64_t i = 0; i < m; i++)
            matrices->some[k * m + i] = a[k * n + matrices->asked[i]];
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, tess_int(columns), 1, matrices->some,
                m, b, n, 1, out, n);
}

static void multiply_all(struct matrices *matrices, double *out)
{
    int64_t size = matrices->n_asked * matrices->n_contexts, n = matrices->columns;
    const double *there = matrices->there, *x = matrices->x, *xx = matrices->xx;
    size_t used = (size_t)(n * matrices->n_contexts) * sizeof(double);

    multiply(matrices, n, there, there, out + N * size);
    multiply(matrices, n, x, there, out + X * size);
    multiply(matrices, n, there, x, out + Y * size);
    multiply(matrices, n, xx, there, out + XX * size);
    multiply(matrices, n, there, xx, out + YY * size);
    multiply(matrices, n, x, x, out + XY * size);
    multiply(matrices, matrices->units, matrices->unit, matrices->unit, out + SHARED * size);
    memset(matrices->there, 0, used);
    memset(matrices->x, 0, used);
    memset(matrices->xx, 0, used);
    memset(matrices->unit, 0, (size_t)(matrices->units * matrices->n_contexts) * sizeof(double));
    matrices->columns = matrices->units = 0;
}

static void fill_column(struct matrices *matrices, const struct changes *changes, int64_t readout)
{
    int64_t at = matrices->columns++ * matrices->n_contexts;

    for (int64_t k = 0; k < changes->n; k++) {
        double x = changes->value[k * changes->n_readouts + readout];

        if (isnan(x))
            continue;
        matrices->there[at + changes->context[k]] = 1;
        matrices->x[at + changes->context[k]] = x;
        matrices->xx[at + changes->context[k]] = x * x;
    }
}

/* A combination that two contexts have, one of which is asked for. */
static int is_shared(const struct similar *similar, int64_t combination)
{
    const struct tess_profiles *profiles = similar->learn->profiles;
    int64_t first = profiles->trained_first[combination];
    int64_t end = profiles->trained_first[combination + 1];

    for (int64_t i = first; i < end && end - first > 1; i++)
        if (similar->number[profiles->trained_in[i]] >= 0)
            return 1;
    return 0;
}

static void take_combination(const struct similar *similar, const struct changes *changes,
                             struct matrices *matrices, double *out)
{
    int64_t n_readouts = similar->learn->profiles->store->index.readout.n;

    if (!similar->dense) {
        visit_pairs(similar, changes, out);
        return;
    }
    if (matrices->units == COLUMNS)
        multiply_all(matrices, out);
    for (int64_t r = 0; r < n_readouts; r++) {
        if (matrices->columns == COLUMNS)
            multiply_all(matrices, out);
        fill_column(matrices, changes, r);
    }
    for (int64_t k = 0; k < changes->n; k++)
        matrices->unit[matrices->units * matrices->n_contexts + changes->context[k]] = 1;
    matrices->units++;
}

static int sum_part(void *closure, int64_t part, double *out, struct tess_error *error)
{
    const struct similar *similar = closure;
    int64_t n = similar->learn->profiles->store->index.n_combinations;
    struct matrices matrices = {0};
    struct changes changes;

    changes_init(&changes, similar->learn);
    if (similar->dense)
        matrices_init(&matrices, similar);
    for (int64_t p = n * part / similar->n_parts;
         p < n * (part + 1) / similar->n_parts && error->code == TESS_OK; p++) {
        if (similar->learn->stopped && similar->learn->stopped())
            tess_error_set(error, TESS_EINTERRUPTED, "stopped by a signal");
        else if (is_shared(similar, p) &&
                 read_changes(&changes, similar->learn, p, error) == TESS_OK)
            take_combination(similar, &changes, &matrices, out);
    }
    if (similar->dense && error->code == TESS_OK)
        multiply_all(&matrices, out);
    matrices_release(&matrices);
    changes_release(&changes);
    return error->code;
}

static void place_part(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct similar *similar = closure;

    (void)part;
    *first = 0;
    *n = SUMS * similar->n_asked * similar->learn->profiles->n_contexts;
}

/* Changes have a mean near zero, so that one pass is enough. */
static double correlate(const double *sum, int64_t stride)
{
    double n = sum[N * stride], x = sum[X * stride], y = sum[Y * stride];
    double xx = sum[XX * stride] - x * x / n, yy = sum[YY * stride] - y * y / n;

    if (sum[SHARED * stride] < 3 || n < 1 || xx <= 1e-14 * sum[XX * stride] ||
        yy <= 1e-14 * sum[YY * stride])
        return -1;
    return (sum[XY * stride] - x * y / n) / sqrt(xx * yy);
}

/* Are there so many pairs of contexts with a common perturbation that products are faster? */
static int is_dense(const struct tess_profiles *profiles)
{
    int64_t n = profiles->store->index.n_combinations;
    double pairs = 0, used = 0;

    for (int64_t p = 0; p < n; p++) {
        double m = (double)(profiles->trained_first[p + 1] - profiles->trained_first[p]);

        pairs += m * (m - 1) / 2;
        used += m > 1;
    }
    return profiles->store->index.readout.n < LANES &&
           GAIN * pairs > used * (double)profiles->n_contexts * (double)profiles->n_contexts;
}

static int find_block(struct tess_similar *out, struct similar *similar, struct tess_error *error)
{
    const struct tess_learn *learn = similar->learn;
    int64_t n = learn->profiles->n_contexts, size = similar->n_asked * n;
    double *sum = TESS_NEW(double, SUMS *size);
    struct tess_parts parts = {learn->comm, similar->n_parts, similar, place_part, sum_part};

    for (int64_t i = 0; i < similar->n_asked; i++)
        similar->number[similar->asked[i]] = i;
    if (tess_parts_sum(&parts, SUMS * size, sum, error) == TESS_OK)
        for (int64_t at = 0; at < size; at++)
            out->r[out->number[similar->asked[at / n]] * n + at % n] = correlate(sum + at, size);
    for (int64_t i = 0; i < similar->n_asked; i++)
        similar->number[similar->asked[i]] = -1;
    tess_free(sum);
    return error->code;
}

int tess_similar_init(struct tess_similar *similar, const struct tess_learn *learn,
                      const uint8_t *asked, struct tess_error *error)
{
    int64_t n = learn->profiles->n_contexts, n_asked = 0, *context = TESS_NEW(int64_t, n);
    struct similar blocks = {.learn = learn, .dense = is_dense(learn->profiles)};

    *similar = (struct tess_similar){.number = TESS_NEW(int64_t, n)};
    blocks.n_parts = tess_profiles_n_parts(learn->profiles);
    blocks.n_parts = blocks.n_parts < PARTS ? blocks.n_parts : PARTS;
    blocks.number = TESS_NEW(int64_t, n);
    for (int64_t c = 0; c < n; c++) {
        blocks.number[c] = -1;
        similar->number[c] = asked[c] ? n_asked : -1;
        if (asked[c])
            context[n_asked++] = c;
    }
    similar->r = TESS_NEW(double, n_asked *n);
    for (int64_t first = 0; first < n_asked && error->code == TESS_OK; first += BLOCK) {
        blocks.asked = context + first;
        blocks.n_asked = n_asked - first < BLOCK ? n_asked - first : BLOCK;
        find_block(similar, &blocks, error);
    }
    tess_free(context);
    tess_free(blocks.number);
    return error->code;
}

void tess_similar_release(struct tess_similar *similar)
{
    tess_free(similar->number);
    tess_free(similar->r);
    *similar = (struct tess_similar){0};
}
