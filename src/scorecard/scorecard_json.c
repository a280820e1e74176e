/* scorecard_json.c -- scores as JSON. One rule for what is undefined: the value is null, and the
 * object that holds it says why under `reasons`, by the same key. */
#include "tessera/scorecard.h"

#include "tessera/alloc.h"
#include "tessera/evaluate.h"
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

/* A method's scores between the ends of the scale. */
static json_t *scaled_json(const struct tess_outcome *outcome, int m)
{
    const struct tess_estimate *scaled = outcome->scaled + (int64_t)m * TESS_METRICS;
    json_t *object = json_object(), *intervals = json_object();

    for (int k = 0; k < TESS_METRICS; k++)
        put(object, tess_metric_name(k), scaled[k].value, tess_reason_text(scaled[k].reason));
    for (int k = 0; k < TESS_METRICS; k++)
        if (!isnan(scaled[k].value))
            put_object(intervals, tess_metric_name(k),
                       isnan(scaled[k].low) ? NULL : interval(&scaled[k]),
                       tess_reason_text(scaled[k].no_interval));
    json_object_set_new(object, "intervals", intervals);
    return object;
}

static json_t *ends_json(const struct tess_evaluation *evaluation, const struct tess_group *group)
{
    const struct tess_outcome *outcome = &group->outcome;
    int64_t bad = (int64_t)(evaluation->has_model + TESS_READOUT_MEAN) * TESS_METRICS;
    json_t *object = json_object();

    for (int k = 0; k < TESS_METRICS; k++) {
        json_t *one = json_object();

        put(one, "bad", outcome->bad[k], tess_reason_text(outcome->own[bad + k].reason));
        put(one, "perfect", outcome->perfect[k], tess_reason_text(group->ceiling.reason[k]));
        json_object_set_new(object, tess_metric_name(k), one);
    }
    return object;
}

static json_t *scale_json(const struct tess_evaluation *evaluation, const struct tess_group *group)
{
    const struct tess_outcome *outcome = &group->outcome;
    json_t *object = json_object(), *baselines = json_object();
    int first = evaluation->has_model;

    put_object(object, "model", first ? scaled_json(outcome, 0) : NULL, evaluation->no_model);
    for (int b = 0; first + b < outcome->n_scaled; b++) {
        const char *reason = tess_evaluate_excuse(evaluation, group, b);

        if (!tess_baselines_have(&evaluation->baselines, b))
            continue;
        put_object(baselines, tess_baseline_name(b),
                   reason ? NULL : scaled_json(outcome, first + b), reason);
    }
    json_object_set_new(object, "baselines", baselines);
    json_object_set_new(object, "ends", ends_json(evaluation, group));
    json_object_set_new(object, "ceiling_experiments", json_integer(group->ceiling.n_experiments));
    return object;
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

        if (!tess_baselines_have(&evaluation->baselines, b))
            continue;
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
    json_object_set_new(object, "scaled", scale_json(evaluation, group));
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
    for (int i = 0; i < blender->n; i++) {
        const struct tess_blend *blend = &blender->blend[i];
        json_t *member =
            json_pack("{s:s, s:f, s:f, s:f}", "baseline", tess_baseline_name(blend->baseline),
                      "weight", blend->weight, "mean_weight", blend->mean_weight, "feature_weight",
                      blend->feature_weight);

        tess_blend_add_components(blend, member);
        json_array_append_new(members, member);
    }
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

#define EACH(measure) (TESS_CHANGE + (measure))

/* What is said of deviations from additivity, by the metrics of changes that hold it. */
static const struct {
    int metric;
    const char *name;
} deviation_metrics[] = {
    {TESS_RMSE, "rmse"},
    {TESS_MAE, "mae"},
    {TESS_R2, "r2"},
    {TESS_PEARSON, "pearson"},
    {EACH(TESS_M_PEARSON), "pearson_each"},
    {EACH(TESS_M_SPEARMAN), "spearman_each"},
    {EACH(TESS_M_COSINE), "cosine_each"},
    {TESS_OVERLAP, "overlap_at_20"},
    {TESS_OVERLAP + 1, "overlap_at_50"},
    {TESS_DIRECTION, "direction_match"},
    {TESS_DIRECTION + 1, "direction_match_at_50"},
};
#define N_DEVIATION (sizeof deviation_metrics / sizeof deviation_metrics[0])

static json_t *precision_json(const double *precision)
{
    json_t *object = json_object();

    for (int c = 0; c < TESS_CUTS; c++) {
        char k[24];

        snprintf(k, sizeof k, "%lld", (long long)tess_cut[c]);
        put(object, k, precision[c],
            "fewer than k values deviate so, or all predicted ones are the same");
    }
    return object;
}

static json_t *epistasis_method_json(const struct tess_epistasis *epistasis, int m)
{
    const struct tess_outcome *outcome = &epistasis->outcome;
    json_t *object = json_object(), *intervals = json_object();

    for (size_t i = 0; i < N_DEVIATION; i++) {
        int64_t at = (int64_t)m * TESS_METRICS + deviation_metrics[i].metric;
        const struct tess_estimate *own = &outcome->own[at];

        put(object, deviation_metrics[i].name, own->value, tess_reason_text(own->reason));
        if (!isnan(own->value))
            put_object(intervals, deviation_metrics[i].name, isnan(own->low) ? NULL : interval(own),
                       tess_reason_text(own->no_interval));
    }
    json_object_set_new(object, "intervals", intervals);
    json_object_set_new(object, "synergy_precision",
                        precision_json(epistasis->synergy + (int64_t)m * TESS_CUTS));
    json_object_set_new(object, "antagonism_precision",
                        precision_json(epistasis->antagonism + (int64_t)m * TESS_CUTS));
    return object;
}

/* The model's rmse less another method's. */
static json_t *epistasis_difference_json(const struct tess_epistasis *epistasis, int m)
{
    const struct tess_estimate *of =
        &epistasis->outcome.difference[(int64_t)m * TESS_METRICS + TESS_RMSE];
    const struct tess_estimate *skill =
        &epistasis->outcome.skill[(int64_t)m * TESS_METRICS + TESS_RMSE];
    json_t *object = json_object();

    put(object, "difference", of->value, tess_reason_text(of->reason));
    put_object(object, "interval", isnan(of->low) ? NULL : interval(of),
               tess_reason_text(of->no_interval));
    put(object, "skill", skill->value, tess_reason_text(skill->reason));
    return json_pack("{s:o}", "rmse", object);
}

/* NULL: nobody asked, or no combination can be judged. */
static json_t *epistasis_json(const struct tess_evaluation *evaluation)
{
    const struct tess_epistasis *epistasis = &evaluation->epistasis;
    json_t *object, *methods = json_object(), *differences = json_object();
    int first = evaluation->has_model;

    if (epistasis->n_experiments > 0) {
        for (int m = first; m < epistasis->n_methods; m++)
            if (tess_evaluate_epistasis_says(evaluation, m))
                json_object_set_new(methods, tess_evaluate_epistasis_method(evaluation, m),
                                    epistasis_method_json(epistasis, m));
        for (int m = first; m < epistasis->n_methods && first; m++)
            if (tess_evaluate_epistasis_says(evaluation, m))
                json_object_set_new(differences, tess_evaluate_epistasis_method(evaluation, m),
                                    epistasis_difference_json(epistasis, m));
    }
    object = json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "experiments",
                       (json_int_t)epistasis->n_experiments, "combinations",
                       (json_int_t)epistasis->outcome.n_perturbations, "contexts",
                       (json_int_t)epistasis->n_contexts, "values", (json_int_t)epistasis->n_values,
                       "baselines", methods, "differences", differences);
    put_object(object, "model",
               first && epistasis->n_experiments > 0 ? epistasis_method_json(epistasis, 0) : NULL,
               first ? tess_reason_text(TESS_NO_EXPERIMENTS) : evaluation->no_model);
    if (epistasis->n_experiments > 0)
        return object;
    json_decref(object);
    return NULL;
}

/* From which measured change to which one a stratum of strength goes. */
static void put_range(json_t *object, const struct tess_evaluation *evaluation, int stratum)
{
    double low = INFINITY, high = 0;

    for (int64_t i = 0; i < evaluation->n; i++)
        if (evaluation->strength[i] == stratum) {
            low = fmin(low, evaluation->change[i]);
            high = fmax(high, evaluation->change[i]);
        }
    json_object_set_new(object, "change", json_pack("[f, f]", low, high));
}

/* {KIND: {STRATUM: group, …}, …}; NULL: nobody asked. */
static json_t *strata_json(const struct tess_evaluation *evaluation)
{
    json_t *object, *kind = NULL;

    if (!evaluation->stratum)
        return NULL;
    object = json_object();
    for (int s = 0; s < TESS_STRATA; s++) {
        const struct tess_group *group = &evaluation->stratum[s];
        json_t *one = group->n > 0 ? json_object() : NULL;

        if (s == 0 || s == TESS_WEAK) {
            kind = json_object();
            json_object_set_new(object, tess_evaluate_stratum_kind(s), kind);
        }
        if (one)
            put_group(one, evaluation, group);
        if (one && s >= TESS_WEAK)
            put_range(one, evaluation, s);
        put_object(kind, tess_evaluate_stratum_name(s), one, tess_reason_text(TESS_NO_EXPERIMENTS));
    }
    return object;
}

/* {CONTEXT: {…}, …}; NULL: nobody asked. */
static json_t *transfer_json(const struct tess_evaluation *evaluation)
{
    json_t *object;

    if (!evaluation->pair)
        return NULL;
    object = json_object();
    for (int64_t i = 0; i < evaluation->n_pairs; i++) {
        const struct tess_pair *pair = &evaluation->pair[i];
        const struct tess_outcome *outcome = &pair->outcome;
        const char *verdict = tess_evaluate_verdict(pair);
        const char *why = pair->no_pair ? pair->no_pair : tess_reason_text(TESS_NO_EXPERIMENTS);
        json_t *one = json_pack("{s:I, s:I, s:I, s:I}", "train_experiments",
                                (json_int_t)pair->n_train, "experiments", (json_int_t)pair->n,
                                "perturbations", (json_int_t)outcome->n_perturbations,
                                "by_context_mean", (json_int_t)pair->n_by_mean);

        put_object(one, "verdict", verdict ? json_string(verdict) : NULL,
                   outcome->own ? tess_reason_text(TESS_ONE_PERTURBATION) : why);
        put_object(one, "all", outcome->own ? method_json(outcome->own, pair->n) : NULL, why);
        put_object(one, "alone",
                   outcome->own ? method_json(outcome->own + TESS_METRICS, pair->n) : NULL, why);
        put_object(one, "differences",
                   outcome->own ? difference_json(outcome->difference + TESS_METRICS,
                                                  outcome->skill + TESS_METRICS)
                                : NULL,
                   why);
        json_object_set_new(object, evaluation->store->index.context.symbol[pair->context], one);
    }
    return object;
}

json_t *tess_scorecard_json(const struct tess_evaluation *evaluation)
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
    put_object(object, "epistasis", epistasis_json(evaluation),
               options->epistasis ? "no scored combination has components that are all measured "
                                    "alone in its context"
                                  : "--epistasis was not given");
    put_object(object, "strata", strata_json(evaluation), "--strata was not given");
    put_object(object, "transfer", transfer_json(evaluation), "--transfer was not given");
    return object;
}
