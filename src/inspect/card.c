/* card.c -- what a trained model is, what it was trained on, how good it is, what it cannot do.
 *
 * All of it is read from the run's own files: the checkpoint's head, blend.json (errors on
 * validation data), scores.json (of `evaluate`, if somebody put it there) and the store, if it is
 * still the one that the model was trained on. */
#include "tessera/card.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/info.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct card {
    const char *run;
    const json_t *checkpoint;
    json_t *store, *blend, *scores; /* NULL: there is none, or none that fits; own */
    int64_t train, val, values; /* of the store: experiments, and values trained on */
    const char *left_out; /* why there are no test scores */
    json_t *limits;
};

static const char *setting(const struct card *card, const char *name)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(card->checkpoint, "config"), name));

    return text ? text : "";
}

static json_int_t count_of(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

static int is_same(const json_t *a, const char *key, const json_t *b, const char *other)
{
    const char *x = json_string_value(json_object_get(a, key)),
               *y = json_string_value(json_object_get(b, other));

    return x && y && strcmp(x, y) == 0;
}

/* The store, if it is the one. */
static void read_store(struct card *card, const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;

    if (!path[0] || access(path, R_OK) < 0)
        return;
    if (tess_store_open(&store, path, MPI_COMM_SELF, &error) == TESS_OK) {
        card->store = tess_info_store(&store);
        card->values = tess_index_observed(&store.index, TESS_TRAIN);
    }
    tess_store_release(&store);
    if (card->store && (!is_same(card->store, "hash", card->checkpoint, "store_hash") ||
                        !is_same(card->store, "split_hash", card->checkpoint, "split_hash"))) {
        json_decref(card->store);
        card->store = NULL;
    }
    card->train = count_of(json_object_get(card->store, "split"), "train");
    card->val = count_of(json_object_get(card->store, "split"), "val");
}

static json_t *read_json(const char *directory, const char *name)
{
    char *path = tess_format("%s/%s", directory, name);
    json_t *json = json_load_file(path, 0, NULL);

    tess_free(path);
    return json;
}

/* Scores of other parameters, or on other data, are not this model's. */
static void read_scores(struct card *card)
{
    const json_t *source;

    card->blend = read_json(card->run, TESS_RUN_BLEND);
    card->scores = read_json(card->run, TESS_CARD_SCORES);
    source = json_object_get(card->scores, "source");
    if (!card->scores)
        card->left_out = "none here";
    else if (!is_same(source, "store", card->checkpoint, "store_hash") ||
             !is_same(source, "split", card->checkpoint, "split_hash") ||
             (card->blend && !is_same(source, "model", card->blend, "model_hash")))
        card->left_out = TESS_CARD_SCORES " is of another model or other data";
    if (card->left_out) {
        json_decref(card->scores);
        card->scores = NULL;
    }
}

static json_t *model_text(const struct card *card)
{
    const char *kind = setting(card, "model.kind");
    int layers = strcmp(setting(card, "model.layers"), "0") != 0 && strcmp(kind, "cp") != 0;
    char *hidden =
        layers ? tess_format(", %s hidden layers of %s units", setting(card, "model.layers"),
                             setting(card, "model.hidden_dim"))
               : tess_strdup("");
    json_int_t members = count_of(card->checkpoint, "members");
    char *each = members > 0 ? tess_format("%" JSON_INTEGER_FORMAT " members, the first: ", members)
                             : tess_strdup("");
    json_t *text = json_sprintf("%s%s, %s columns%s, %" JSON_INTEGER_FORMAT " parameters", each,
                                kind, setting(card, "model.embedding_dim"), hidden,
                                count_of(card->checkpoint, "parameters"));

    tess_free(each);
    tess_free(hidden);
    return text;
}

static json_t *knows_text(const struct card *card)
{
    const json_t *tables = json_object_get(card->checkpoint, "table");
    struct tess_strings parts = {0};
    json_t *text;
    char *all;

    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *table = json_array_get(tables, i);
        json_int_t rows = count_of(table, "rows"), trained = count_of(table, "trained");
        char *part = tess_format("%" JSON_INTEGER_FORMAT " %ss", rows,
                                 json_string_value(json_object_get(table, "table")));

        if (trained < rows) {
            char *both =
                tess_format("%s (%" JSON_INTEGER_FORMAT " of them trained on)", part, trained);

            tess_free(part);
            part = both;
        }
        tess_strings_add(&parts, part);
        tess_free(part);
    }
    all = tess_strings_join(&parts, ", ", parts.n);
    text = json_string(all);
    tess_free(all);
    tess_strings_release(&parts);
    return text;
}

static json_t *data_text(const struct card *card, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (!card->store)
        return json_sprintf("%s%sstore %s, which is not at hand", name, name[0] ? ", " : "",
                            json_string_value(json_object_get(card->checkpoint, "store_hash")));
    return json_sprintf("%" PRId64 " experiments, %" PRId64 " values of %s", card->train,
                        card->values, name);
}

/* A row: what a method scores on validation and on test data. */
static void add_row(const struct card *card, json_t *rows, const char *name, json_t *validation,
                    const json_t *test)
{
    json_t *row = json_pack("{s:s, s:o}", "score", name, "val_rmse", validation);
    static const char *const shown[][2] = {{"test_rmse", "rmse"},
                                           {"test_r_delta", "pearson_delta"},
                                           {"test_r_ctxmean", "pearson_delta_ctxmean"}};

    for (int i = 0; i < 3 && card->scores; i++) {
        json_t *value = json_object_get(test, shown[i][1]);

        json_object_set(row, shown[i][0], value ? value : json_null());
    }
    json_array_append_new(rows, row);
}

static json_t *shared(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return value ? json_incref(value) : json_null();
}

static json_t *scores_json(const struct card *card)
{
    const json_t *validation = json_object_get(card->blend, "validation_rmse"),
                 *test = json_object_get(card->scores, "baselines");
    int blended = json_is_array(json_object_get(json_object_get(card->scores, "source"), "blend"));
    json_t *rows = json_array(), *value;
    const char *name;

    add_row(card, rows, blended ? "model, alone" : "model",
            shared(card->checkpoint, "best_validation_rmse"),
            blended ? NULL : json_object_get(card->scores, "model"));
    if (blended)
        add_row(card, rows, "model, as it predicts", json_null(),
                json_object_get(card->scores, "model"));
    json_object_foreach((json_t *)(uintptr_t)(test ? test : validation), name, value)
    {
        if (json_is_object(value) || json_is_number(value))
            add_row(card, rows, name, shared(validation, name), test ? value : NULL);
    }
    value = json_object_get(card->scores, "ceiling");
    if (json_is_object(value))
        add_row(card, rows, "noise ceiling", json_null(), value);
    return rows;
}

static void limit(struct card *card, const char *key, const char *text)
{
    json_object_set_new(card->limits, key, json_string(text));
}

static void say_symbols(struct card *card)
{
    struct tess_strings ways = {0};
    char *text;

    if (json_object_get(card->checkpoint, "features"))
        tess_strings_add(&ways, "perturbations with features");
    if (strcmp(setting(card, "model.doses"), "true") == 0)
        tess_strings_add(&ways, "other doses of its drugs");
    if (strcmp(setting(card, "model.context_parts"), "true") == 0)
        tess_strings_add(&ways, "contexts of parts that it knows");
    tess_strings_add(&ways, "combinations of perturbations that it knows");
    text = tess_strings_join(&ways, ", ", ways.n);
    json_object_set_new(card->limits, "new symbols",
                        json_sprintf("%s; others need a training (--init: from this model)", text));
    tess_free(text);
    tess_strings_release(&ways);
}

static void say_data(struct card *card)
{
    const json_t *missing = json_object_get(card->store, "contexts_without_control"), *tables;
    json_int_t several = count_of(card->store, "combinations_of_several");

    if (card->store && several == 0)
        limit(card, "combinations",
              "none was trained on: nothing is known of how perturbations interact");
    if (json_array_size(missing) > 0)
        json_object_set_new(card->limits, "controls",
                            json_sprintf("%zu contexts have none: changes are against their means",
                                         json_array_size(missing)));
    tables = json_object_get(card->checkpoint, "table");
    for (size_t i = 0; i < json_array_size(tables); i++) {
        const json_t *table = json_array_get(tables, i);
        char *key = tess_format("%ss", json_string_value(json_object_get(table, "table")));
        json_int_t never = count_of(table, "rows") - count_of(table, "trained");

        if (never > 0)
            json_object_set_new(
                card->limits, key,
                json_sprintf("%" JSON_INTEGER_FORMAT " have no training data", never));
        tess_free(key);
    }
}

static void say_scores(struct card *card)
{
    if (!json_is_number(json_object_get(card->checkpoint, "best_validation_rmse")))
        limit(card, "validation",
              "nothing was held out: the last epoch stands, and no baseline stands beside it");
    if (card->left_out)
        json_object_set_new(card->limits, "test scores",
                            json_sprintf("%s: tessera evaluate %s --json %s/" TESS_CARD_SCORES
                                         " makes them",
                                         card->left_out, card->run, card->run));
    if (strcmp(setting(card, "model.noise"), "learned") != 0 &&
        count_of(card->checkpoint, "members") < 2)
        limit(card, "deviations",
              "predictions come without: train.members or model.noise give them");
}

json_t *tess_card(const char *run, const char *store, const json_t *checkpoint)
{
    struct card card = {.run = run, .checkpoint = checkpoint, .limits = json_object()};
    json_t *all = json_object();

    read_store(&card, store);
    read_scores(&card);
    json_object_set_new(all, "model", model_text(&card));
    json_object_set_new(all, "knows", knows_text(&card));
    json_object_set_new(all, "trained_on", data_text(&card, store));
    json_object_set_new(
        all, "training",
        json_sprintf("%" JSON_INTEGER_FORMAT " epochs, the best %" JSON_INTEGER_FORMAT ", seed %s",
                     (json_int_t)strtoll(setting(&card, "train.epochs"), NULL, 10),
                     count_of(checkpoint, "best_epoch"), setting(&card, "run.seed")));
    json_object_set_new(all, "score", scores_json(&card));
    say_symbols(&card);
    say_data(&card);
    say_scores(&card);
    json_object_set_new(all, "limits", card.limits);
    json_decref(card.store);
    json_decref(card.blend);
    json_decref(card.scores);
    return all;
}
