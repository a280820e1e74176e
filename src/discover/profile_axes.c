/* profile_axes.c -- profiles are made as they are asked for, from the units that baselines learn
 * from.
 */
#include "profile_axes.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/pca.h"
#include "tessera/rounds.h"
#include "tessera/scalapack.h"
#include "tessera/slices.h"

#include <math.h>
#include <string.h>

#define MOST  10000 /* readouts or profiles: 0.8 GB of products lie on all ranks together, twice */
#define GROUP ((int64_t)1 << 24) /* numbers of a rank, 128 MiB; ScaLAPACK has them as well */

struct source {
    struct tess_measurements *measured;
    int64_t n, *number; /* (n) of the model */
    int64_t n_made; /* profiles, by this rank */
};

/* The mean change of one perturbation: out (readouts), 0 where it was never measured. */
static int make_profile(struct source *source, int64_t i, double *out, float *room,
                        struct tess_error *error)
{
    struct tess_profiles *profiles = &source->measured->profiles;
    int64_t first = 0, units = tess_measurements_units(source->measured, source->number[i], &first);
    int64_t n_readouts = profiles->store->index.readout.n, *n = TESS_NEW(int64_t, n_readouts);

    source->n_made++;
    memset(out, 0, (size_t)n_readouts * sizeof *out);
    for (int64_t u = first; u < first + units && error->code == TESS_OK; u++) {
        int64_t context = profiles->trained_in[u];
        const int64_t *readout = profiles->readout + profiles->readout_first[context];
        const float *row = tess_profiles_row(profiles, profiles->trained[u], room, error);

        for (int64_t j = 0; row && j < tess_profiles_width(profiles, context); j++) {
            double change = tess_profiles_change(source->measured->baselines.mean, context, row, j);

            out[readout[j]] += isnan(change) ? 0 : change;
            n[readout[j]] += !isnan(change);
        }
    }
    for (int64_t j = 0; j < n_readouts; j++)
        out[j] /= (double)(n[j] > 0 ? n[j] : 1);
    tess_free(n);
    return error->code;
}

static int make(void *closure, int64_t first, int64_t n, double *out, struct tess_error *error)
{
    struct source *source = closure;
    int64_t width = source->measured->store.index.readout.n;
    float *room = TESS_NEW(float, width);

    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        make_profile(source, first + i, out + i * width, room, error);
    tess_free(room);
    return error->code;
}

/* Those of the model's perturbations that were trained on alone. */
static void choose(struct source *source, int64_t n)
{
    source->number = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++)
        if (source->measured->combination[i] >= 0)
            source->number[source->n++] = i;
}

static int project(struct tess_profile_axes *measured, struct source *source,
                   const struct tess_pca *pca, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_rounds rounds = tess_rounds_make(comm, source->n, 2 * pca->width, 1);
    double *x = TESS_NEW(double, rounds.size * pca->width);
    double *place = TESS_NEW(double, rounds.size * pca->k);

    for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
        int64_t first, n = tess_rounds_take(&rounds, round, &first);

        if (n == 0 || make(source, first, n, x, error) != TESS_OK)
            continue;
        tess_pca_project(pca, n, x, place);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < pca->k; j++)
                measured->value[source->number[first + i] * pca->k + j] =
                    (float)place[i * pca->k + j];
    }
    if (tess_agree(comm, error) == TESS_OK)
        tess_slices_join(comm, measured->value,
                         (size_t)(measured->n * pca->k) * sizeof *measured->value);
    tess_free(x);
    tess_free(place);
    return error->code;
}

/* ---- fewer profiles than readouts ----
 *
 * The places of n profiles X (n, readouts), each readout less its mean, on the axes of X'X are the
 * eigenvectors of X X' (n, n) times the roots of their eigenvalues. X X' is the sum of what groups
 * of readouts make: as many of them at a time as there is room for on all ranks, as each group
 * needs all profiles.
 */

/* Readouts of a group. */
static int64_t group_of(int64_t n_profiles, int64_t width, int n_ranks)
{
    int64_t most = n_ranks * (GROUP / n_profiles);

    return most < 1 ? 1 : most < width ? most : width;
}

/* A rank's profiles, of n readouts. */
static struct tess_corner corner_of(const struct source *source, const struct tess_grid *grid,
                                    int rank, int64_t n)
{
    int64_t first = tess_slice_first(source->n, rank, grid->n_ranks);

    return (struct tess_corner){
        .row = first,
        .n_rows = tess_slice_first(source->n, rank + 1, grid->n_ranks) - first,
        .n_columns = n,
    };
}

/* Readouts from `first` on of this rank's profiles: block (n_columns, n_rows). */
static int make_block(struct source *source, int64_t first, const struct tess_corner *own,
                      double *block, struct tess_error *error)
{
    int64_t width = source->measured->store.index.readout.n;
    double *profile = TESS_NEW(double, width);
    float *room = TESS_NEW(float, width);

    for (int64_t i = 0; i < own->n_rows && error->code == TESS_OK; i++) {
        make_profile(source, own->row + i, profile, room, error);
        for (int64_t j = 0; j < own->n_columns; j++)
            block[j * own->n_rows + i] = profile[first + j];
    }
    tess_free(profile);
    tess_free(room);
    return error->code;
}

/* Readouts less their means over all ranks' profiles. */
static void centre(const struct source *source, const struct tess_corner *own, MPI_Comm comm,
                   double *block)
{
    double *sum = TESS_NEW(double, own->n_columns);

    for (int64_t j = 0; j < own->n_columns; j++)
        for (int64_t i = 0; i < own->n_rows; i++)
            sum[j] += block[j * own->n_rows + i];
    MPI_Allreduce(MPI_IN_PLACE, sum, tess_int(own->n_columns), MPI_DOUBLE, MPI_SUM, comm);
    for (int64_t j = 0; j < own->n_columns; j++)
        for (int64_t i = 0; i < own->n_rows; i++)
            block[j * own->n_rows + i] -= sum[j] / (double)source->n;
    tess_free(sum);
}

/* What readouts [first, first + n) make of X X'. */
static int add_group(struct source *source, int64_t first, int64_t n, struct tess_matrix *gram,
                     struct tess_error *error)
{
    const struct tess_grid *grid = gram->grid;
    const struct tess_corner own = corner_of(source, grid, grid->rank, n);
    double *block = tess_alloc_large((size_t)(own.n_rows * n), sizeof *block, "profiles", error);
    struct tess_matrix columns = {.value = NULL};

    if (error->code == TESS_OK)
        make_block(source, first, &own, block, error);
    if (tess_agree(grid->comm, error) == TESS_OK &&
        tess_matrix_init(&columns, grid, source->n, n, "profiles", error) == TESS_OK) {
        centre(source, &own, grid->comm, block);
        for (int r = 0; r < grid->n_ranks; r++) {
            const struct tess_corner at = corner_of(source, grid, r, n);

            tess_matrix_put(&columns, r, &at, block);
        }
        tess_matrix_add_gram(gram, &columns);
    }
    tess_matrix_release(&columns);
    tess_free(block);
    return error->code;
}

static int find_across(struct tess_profile_axes *axes, struct source *source,
                       const struct tess_grid *grid, struct tess_error *error)
{
    int64_t n = source->n, width = source->measured->store.index.readout.n, k = axes->k;
    int64_t group = group_of(n, width, grid->n_ranks);
    double *square = TESS_NEW(double, k), *vector = TESS_NEW(double, k *n);
    struct tess_matrix gram;

    tess_matrix_init(&gram, grid, n, n, "products of profiles", error);
    for (int64_t first = 0; first < width && error->code == TESS_OK; first += group)
        add_group(source, first, width - first < group ? width - first : group, &gram, error);
    if (error->code == TESS_OK && tess_matrix_eigen(&gram, k, square, vector, error) == TESS_OK)
        for (int64_t j = 0; j < k; j++)
            for (int64_t i = 0; i < n; i++)
                axes->value[source->number[i] * k + j] =
                    (float)(vector[j * n + i] * sqrt(fmax(square[j], 0)));
    tess_matrix_release(&gram);
    tess_free(square);
    tess_free(vector);
    return error->code;
}

/* ---- both ---- */

/* Covariances make each profile three times: for the mean, the products and the places. */
static int is_across(const struct source *source, int n_ranks)
{
    int64_t n = source->n, width = source->measured->store.index.readout.n;

    return width > MOST || (n < width && 3 * group_of(n, width, n_ranks) >= width);
}

/* Components of all readouts, or of the profiles among each other where these are fewer. */
static int find_places(struct tess_profile_axes *axes, struct source *source, MPI_Comm comm,
                       struct tess_error *error)
{
    const struct tess_pca_rows rows = {source->n, source->measured->store.index.readout.n, source,
                                       make};
    struct tess_pca pca = {.width = 0};
    struct tess_grid grid;
    int n_ranks;

    MPI_Comm_size(comm, &n_ranks);
    if (is_across(source, n_ranks)) {
        tess_grid_open(&grid, comm);
        find_across(axes, source, &grid, error);
        tess_grid_close(&grid);
    } else {
        if (tess_pca_init(&pca, &rows, axes->k, comm, error) == TESS_OK)
            project(axes, source, &pca, comm, error);
        tess_pca_release(&pca);
    }
    MPI_Allreduce(MPI_IN_PLACE, &source->n_made, 1, MPI_INT64_T, MPI_SUM, comm);
    tess_debug("components of %lld measured profiles, of which %lld were made",
               (long long)source->n, (long long)source->n_made);
    return error->code;
}

static int reduce(struct tess_profile_axes *measured, struct source *source, int64_t k,
                  MPI_Comm comm, struct tess_error *error)
{
    int64_t width = source->measured->store.index.readout.n;

    if (width > MOST && source->n > MOST)
        return tess_error_set(error, TESS_EDATA,
                              "the store has more than %d readouts, and as many profiles, too many "
                              "for components of their covariances",
                              MOST);
    k = k < width ? k : width;
    measured->k = k < source->n - 1 ? k : source->n - 1;
    if (measured->k < 1)
        return tess_error_set(error, TESS_EDATA,
                              "there are not two profiles of single perturbations in the store");
    measured->value = tess_alloc_large((size_t)(measured->n * measured->k), sizeof *measured->value,
                                       "measured profiles", error);
    for (int64_t i = 0; i < source->n; i++)
        measured->known[source->number[i]] = 1;
    if (tess_agree(comm, error) == TESS_OK)
        find_places(measured, source, comm, error);
    return error->code;
}

int tess_profile_axes_init(struct tess_profile_axes *axes, struct tess_measurements *measured,
                           int64_t n, int64_t k, struct tess_error *error)
{
    struct source source = {.measured = measured};

    *axes = (struct tess_profile_axes){.n = n, .known = TESS_NEW(uint8_t, n)};
    choose(&source, n);
    reduce(axes, &source, k, measured->store.comm, error);
    tess_free(source.number);
    return error->code;
}

void tess_profile_axes_release(struct tess_profile_axes *measured)
{
    tess_free(measured->known);
    tess_free(measured->value);
    *measured = (struct tess_profile_axes){.n = 0};
}
