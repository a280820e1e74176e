/* impute_key.c -- what an imputed file is made of. Two goes at one file, or a file that is there
 * and one that is wanted, are the same if all of it is. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/platform.h"
#include "tessera/writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BEGIN "provenance/request"

static void add(json_t *key, const char *name, char *text)
{
    json_object_set_new(key, name, json_string(text));
    tess_free(text);
}

/* How many, and which. */
static char *sets_text(const struct tess_sets *sets)
{
    uint64_t part[2] = {
        XXH3_64bits(sets->member, (size_t)sets->first[sets->n] * sizeof *sets->member),
        XXH3_64bits(sets->first, (size_t)(sets->n + 1) * sizeof *sets->first)};

    return tess_format("%lld, %016" PRIx64, (long long)sets->n,
                       (uint64_t)XXH3_64bits(part, sizeof part));
}

/* Which rows, where they are not each perturbation in each context. */
static char *rows_text(const struct imputation *work)
{
    const struct imputation_rows *rows = &work->rows;
    size_t word = sizeof *rows->set;
    uint64_t part[4];

    if (!rows->set)
        return tess_strdup(rows->pairs ? "all pairs" : "all");
    part[0] = XXH3_64bits(rows->set, (size_t)rows->n * word);
    part[1] = XXH3_64bits(rows->context, (size_t)rows->n * word);
    part[2] = XXH3_64bits(rows->asked_first, (size_t)(rows->n + 1) * word);
    part[3] = XXH3_64bits(rows->asked, (size_t)rows->asked_first[rows->n] * word);
    return tess_format("%lld, %016" PRIx64, (long long)rows->n,
                       (uint64_t)XXH3_64bits(part, sizeof part));
}

/* Of sorted keys from `first` on, below `end`, as if they began at 0. */
static uint64_t hash_keys(const struct imputation_keys *keys, int64_t first, int64_t end)
{
    int64_t *part = TESS_NEW(int64_t, keys->n), n = 0;
    uint64_t hash;

    for (int64_t i = 0; i < keys->n; i++)
        if (keys->key[i] >= first && keys->key[i] < end)
            part[n++] = keys->key[i] - first;
    hash = n > 0 ? XXH3_64bits(part, (size_t)n * sizeof *part) : 0;
    tess_free(part);
    return hash;
}

/* What is marked: of contexts `first` … `end` - 1 of those that are chosen. */
static char *observed_text(const struct imputation *work, int64_t first, int64_t end)
{
    const struct imputation_marks *marks = &work->marks;
    int64_t sets = tess_imputation_n_sets(work), components = work->model.perturbation.n;
    uint64_t part[7];

    if (!marks->known)
        return tess_strdup("none");
    part[0] = hash_keys(&marks->observed, first * sets, end * sets);
    part[1] = hash_keys(&marks->trained, first * sets, end * sets);
    part[2] = hash_keys(&marks->set, 0, INT64_MAX);
    part[3] = hash_keys(&marks->component, 0, INT64_MAX);
    part[4] = hash_keys(&marks->context, first, end);
    part[5] = hash_keys(&marks->component_here, first * components, end * components);
    part[6] = (uint64_t)marks->other;
    return tess_format("%016" PRIx64, (uint64_t)XXH3_64bits(part, sizeof part));
}

/* Changes and kept values, with the store that those come from. */
static char *values_text(const struct imputation *work)
{
    const struct tess_impute *impute = work->impute;
    uint64_t store = work->measured.is_open ? work->measured.store.index.hash : 0;

    return tess_format("%s%s%s, %016" PRIx64, impute->half ? "float16" : "float32",
                       !impute->delta            ? ""
                       : work->delta.control < 0 ? ", less measured control"
                                                 : ", less predicted control",
                       impute->keep ? ", measured kept" : "", store);
}

/* Weights and baselines of all members, and the store of the baselines. */
static char *blend_text(const struct imputation *work)
{
    const struct tess_blender *blender = &work->blender;
    char *name = tess_blender_name(blender), *text;
    uint64_t hash = 0;

    for (int i = 0; i < blender->n && blender->active; i++) {
        const struct tess_blend *blend = &blender->blend[i];
        double part[8] = {blend->weight, blend->mean_weight, blend->baseline, 0};
        size_t n = 4;

        memcpy(&part[3], &hash, sizeof hash);
        if (blend->feature_weight < 1)
            part[n++] = blend->feature_weight;
        if (!isnan(blend->components_sum)) {
            part[n++] = blend->components_model;
            part[n++] = blend->components_sum;
            part[n++] = blend->components_baseline;
        }
        hash = XXH3_64bits(part, n * sizeof *part);
    }
    text = blender->active ? tess_format("%s, %016" PRIx64 ", store %016" PRIx64, name, hash,
                                         work->learned.store.index.hash)
                           : tess_strdup(name);
    tess_free(name);
    return text;
}

static char *calibration_text(const struct imputation *work)
{
    char by_features[40] = "";

    if (!isnan(work->feature_deviation))
        snprintf(by_features, sizeof by_features, ", features %.17g", work->feature_deviation);
    if (work->n_matrices < 3)
        return tess_format("none%s", by_features);
    return tess_format("%.17g, noise %.17g%s", work->calibration.scale, work->calibration.noise,
                       by_features);
}

static char *compression_text(const struct imputation *work)
{
    struct tess_writer_packing packing = tess_imputation_packing(work);

    if (packing.level == 0)
        return tess_strdup("none");
    return tess_format("level %d", packing.level);
}

/* Rank 0 knows the store; the text goes to all, so that all have the same. */
void tess_imputation_make_key(struct imputation *work, MPI_Comm comm)
{
    json_t *key = json_object();
    char *text, *dumped;

    add(key, "model", tess_format("%016" PRIx64, work->model.hash));
    add(key, "models", tess_format("%d", work->model.n_members));
    add(key, "perturbations", sets_text(&work->perturbation));
    add(key, "contexts", sets_text(&work->context));
    add(key, "readouts", sets_text(&work->readout));
    add(key, "rows", rows_text(work));
    add(key, "values", values_text(work));
    add(key, "blend", blend_text(work));
    add(key, "calibration", calibration_text(work));
    add(key, "compression", compression_text(work));
    add(key, "precision", tess_strdup(tess_model_precision(&work->model)));
    add(key, "observed", observed_text(work, 0, work->context.n));
    dumped = json_dumps(key, 0);
    text = tess_strdup(dumped ? dumped : "{}");
    free(dumped); /* Jansson's own */
    json_decref(key);
    tess_broadcast_text(comm, &text);
    work->key = json_loads(text, 0, NULL);
    tess_free(text);
}

json_t *tess_imputation_context_key(const struct imputation *work, int64_t context)
{
    json_t *key = json_deep_copy(work->key);

    add(key, "contexts", tess_strdup(work->model.context.symbol[work->context.member[context]]));
    add(key, "observed", observed_text(work, context, context + 1));
    return key;
}

int tess_imputation_write_key(const struct imputation *work, struct tess_writer *file,
                              struct tess_error *error)
{
    const char *name;
    json_t *value;

    json_object_foreach(work->key, name, value)
    {
        char *path = tess_format(BEGIN "/%s", name);

        tess_writer_write_text(file, path, json_string_value(value), error);
        tess_free(path);
        if (error->code != TESS_OK)
            break;
    }
    return error->code;
}

char *tess_imputation_machine(const struct imputation *work)
{
    int low = strcmp(tess_model_precision(&work->model), "bfloat16") == 0;

    return tess_format("%s%s%s", tess_platform_blas_core(), low ? "+" : "",
                       low ? tess_unit_name(tess_unit()) : "");
}
