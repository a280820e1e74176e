/* profile_axes.c -- profiles are made as they are asked for, from the units that baselines learn
 * from.
 */
#include "profile_axes.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/baselines.h"
#include "tessera/error.h"
#include "tessera/mapping.h"
#include "tessera/model.h"
#include "tessera/pca.h"
#include "tessera/rounds.h"
#include "tessera/slices.h"
#include "tessera/store.h"

#include <string.h>

#define MOST_READOUTS 10000 /* their covariances, 0.8 GB, lie on all ranks together, twice */

struct source {
    struct tess_profiles *profiles;
    const struct tess_baselines *baselines;
    int64_t n, *combination, *number; /* (n) of the store; of the model */
};

/* The mean change of one perturbation: out (readouts), 0 where it was never measured. */
static int make_profile(const struct source *source, int64_t i, double *out, float *room,
                        struct tess_error *error)
{
    struct tess_profiles *profiles = source->profiles;
    int64_t combination = source->combination[i], n_readouts = profiles->store->index.readout.n;
    int64_t *n = TESS_NEW(int64_t, n_readouts);

    memset(out, 0, (size_t)n_readouts * sizeof *out);
    for (int64_t u = profiles->trained_first[combination];
         u < profiles->trained_first[combination + 1] && error->code == TESS_OK; u++) {
        int64_t context = profiles->trained_in[u];
        const int64_t *readout = profiles->readout + profiles->readout_first[context];
        const float *row = tess_profiles_row(profiles, profiles->trained[u], room, error);

        for (int64_t j = 0; row && j < tess_profiles_width(profiles, context); j++) {
            double change = tess_profiles_change(source->baselines->mean, context, row, j);

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
    int64_t width = source->profiles->store->index.readout.n;
    float *room = TESS_NEW(float, width);

    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        make_profile(source, first + i, out + i * width, room, error);
    tess_free(room);
    return error->code;
}

/* Those of the model's perturbations that were trained on alone. */
static void choose(struct source *source, const struct tess_model *model)
{
    const struct tess_profiles *profiles = source->profiles;
    const struct tess_index *index = &profiles->store->index;
    struct tess_mapping to;

    tess_mapping_init(&to, &model->perturbation, &index->perturbation, NULL);
    source->combination = TESS_NEW(int64_t, model->perturbation.n);
    source->number = TESS_NEW(int64_t, model->perturbation.n);
    for (int64_t i = 0; i < model->perturbation.n; i++) {
        int64_t found = to.to[i] < 0 ? -1 : tess_index_find(index, 1, &to.to[i]);

        if (found < 0 || profiles->trained_first[found] == profiles->trained_first[found + 1])
            continue;
        source->combination[source->n] = found;
        source->number[source->n++] = i;
    }
    tess_mapping_release(&to);
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

static int reduce(struct tess_profile_axes *measured, struct source *source, int64_t k,
                  MPI_Comm comm, struct tess_error *error)
{
    const struct tess_pca_rows rows = {source->n, source->profiles->store->index.readout.n, source,
                                       make};
    struct tess_pca pca = {.width = 0};

    if (rows.width > MOST_READOUTS)
        return tess_error_set(error, TESS_EDATA,
                              "the store has more than %d readouts, too many for components of "
                              "their covariances",
                              MOST_READOUTS);
    k = k < rows.width ? k : rows.width;
    measured->k = k < rows.n - 1 ? k : rows.n - 1;
    if (measured->k < 1)
        return tess_error_set(error, TESS_EDATA,
                              "there are not two profiles of single perturbations in the store");
    measured->value = tess_alloc_large((size_t)(measured->n * measured->k), sizeof *measured->value,
                                       "measured profiles", error);
    for (int64_t i = 0; i < source->n; i++)
        measured->known[source->number[i]] = 1;
    if (tess_agree(comm, error) == TESS_OK &&
        tess_pca_init(&pca, &rows, measured->k, comm, error) == TESS_OK)
        project(measured, source, &pca, comm, error);
    tess_pca_release(&pca);
    return error->code;
}

static int learn(struct tess_profile_axes *measured, const struct tess_model *model, int64_t k,
                 const struct tess_store *store, struct tess_error *error)
{
    const struct tess_baselines_options options = {NULL, NULL};
    struct tess_baselines baselines = {.mean = NULL};
    struct tess_profiles profiles;
    struct source source = {&profiles, &baselines, 0, NULL, NULL};
    int n_ranks;

    MPI_Comm_size(store->comm, &n_ranks);
    tess_profiles_init(&profiles, store, TESS_PROFILES_BYTES / (size_t)n_ranks);
    choose(&source, model);
    if (tess_baselines_init(&baselines, &profiles, &options, store->comm, error) == TESS_OK)
        reduce(measured, &source, k, store->comm, error);
    tess_baselines_release(&baselines);
    tess_profiles_release(&profiles);
    tess_free(source.combination);
    tess_free(source.number);
    return error->code;
}

int tess_profile_axes_init(struct tess_profile_axes *measured, const struct tess_model *model,
                           int64_t k, MPI_Comm comm, struct tess_error *error)
{
    struct tess_store store;

    *measured = (struct tess_profile_axes){.n = model->perturbation.n,
                                           .known = TESS_NEW(uint8_t, model->perturbation.n)};
    if (tess_store_open(&store, model->store_path, comm, error) != TESS_OK)
        return error->code;
    if (store.index.hash != model->store_hash)
        tess_error_set(error, TESS_EDATA, "%s: has other values than those that were trained on",
                       model->store_path);
    else
        learn(measured, model, k, &store, error);
    tess_store_release(&store);
    return error->code;
}

void tess_profile_axes_release(struct tess_profile_axes *measured)
{
    tess_free(measured->known);
    tess_free(measured->value);
    *measured = (struct tess_profile_axes){.n = 0};
}
