/* profile_axes.c -- profiles are made as they are asked for, from the units that baselines learn
 * from.
 */
#include "profile_axes.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/pca.h"
#include "tessera/rounds.h"
#include "tessera/slices.h"

#include <math.h>
#include <string.h>

#define MOST 10000 /* readouts or profiles: 0.8 GB of products lie on all ranks together, twice */

struct source {
    struct tess_measurements *measured;
    int64_t n, *number; /* (n) of the model */
};

/* The mean change of one perturbation: out (readouts), 0 where it was never measured. */
static int make_profile(const struct source *source, int64_t i, double *out, float *room,
                        struct tess_error *error)
{
    struct tess_profiles *profiles = &source->measured->profiles;
    int64_t first = 0, units = tess_measurements_units(source->measured, source->number[i], &first);
    int64_t n_readouts = profiles->store->index.readout.n, *n = TESS_NEW(int64_t, n_readouts);

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
    const struct source *source = closure;
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
 * eigenvectors of X X' (n, n) times the roots of their eigenvalues. That is the sum over the
 * readouts of what their columns make; each stands beside its negative, so that the mean is zero.
 */

/* Rows 2r and 2r + 1: readout r of all profiles, and its negative. */
static int make_columns(void *closure, int64_t first, int64_t n, double *out,
                        struct tess_error *error)
{
    const struct source *source = closure;
    int64_t width = source->measured->store.index.readout.n, all = source->n;
    double *profile = TESS_NEW(double, width);
    float *room = TESS_NEW(float, width);

    for (int64_t i = 0; i < all && error->code == TESS_OK; i++) {
        make_profile(source, i, profile, room, error);
        for (int64_t r = 0; r < n; r++)
            out[r * all + i] = profile[(first + r) / 2];
    }
    for (int64_t r = 0; r < n; r++) {
        double mean = 0, sign = (first + r) % 2 ? -1 : 1;

        for (int64_t i = 0; i < all; i++)
            mean += out[r * all + i] / (double)all;
        for (int64_t i = 0; i < all; i++)
            out[r * all + i] = sign * (out[r * all + i] - mean);
    }
    tess_free(profile);
    tess_free(room);
    return error->code;
}

static void place_profiles(struct tess_profile_axes *axes, const struct source *source,
                           const struct tess_pca *pca)
{
    for (int64_t j = 0; j < pca->k; j++) {
        double size = sqrt(fmax(pca->variance[j], 0));

        for (int64_t i = 0; i < source->n; i++)
            axes->value[source->number[i] * pca->k + j] =
                (float)(pca->axis[j * source->n + i] * size);
    }
}

/* Components of all readouts, or of the profiles among each other where these are fewer. */
static int find_places(struct tess_profile_axes *axes, struct source *source, MPI_Comm comm,
                       struct tess_error *error)
{
    int64_t width = source->measured->store.index.readout.n;
    int across = source->n < width;
    const struct tess_pca_rows rows = {across ? 2 * width : source->n, across ? source->n : width,
                                       source, across ? make_columns : make};
    struct tess_pca pca = {.width = 0};

    if (tess_pca_init(&pca, &rows, axes->k, comm, error) == TESS_OK) {
        if (across)
            place_profiles(axes, source, &pca);
        else
            project(axes, source, &pca, comm, error);
    }
    tess_pca_release(&pca);
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
