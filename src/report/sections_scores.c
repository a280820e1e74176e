/* sections_scores.c -- what `evaluate` says, in arrays: (methods, metrics), null where it is
 * undefined.
 */
#include "sections.h"

#include "tessera/alloc.h"

#include <stdlib.h>
#include <string.h>

#define MOST_CONTEXTS 60

static json_t *copy(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return value ? json_incref(value) : json_null();
}

/* A method's values in the order of the metrics, and its intervals, [low, high] or null each. */
static void add_method(const json_t *from, json_t *values, json_t *intervals)
{
    json_t *value = json_array(), *interval = json_array();

    for (int k = 0; k < TESS_METRICS; k++) {
        json_array_append_new(value, copy(from, tess_metric_name(k)));
        json_array_append_new(interval,
                              copy(json_object_get(from, "intervals"), tess_metric_name(k)));
    }
    json_array_append_new(values, value);
    json_array_append_new(intervals, interval);
}

/* The model first, then the baselines, then the ceiling: that order everywhere. */
static json_t *group_json(const json_t *from, const char *name)
{
    const json_t *baselines = json_object_get(from, "baselines"),
                 *counts = json_object_get(from, "counts");
    json_t *values = json_array(), *intervals = json_array();

    add_method(json_object_get(from, "model"), values, intervals);
    for (int b = 0; b < TESS_BASELINES; b++)
        if (json_object_get(baselines, tess_baseline_name(b)))
            add_method(json_object_get(baselines, tess_baseline_name(b)), values, intervals);
    add_method(json_object_get(from, "ceiling"), values, intervals);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", name, "ceiling_experiments",
                     copy(json_object_get(from, "ceiling"), "experiments"), "experiments",
                     copy(counts, "experiments"), "perturbations", copy(counts, "perturbations"),
                     "observations", copy(counts, "observations"), "values", values, "intervals",
                     intervals);
}

struct of_context {
    const char *name;
    const json_t *group;
    json_int_t n;
};

/* Most experiments first, then by name. */
static int compare(const void *a, const void *b)
{
    const struct of_context *x = a, *y = b;

    return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->name, y->name);
}

static json_t *contexts_json(json_t *from)
{
    size_t n = 0;
    struct of_context *list = TESS_NEW(struct of_context, json_object_size(from));
    json_t *all = json_array(), *group;
    const char *name;

    json_object_foreach(from, name, group) list[n++] = (struct of_context){
        name, group,
        json_integer_value(json_object_get(json_object_get(group, "counts"), "experiments"))};
    if (n > 0)
        qsort(list, n, sizeof *list, compare);
    for (size_t i = 0; i < n && i < MOST_CONTEXTS; i++)
        json_array_append_new(all, group_json(list[i].group, list[i].name));
    tess_free(list);
    return all;
}

json_t *tess_sections_scores(const json_t *evaluation)
{
    json_t *methods = json_array(), *metrics = json_array(), *error = json_array();
    json_t *contexts = json_object_get(evaluation, "contexts");

    json_array_append_new(methods, json_string("model"));
    for (int b = 0; b < TESS_BASELINES; b++)
        if (json_object_get(json_object_get(evaluation, "baselines"), tess_baseline_name(b)))
            json_array_append_new(methods, json_string(tess_baseline_name(b)));
    json_array_append_new(methods, json_string("noise ceiling"));
    for (int k = 0; k < TESS_METRICS; k++) {
        json_array_append_new(metrics, json_string(tess_metric_name(k)));
        json_array_append_new(error, json_boolean(tess_metric_is_error(k)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "methods", methods, "metrics",
                     metrics, "is_error", error, "split", copy(evaluation, "split"), "resamples",
                     copy(evaluation, "resamples"), "blend",
                     copy(json_object_get(evaluation, "source"), "blend"), "all",
                     group_json(evaluation, "all"), "contexts_in_all",
                     (json_int_t)json_object_size(contexts), "contexts", contexts_json(contexts));
}
