/* evaluate_json.c -- scores as JSON. One rule for what is undefined: the value is null, and the
 * object that holds it says why under `reasons`, by the same key. */
#include "evaluate.h"

#include "tessera/alloc.h"
#include "tessera/model.h"

#include <inttypes.h>
#include <math.h>

static void put(json_t *object, const char *key, double value, const char *reason)
{
    json_t *reasons;

    if (!isnan(value)) {
        json_object_set_new(object, key, json_real(value));
        return;
    }
    json_object_set_new(object, key, json_null());
    reasons = json_object_get(object, "reasons");
    if (!reasons) {
        reasons = json_object();
        json_object_set_new(object, "reasons", reasons);
    }
    json_object_set_new(reasons, key, json_string(reason));
}

static void put_object(json_t *object, const char *key, json_t *value, const char *reason)
{
    if (value)
        json_object_set_new(object, key, value);
    else
        put(object, key, NAN, reason);
}

static json_t *interval(const struct tess_estimate *estimate)
{
    return json_pack("[f, f]", estimate->low, estimate->high);
}

static json_t *method_json(const struct tess_estimate *own, int64_t n)
{
    json_t *object = json_object(), *intervals = json_object(), *counts = json_object();

    for (int k = 0; k < TESS_METRICS; k++)
        put(object, tess_metric_name(k), own[k].value, tess_reason_text(own[k].reason));
    for (int k = 0; k < TESS_METRICS; k++) {
        if (isnan(own[k].value))
            continue;
        put_object(intervals, tess_metric_name(k), isnan(own[k].low) ? NULL : interval(&own[k]),
                   tess_reason_text(own[k].no_interval));
        if (own[k].n != n)
            json_object_set_new(counts, tess_metric_name(k), json_integer(own[k].n));
    }
    json_object_set_new(object, "intervals", intervals);
    json_object_set_new(object, "experiments", counts);
    return object;
}

static json_t *difference_json(const struct tess_estimate *difference,
                               const struct tess_estimate *skill)
{
    json_t *object = json_object();

    for (int k = 0; k < TESS_METRICS; k++) {
        json_t *one = json_object();

        if (isnan(difference[k].value)) {
            put(object, tess_metric_name(k), NAN, tess_reason_text(difference[k].reason));
            json_decref(one);
            continue;
        }
        put(one, "difference", difference[k].value, NULL);
        put_object(one, "interval", isnan(difference[k].low) ? NULL : interval(&difference[k]),
                   tess_reason_text(difference[k].no_interval));
        put(one, "skill", skill[k].value, tess_reason_text(skill[k].reason));
        json_object_set_new(one, "experiments", json_integer(difference[k].n));
        json_object_set_new(object, tess_metric_name(k), one);
    }
    return object;
}

static json_t *ceiling_json(const struct tess_evaluation *evaluation,
                            const struct tess_group *group)
{
    json_t *object;

    if (group->ceiling.n_experiments == 0)
        return NULL;
    object = json_object();
    for (int k = 0; k < TESS_DISCRIMINATION; k++)
        put(object, tess_metric_name(k), tess_ceiling_value(&group->ceiling, k),
            tess_reason_text(group->ceiling.reason[k]));
    json_object_set_new(object, "experiments", json_integer(group->ceiling.n_experiments));
    json_object_set_new(object, "halvings", json_integer(evaluation->options.n_halvings));
    return object;
}

/* In which metrics the model is better than the ceiling; NULL: in none. */
static json_t *above_json(const struct tess_group *group)
{
    json_t *metrics;

    if (group->n_above == 0)
        return NULL;
    metrics = json_array();
    for (int k = 0; k < TESS_DISCRIMINATION; k++)
        if (group->above[k])
            json_array_append_new(metrics, json_string(tess_metric_name(k)));
    return json_pack("{s:o, s:I, s:s}", "metrics", metrics, "experiments",
                     (json_int_t)group->ceiling.n_experiments, "meaning", tess_evaluate_above);
}

/* The same keys whatever was scored: what there is none of is null, with the reason. */
static void put_group(json_t *object, const struct tess_evaluation *evaluation,
                      const struct tess_group *group)
{
    const struct tess_outcome *outcome = &group->outcome;
    json_t *baselines = json_object(), *differences = json_object(), *fallbacks = json_object();

    for (int b = 0; b < TESS_BASELINES; b++) {
        int m = evaluation->has_model + b, at = m * TESS_METRICS;
        const char *reason = tess_evaluate_excuse(evaluation, group, b),
                   *name = tess_baseline_name(b);

        put_object(baselines, name, reason ? NULL : method_json(outcome->own + at, group->n),
                   reason);
        json_object_set_new(fallbacks, name, json_integer(group->fallbacks[m]));
        if (evaluation->has_model)
            put_object(differences, name,
                       reason ? NULL
                              : difference_json(outcome->difference + at, outcome->skill + at),
                       reason);
    }
    json_object_set_new(object, "counts",
                        json_pack("{s:I, s:I, s:I, s:I, s:o}", "experiments", (json_int_t)group->n,
                                  "perturbations", (json_int_t)outcome->n_perturbations,
                                  "observations", (json_int_t)group->n_observations, "unscored",
                                  (json_int_t)group->n_unscored, "fallbacks", fallbacks));
    put_object(object, "model", evaluation->has_model ? method_json(outcome->own, group->n) : NULL,
               evaluation->no_model);
    json_object_set_new(object, "baselines", baselines);
    if (evaluation->has_model)
        json_object_set_new(object, "differences", differences);
    else {
        json_decref(differences);
        put(object, "differences", NAN, evaluation->no_model);
    }
    put_object(object, "ceiling", ceiling_json(evaluation, group),
               tess_reason_text(TESS_NO_REPLICATES));
    put_object(object, "above_ceiling", above_json(group),
               !evaluation->has_model              ? evaluation->no_model
               : group->ceiling.n_experiments == 0 ? tess_reason_text(TESS_NO_REPLICATES)
                                                   : "no score is better than the ceiling's");
}

static json_t *hash_json(uint64_t hash)
{
    char text[24];

    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_string(text);
}

/* What each member of the ensemble is blended with; NULL: nothing is blended. */
static json_t *blend_json(const struct tess_blender *blender)
{
    json_t *members;

    if (!blender->active)
        return NULL;
    members = json_array();
    for (int i = 0; i < blender->n; i++)
        json_array_append_new(members, json_pack("{s:s, s:f, s:f}", "baseline",
                                                 tess_baseline_name(blender->blend[i].baseline),
                                                 "weight", blender->blend[i].weight, "mean_weight",
                                                 blender->blend[i].mean_weight));
    return members;
}

static json_t *source_json(const struct tess_evaluation *evaluation)
{
    const struct tess_index *index = &evaluation->store->index;
    json_t *object = json_object(), *unscored = json_array();

    for (size_t i = 0; i < evaluation->unscored.n; i++)
        json_array_append_new(unscored, json_string(evaluation->unscored.item[i]));
    json_object_set_new(object, "store", hash_json(index->hash));
    json_object_set_new(object, "split", hash_json(index->split_hash));
    if (evaluation->has_model && !evaluation->options.predictions)
        json_object_set_new(object, "model", hash_json(evaluation->model->hash));
    if (evaluation->has_model && !evaluation->options.predictions)
        json_object_set_new(object, "precision",
                            json_string(tess_model_precision(evaluation->model)));
    put_object(object, "blend", blend_json(&evaluation->blender), "the model is not blended");
    json_object_set_new(object, "held_out", json_integer(evaluation->n_held_out));
    json_object_set_new(object, "unscored", unscored);
    json_object_set_new(object, "left_out_values", json_integer(evaluation->n_left_out));
    json_object_set_new(object, "unused_predictions", json_integer(evaluation->n_unused));
    json_object_set_new(object, "averaged_predictions",
                        json_pack("{s:I, s:I}", "experiments", (json_int_t)evaluation->n_averaged,
                                  "rows", (json_int_t)evaluation->n_averaged_rows));
    return object;
}

static json_t *coverage_json(const struct tess_coverage *coverage)
{
    return json_pack("{s:f, s:f}", "68", coverage->share[0], "95", coverage->share[1]);
}

/* How good the deviation of the members is; NULL: there is none. */
static json_t *deviation_json(const struct tess_spread *spread)
{
    json_t *object, *calibrated = NULL;

    if (!spread->deviation)
        return NULL;
    if (!spread->uncalibrated)
        calibrated =
            json_pack("{s:f, s:f, s:o}", "scale", spread->calibration.scale, "noise",
                      spread->calibration.noise, "coverage", coverage_json(&spread->calibrated));
    object = json_pack("{s:I, s:I, s:o}", "experiments", (json_int_t)spread->n_experiments,
                       "values", (json_int_t)spread->n, "coverage", coverage_json(&spread->raw));
    put(object, "rank_correlation", spread->rank_correlation,
        "of fewer than three values, or of values that are all the same");
    put_object(object, "calibrated", calibrated, spread->uncalibrated);
    return object;
}

json_t *tess_evaluate_json(const struct tess_evaluation *evaluation)
{
    const struct tess_evaluate_options *options = &evaluation->options;
    json_t *object = json_object(), *contexts = json_object();

    json_object_set_new(object, "split", json_string(tess_split_name(options->split)));
    json_object_set_new(object, "resamples", json_integer(options->n_resamples));
    json_object_set_new(object, "seed", json_integer((json_int_t)options->seed));
    json_object_set_new(object, "source", source_json(evaluation));
    put_group(object, evaluation, &evaluation->group[0]);
    put_object(object, "deviation", deviation_json(&evaluation->spread),
               "there are no several models, and this one predicts no noise");
    for (int64_t g = 1; g < evaluation->n_groups; g++) {
        int64_t context = evaluation->group[g].context;
        json_t *one = json_object();

        json_object_set_new(
            one, "reference",
            json_string(evaluation->baselines.control[context] ? "control" : "context mean"));
        put_group(one, evaluation, &evaluation->group[g]);
        json_object_set_new(contexts, evaluation->store->index.context.symbol[context], one);
    }
    json_object_set_new(object, "contexts", contexts);
    return object;
}
