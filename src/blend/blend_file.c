/* blend_file.c -- blend.json of a run directory. */
#include "tessera/blend.h"

#include "tessera/error.h"
#include "tessera/fitted.h"
#include "tessera/rundir.h"

#include <math.h>
#include <string.h>

#define FORMAT TESS_BLEND_FORMAT

void tess_blend_add_components(const struct tess_blend *blend, json_t *json)
{
    if (isnan(blend->components_sum))
        return;
    json_object_set_new(json, "components_model", json_real(blend->components_model));
    json_object_set_new(json, "components_sum", json_real(blend->components_sum));
    json_object_set_new(json, "components_baseline",
                        json_string(tess_baseline_name(blend->components_baseline)));
}

json_t *tess_blend_json(const struct tess_blend *blend)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:f, s:f, s:I, s:I, s:f, s:f, s:o, s:o, s:o}", "format", FORMAT, "baseline",
        tess_baseline_name(blend->baseline), "weight", blend->weight, "mean_weight",
        blend->mean_weight, "experiments", (json_int_t)blend->n_experiments, "values",
        (json_int_t)blend->n_values, "model_rmse", blend->model_rmse, "baseline_rmse",
        blend->baseline_rmse, "model_hash", tess_fitted_hash(blend->model_hash), "store_hash",
        tess_fitted_hash(blend->store_hash), "split_hash", tess_fitted_hash(blend->split_hash));

    if (blend->feature_weight < 1)
        json_object_set_new(json, "feature_weight", json_real(blend->feature_weight));
    if (isfinite(blend->feature_rmse) && blend->feature_rmse > 0) {
        json_object_set_new(json, "feature_rmse", json_real(blend->feature_rmse));
        json_object_set_new(json, "feature_model_rmse", json_real(blend->feature_model_rmse));
    }
    tess_blend_add_components(blend, json);
    return json;
}

int tess_blend_write(const char *directory, const struct tess_blend *blend,
                     struct tess_error *error)
{
    json_t *json = tess_blend_json(blend), *baselines = json_object();

    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        if (!isnan(blend->validation_rmse[i]))
            json_object_set_new(baselines, tess_baseline_name(tess_blend_baselines[i]),
                                json_real(blend->validation_rmse[i]));
    json_object_set_new(json, "validation_rmse", baselines);
    tess_fitted_write(directory, TESS_RUN_BLEND, json, error);
    json_decref(json);
    return error->code;
}

static int baseline_of(const char *name)
{
    for (int i = 0; i < TESS_BLEND_BASELINES; i++)
        if (strcmp(name, tess_baseline_name(tess_blend_baselines[i])) == 0)
            return tess_blend_baselines[i];
    return -1;
}

static int in_range(double weight)
{
    return weight >= 0 && weight <= 1;
}

/* NaN if it is not there. */
static double number_of(const json_t *json, const char *key)
{
    const json_t *number = json_object_get(json, key);

    return json_is_number(number) ? json_number_value(number) : NAN;
}

/* All or none are there. */
static int parse_components(const json_t *json, struct tess_blend *blend)
{
    const json_t *a = json_object_get(json, "components_model"),
                 *b = json_object_get(json, "components_sum"),
                 *name = json_object_get(json, "components_baseline");

    blend->components_model = blend->components_sum = NAN;
    blend->components_baseline = tess_blend_components[0];
    if (!a && !b && !name)
        return 1;
    if (!json_is_number(a) || !json_is_number(b) || !json_is_string(name))
        return 0;
    blend->components_model = json_number_value(a);
    blend->components_sum = json_number_value(b);
    for (int i = 0; i < TESS_BLEND_COMPONENTS; i++)
        if (strcmp(json_string_value(name), tess_baseline_name(tess_blend_components[i])) == 0) {
            blend->components_baseline = tess_blend_components[i];
            return blend->components_model >= 0 && blend->components_sum >= 0;
        }
    return 0;
}

/* What is wrong with it, or NULL. */
static const char *parse(json_t *json, void *out)
{
    struct tess_blend *blend = out;
    const char *format, *baseline, *model, *store, *split;
    json_int_t experiments, values;
    const json_t *alone;

    if (json_unpack(json, "{s:s, s:s, s:F, s:F, s:I, s:I, s:F, s:F, s:s, s:s, s:s}", "format",
                    &format, "baseline", &baseline, "weight", &blend->weight, "mean_weight",
                    &blend->mean_weight, "experiments", &experiments, "values", &values,
                    "model_rmse", &blend->model_rmse, "baseline_rmse", &blend->baseline_rmse,
                    "model_hash", &model, "store_hash", &store, "split_hash", &split) != 0)
        return "lacks a number or a name";
    blend->baseline = baseline_of(baseline);
    blend->n_experiments = experiments;
    blend->n_values = values;
    alone = json_object_get(json, "feature_weight"); /* not there in older ones */
    blend->feature_weight = alone ? json_number_value(alone) : 1;
    blend->feature_rmse = number_of(json, "feature_rmse");
    blend->feature_model_rmse = number_of(json, "feature_model_rmse");
    if (strcmp(format, FORMAT) != 0)
        return "is of another version";
    if (blend->feature_rmse < 0 || blend->feature_model_rmse < 0)
        return "has an RMSE below 0";
    if (blend->baseline < 0)
        return "names a baseline that is none";
    if (!in_range(blend->weight) || !in_range(blend->mean_weight) ||
        !in_range(blend->feature_weight))
        return "has a weight that is not between 0 and 1";
    if (!parse_components(json, blend))
        return "says of combinations what is no weight of a sum";
    if (!tess_fitted_parse_hash(model, &blend->model_hash) ||
        !tess_fitted_parse_hash(store, &blend->store_hash) ||
        !tess_fitted_parse_hash(split, &blend->split_hash))
        return "has a hash that is none";
    return NULL;
}

int tess_blend_read(const char *directory, struct tess_blend *blend, int *there,
                    struct tess_error *error)
{
    const struct tess_fitted_parser parser = {parse, blend};

    *blend = (struct tess_blend){.baseline = tess_blend_baselines[0]};
    return tess_fitted_read(directory, TESS_RUN_BLEND, &parser, there, error);
}
