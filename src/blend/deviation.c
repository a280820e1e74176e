/* deviation.c -- deviation.json of a run with several members. */
#include "tessera/deviation.h"

#include "tessera/alloc.h"
#include "tessera/blend.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/fitted.h"
#include "tessera/model.h"
#include "tessera/rundir.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#define FORMAT TESS_DEVIATION_FORMAT

/* Weights as bytes; what a member of weights 1 would be blended with does not count. */
uint64_t tess_deviation_blend_hash(const struct tess_blender *blender)
{
    double *with = TESS_NEW(double, 7 * blender->n);
    uint64_t hash;
    int n = 3 * blender->n;

    for (int i = 0; i < blender->n; i++) {
        const struct tess_blend *blend = &blender->blend[i];
        int blended = blender->active && (blend->weight < 1 || blend->mean_weight < 1);

        with[3 * i] = blended ? blend->baseline : -1;
        with[3 * i + 1] = blended ? blend->weight : 1;
        with[3 * i + 2] = blended ? blend->mean_weight : 1;
        if (blender->active && !isnan(blend->components_sum)) {
            with[n++] = blend->components_model;
            with[n++] = blend->components_sum;
            with[n++] = i + 1000.0 * blend->components_baseline; /* whose it is, too */
        }
    }
    for (int i = 0; i < blender->n; i++)
        if (blender->active && blender->blend[i].feature_weight < 1)
            with[n++] = i + blender->blend[i].feature_weight; /* below 1: whose it is, too */
    hash = XXH3_64bits(with, (size_t)n * sizeof *with);
    tess_free(with);
    return hash;
}

json_t *tess_deviation_json(const struct tess_deviation_file *file)
{
    json_t *fits = json_array();

    for (int i = 0; i < file->n_fits; i++) {
        const struct tess_deviation_fit *fit = &file->fit[i];

        json_t *rank =
            isnan(fit->rank_correlation) ? json_null() : json_real(fit->rank_correlation);

        json_array_append_new(
            fits,
            json_pack("{s:o, s:f, s:f, s:o, s:f, s:f, s:f, s:f}", "blend_hash",
                      tess_fitted_hash(fit->blend_hash), "scale", fit->calibration.scale, "noise",
                      fit->calibration.noise, "rank_correlation", rank, "within_68",
                      fit->raw.share[0], "within_95", fit->raw.share[1], "calibrated_within_68",
                      fit->calibrated.share[0], "calibrated_within_95", fit->calibrated.share[1]));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "format", FORMAT, "members",
                     (json_int_t)file->n_members, "experiments", (json_int_t)file->n_experiments,
                     "values", (json_int_t)file->n_values, "fits", fits, "model_hash",
                     tess_fitted_hash(file->model_hash), "store_hash",
                     tess_fitted_hash(file->store_hash), "split_hash",
                     tess_fitted_hash(file->split_hash));
}

int tess_deviation_write(const char *directory, const struct tess_deviation_file *file,
                         struct tess_error *error)
{
    json_t *json = tess_deviation_json(file);

    tess_fitted_write(directory, TESS_RUN_DEVIATION, json, error);
    json_decref(json);
    return error->code;
}

static const char *parse_fit(json_t *json, struct tess_deviation_fit *fit)
{
    const char *hash;
    json_t *rank;

    if (json_unpack(json, "{s:s, s:F, s:F, s:o, s:F, s:F, s:F, s:F}", "blend_hash", &hash, "scale",
                    &fit->calibration.scale, "noise", &fit->calibration.noise, "rank_correlation",
                    &rank, "within_68", &fit->raw.share[0], "within_95", &fit->raw.share[1],
                    "calibrated_within_68", &fit->calibrated.share[0], "calibrated_within_95",
                    &fit->calibrated.share[1]) != 0)
        return "lacks a number of a fit";
    fit->rank_correlation = json_is_number(rank) ? json_number_value(rank) : NAN;
    if (!tess_fitted_parse_hash(hash, &fit->blend_hash))
        return "has a hash that is none";
    if (!(fit->calibration.scale >= 0 && fit->calibration.noise >= 0))
        return "has a scale or a noise below 0";
    return NULL;
}

/* What is wrong with it, or NULL. */
static const char *parse(json_t *json, void *out)
{
    struct tess_deviation_file *file = out;
    const char *format, *model, *store, *split, *wrong = NULL;
    json_int_t members, experiments, values;
    json_t *fits;

    if (json_unpack(json, "{s:s, s:I, s:I, s:I, s:o, s:s, s:s, s:s}", "format", &format, "members",
                    &members, "experiments", &experiments, "values", &values, "fits", &fits,
                    "model_hash", &model, "store_hash", &store, "split_hash", &split) != 0)
        return "lacks a number or a name";
    if (strcmp(format, FORMAT) != 0)
        return "is of another version";
    if (!json_is_array(fits) || json_array_size(fits) < 1 ||
        json_array_size(fits) > TESS_DEVIATION_FITS)
        return "has no fits, or too many";
    if (!tess_fitted_parse_hash(model, &file->model_hash) ||
        !tess_fitted_parse_hash(store, &file->store_hash) ||
        !tess_fitted_parse_hash(split, &file->split_hash))
        return "has a hash that is none";
    file->n_members = members;
    file->n_experiments = experiments;
    file->n_values = values;
    file->n_fits = (int)json_array_size(fits);
    for (int i = 0; i < file->n_fits && !wrong; i++)
        wrong = parse_fit(json_array_get(fits, (size_t)i), &file->fit[i]);
    return wrong;
}

int tess_deviation_read(const char *directory, struct tess_deviation_file *file, int *there,
                        struct tess_error *error)
{
    const struct tess_fitted_parser parser = {parse, file};

    *file = (struct tess_deviation_file){.n_fits = 0};
    return tess_fitted_read(directory, TESS_RUN_DEVIATION, &parser, there, error);
}

/* Its number in `missing`, or -1: found. Rank 0. */
enum missing { FOUND = -1, NO_FILE, DAMAGED, STALE, OTHER_BLEND };
static enum missing find(const struct tess_blender *blender, struct tess_calibration *calibration)
{
    char *member = tess_text_directory(blender->model->path);
    char *directory = tess_format(blender->model->n_members > 1 ? "%s/.." : "%s", member);
    struct tess_error damage = TESS_ERROR_INIT;
    struct tess_deviation_file file;
    enum missing missing = OTHER_BLEND;
    uint64_t hash = tess_deviation_blend_hash(blender);
    int there;

    if (tess_deviation_read(directory, &file, &there, &damage) != TESS_OK)
        missing = DAMAGED;
    else if (!there)
        missing = NO_FILE;
    else if (file.model_hash != blender->model->hash)
        missing = STALE;
    for (int i = 0; i < file.n_fits && missing == OTHER_BLEND; i++)
        if (file.fit[i].blend_hash == hash) {
            *calibration = file.fit[i].calibration;
            missing = FOUND;
        }
    tess_free(directory);
    tess_free(member);
    return missing;
}

const char *tess_deviation_find(const struct tess_blender *blender, MPI_Comm comm,
                                struct tess_calibration *calibration)
{
    static const char *const why[] = {
        [NO_FILE] = "the runs have no deviation.json: it is made at the end of a training of "
                    "several members, or with model.noise, with validation data",
        [DAMAGED] = "deviation.json is damaged: remove it and run 'tessera train' again",
        [STALE] = "deviation.json belongs to other members, or to other checkpoints of them: "
                  "'tessera train' makes it anew",
        [OTHER_BLEND] = "deviation.json was fitted to members that are blended otherwise",
    };
    struct {
        struct tess_calibration calibration;
        int missing;
    } found = {{1, 0}, FOUND};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        found.missing = find(blender, &found.calibration);
    tess_broadcast(comm, &found, sizeof found);
    *calibration = found.calibration;
    return found.missing == FOUND ? NULL : why[found.missing];
}
