/* sections_trained.c -- what was trained on what, and how it went. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/info.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_MEMBERS  12 /* whose curves are shown */
#define MOST_EPOCHS   400 /* of a curve */
#define MOST_CONTEXTS 200 /* of the store that are listed */

static json_t *member_json(const struct tess_model *model, json_t **config,
                           struct tess_error *error)
{
    static const char *const kept[] = {"created_by",           "step",       "best_epoch",
                                       "best_validation_rmse", "store_hash", "split_hash"};
    json_t *found = tess_checkpoint_info(model->path, error), *one = json_object();

    json_object_set_new(one, "file", tess_sections_text(model->path));
    for (size_t i = 0; found && i < sizeof kept / sizeof kept[0]; i++)
        json_object_set(one, kept[i], json_object_get(found, kept[i]));
    json_object_set_new(one, "hash", json_sprintf("%016llx", (unsigned long long)model->own_hash));
    if (found) {
        json_t *settings = json_object_get(found, "config");

        json_object_set(one, "seed", json_object_get(settings, "run.seed"));
        json_object_set(one, "kind", json_object_get(settings, "model.kind"));
        if (!*config)
            *config = json_incref(settings);
        json_decref(found);
    }
    return one;
}

json_t *tess_sections_trained(const struct tess_report *report, const struct tess_model *model,
                              struct tess_error *error)
{
    json_t *members = json_array(), *config = NULL;

    for (const struct tess_model *m = model; m && error->code == TESS_OK; m = m->next)
        json_array_append_new(members, member_json(m, &config, error));
    if (error->code != TESS_OK) {
        json_decref(members);
        json_decref(config);
        return NULL;
    }
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "run", tess_sections_text(report->run),
                     "store", tess_sections_text(model->store_path), "perturbations",
                     (json_int_t)model->perturbation.n, "readouts", (json_int_t)model->readout.n,
                     "contexts", (json_int_t)model->context.n, "members", members, "settings",
                     config);
}

json_t *tess_sections_store(const struct tess_store *store)
{
    json_t *all = tess_info_store(store), *contexts = json_object_get(all, "context");
    size_t n = json_array_size(contexts);

    json_object_set_new(all, "file", tess_sections_text(store->h5.path));
    json_object_set_new(all, "contexts_in_all", json_integer((json_int_t)n));
    while (json_array_size(contexts) > MOST_CONTEXTS)
        json_array_remove(contexts, json_array_size(contexts) - 1);
    return all;
}

/* ---- curves ---- */

/* The numbers of a line of log.jsonl, into arrays of the same names. */
static void add_epoch(json_t *curve, const char *text)
{
    static const char *const kept[] = {"epoch", "train_rmse", "val_rmse", "learning_rate"};
    json_t *line = json_loads(text, 0, NULL);

    for (size_t i = 0; line && i < sizeof kept / sizeof kept[0]; i++) {
        json_t *list = json_object_get(curve, kept[i]), *value = json_object_get(line, kept[i]);

        if (!list) {
            list = json_array();
            json_object_set_new(curve, kept[i], list);
        }
        json_array_append(list, value ? value : json_null());
    }
    json_decref(line);
}

/* The epoch of the least error of validation; -1: there is none. */
static int64_t best_of(const json_t *curve, int64_t n)
{
    const json_t *list = json_object_get(curve, "val_rmse");
    int64_t best = -1;

    for (int64_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, (size_t)i);

        if (json_is_number(value) &&
            (best < 0 ||
             json_number_value(value) < json_number_value(json_array_get(list, (size_t)best))))
            best = i;
    }
    return best;
}

/* Every step-th epoch, counted back from the last one, and the best one. */
static void thin(json_t *curve, int64_t n, int64_t step)
{
    int64_t best = best_of(curve, n);
    const char *key;
    json_t *list;

    json_object_foreach(curve, key, list)
    {
        json_t *kept = json_array();

        for (int64_t i = 0; i < n; i++)
            if (i == best || i % step == (n - 1) % step)
                json_array_append(kept, json_array_get(list, (size_t)i));
        json_array_clear(list);
        json_array_extend(list, kept);
        json_decref(kept);
    }
}

static json_t *read_curve(const char *path, struct tess_error *error)
{
    struct tess_lines lines = {0};
    json_t *curve = json_object();
    int64_t n;
    char *text;
    size_t length;

    if (tess_lines_open(&lines, path, NULL, error) == TESS_OK)
        while (tess_lines_next(&lines, &text, &length, error) == 1)
            add_epoch(curve, text);
    tess_lines_release(&lines);
    n = (int64_t)json_array_size(json_object_get(curve, "epoch"));
    if (n > 0)
        thin(curve, n, tess_sections_step(n, MOST_EPOCHS));
    json_object_set_new(curve, "epochs", json_integer(n));
    return curve;
}

json_t *tess_sections_curve(const struct tess_model *model, struct tess_error *error)
{
    json_t *members = json_array();

    for (const struct tess_model *m = model; m && error->code == TESS_OK; m = m->next) {
        char *directory = tess_text_directory(m->path), *path;

        path = tess_format("%s/log.jsonl", directory);
        if (access(path, R_OK) == 0 && json_array_size(members) < MOST_MEMBERS) {
            json_t *curve = read_curve(path, error);

            json_object_set_new(curve, "member", tess_sections_text(directory));
            json_array_append_new(members, curve);
        }
        tess_free(path);
        tess_free(directory);
    }
    if (json_array_size(members) > 0)
        return json_pack("{s:I, s:o}", "in_all", (json_int_t)model->n_members, "members", members);
    json_decref(members);
    return tess_sections_missing(
        "There is no log.jsonl beside the checkpoint: give the run's "
        "directory, as tessera train wrote it, for the curve of its training.");
}
