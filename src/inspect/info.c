/* info.c -- what a file holds. */
#include "tessera/info.h"

#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/config.h"
#include "tessera/deviation.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/summary.h"
#include "tessera/writer.h"

#include <inttypes.h>
#include <string.h>

/* Kinds of our own, by what the root's attribute `format` begins with. */
static const char *const formats[] = {
    [TESS_INFO_STORE] = "tessera-store",
    [TESS_INFO_CHECKPOINT] = "tessera-checkpoint",
};
#define N_FORMATS (int)(sizeof formats / sizeof formats[0])

static void refuse(const char *path, struct tess_error *error)
{
    char *names = tess_writer_names(0, ", nor ");

    tess_error_set(error, TESS_EDATA,
                   "%s: is neither a store, nor a checkpoint, nor %s; 'tessera check' reads other "
                   "inputs",
                   path, names);
    tess_free(names);
}

int tess_info_kind(const char *path, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    char *format = NULL;
    int kind = -1, type = tess_writer_find(path, 0);

    if (tess_unfinished_is(path))
        return TESS_INFO_UNFINISHED;
    if (type >= 0 && !tess_writer_types[type]->recognize) /* no HDF5 */
        return TESS_INFO_MATRIX + type;
    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK)
        tess_h5_read_string(&h5, "/", "format", &format, error);
    for (int i = 0; i < N_FORMATS && format && kind < 0; i++)
        if (strncmp(format, formats[i], strlen(formats[i])) == 0)
            kind = i;
    for (int i = 0; i < tess_n_writer_types && kind < 0 && error->code == TESS_OK; i++)
        if (tess_writer_types[i]->recognize && tess_writer_types[i]->recognize(&h5, error))
            kind = TESS_INFO_MATRIX + i;
    if (kind < 0)
        refuse(path, error);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    tess_free(format);
    return kind;
}

json_t *tess_info_unfinished(const char *path, struct tess_error *error)
{
    struct tess_record record;
    json_t *all = NULL;

    if (tess_record_read(&record, path, error) == TESS_OK)
        all = json_pack(
            "{s:s, s:o, s:I, s:I, s:f, s:O}", "file", path, "kind",
            json_sprintf("unfinished %s", record.kind), "rows", (json_int_t)record.rows, "finished",
            (json_int_t)(record.finished > 0 ? record.finished : 0), "percent",
            record.finished > 0 ? 100.0 * (double)record.finished / (double)record.rows : 0.0, "of",
            record.key);
    tess_record_release(&record);
    return all;
}

static json_t *hash_json(uint64_t hash)
{
    return json_sprintf("%016" PRIx64, hash);
}

/* One row for every context: its experiments stand together in a store. */
static json_t *contexts_json(const struct tess_index *index)
{
    json_t *list = json_array();

    for (int64_t begin = 0, end = 0; begin < index->n_experiments; begin = end) {
        int64_t c = index->context_of[begin], held[4] = {0}, observed = 0, readouts = 0;
        int control = 0;

        for (; end < index->n_experiments && index->context_of[end] == c; end++) {
            int64_t length = index->value_first[end + 1] - index->value_first[end];

            held[index->split[end]]++;
            observed += index->n_observed[end];
            readouts = length > readouts ? length : readouts;
            control |= tess_index_is_control(index, index->combination[end]);
        }
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "context",
                      index->context.symbol[c], "experiments", (json_int_t)(end - begin), "train",
                      (json_int_t)held[TESS_TRAIN], "val", (json_int_t)held[TESS_VAL], "test",
                      (json_int_t)held[TESS_TEST], "readouts", (json_int_t)readouts, "observations",
                      (json_int_t)observed, "control", control));
    }
    return list;
}

json_t *tess_info_store(const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    struct tess_summary summary;
    struct tess_error error = TESS_ERROR_INIT;
    char *creator = NULL;
    json_t *all = json_object(), *counts;

    tess_h5_read_string(&store->h5, "/", "created_by", &creator, &error);
    tess_summary_init(&summary, index);
    counts = tess_summary_json(&summary);
    json_object_set_new(all, "file", json_string(store->h5.path));
    json_object_set_new(all, "kind", json_string("store"));
    json_object_set_new(all, "created_by", json_string(creator ? creator : ""));
    json_object_set_new(all, "hash", hash_json(index->hash));
    json_object_set_new(all, "split_hash", hash_json(index->split_hash));
    json_object_update(all, counts);
    json_object_set_new(all, "split_method", json_string(store->split_method));
    json_object_set_new(all, "context", contexts_json(index));
    json_decref(counts);
    tess_summary_release(&summary);
    tess_free(creator);
    return all;
}

/* What the best checkpoint of a member says. */
static json_t *member_json(const char *path, struct tess_error *error)
{
    static const char *const shown[] = {"step", "best_epoch", "best_validation_rmse"};
    static const char *const settings[][2] = {{"kind", "model.kind"}, {"seed", "run.seed"}};
    struct tess_strings checkpoint = {0};
    json_t *all = json_pack("{s:s}", "member", path), *found = NULL;
    struct tess_error none = TESS_ERROR_INIT;
    char *store = NULL;

    if (tess_rundir_find(path, &checkpoint, &store, &none) == TESS_OK)
        found = tess_checkpoint_info(checkpoint.item[0], error);
    for (int i = 0; i < 2; i++)
        json_object_set(all, settings[i][0],
                        found ? json_object_get(json_object_get(found, "config"), settings[i][1])
                              : json_null());
    for (int i = 0; i < 3; i++)
        json_object_set(all, shown[i], found ? json_object_get(found, shown[i]) : json_null());
    json_decref(found);
    tess_strings_release(&checkpoint);
    tess_free(store);
    return all;
}

json_t *tess_info_members(const char *path, struct tess_error *error)
{
    char *used = tess_format("%s/used.yaml", path);
    json_t *all = json_object(), *members = json_array();
    struct tess_error bad = TESS_ERROR_INIT;
    struct tess_deviation_file deviation;
    struct tess_config config;
    int64_t *number, n = tess_rundir_members(path, &number);
    int there;

    tess_rundir_read_used(used, &config, &bad);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        char *member = tess_rundir_member(path, number[i]);

        json_array_append_new(members, member_json(member, error));
        tess_free(member);
    }
    json_object_set_new(all, "directory", json_string(path));
    json_object_set_new(all, "kind", json_string("members of a run"));
    json_object_set_new(all, "members", json_integer(n));
    json_object_set_new(all, "train.members",
                        bad.code == TESS_OK ? json_integer(config.train.members) : json_null());
    json_object_set_new(all, "member", members);
    bad = (struct tess_error)TESS_ERROR_INIT;
    if (tess_deviation_read(path, &deviation, &there, &bad) != TESS_OK)
        tess_warn("%s", bad.text);
    else
        json_object_set_new(all, "deviation",
                            there ? tess_deviation_json(&deviation) : json_null());
    tess_free(number);
    tess_free(used);
    if (error->code == TESS_OK)
        return all;
    json_decref(all);
    return NULL;
}

/* A value without quotes; lists of them with commas between. Own of the caller. */
static char *plain(const json_t *value)
{
    char number[64];

    if (json_is_string(value))
        return tess_strdup(json_string_value(value));
    if (json_is_integer(value))
        return tess_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) {
        snprintf(number, sizeof number, "%.6g", json_real_value(value));
        return tess_strdup(number);
    }
    if (json_is_array(value)) {
        struct tess_strings parts = {0};
        char *text;

        for (size_t i = 0; i < json_array_size(value); i++) {
            text = plain(json_array_get(value, i));
            tess_strings_add(&parts, text);
            tess_free(text);
        }
        text = parts.n ? tess_strings_join(&parts, ", ", 20) : tess_strdup("none");
        tess_strings_release(&parts);
        return text;
    }
    return tess_strdup(json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
}

/* Objects of the same keys, as a table; the first column to the left, the others to the right. */
static void print_table(const json_t *rows, FILE *out)
{
    const char *key;
    json_t *value;
    int first = 1;
    size_t longest = 8;

    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        char *text = plain(json_object_iter_value(json_object_iter(row)));

        longest = strlen(text) > longest ? strlen(text) : longest;
        tess_free(text);
    }
    for (size_t i = 0; i <= json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i ? i - 1 : 0);

        first = 1;
        json_object_foreach(row, key, value)
        {
            char *text = i ? plain(value) : tess_strdup(key);

            fprintf(out, first ? "  %-*s" : "  %*s", first ? (int)longest : (int)strlen(key) + 1,
                    text);
            first = 0;
            tess_free(text);
        }
        fputc('\n', out);
    }
}

static void print_object(const json_t *json, int indent, FILE *out)
{
    const char *key;
    json_t *value;

    /* Jansson's loop takes no const, and changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (json_is_object(value)) {
            fprintf(out, "%*s%s\n", indent, "", key);
            print_object(value, indent + 2, out);
        } else if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
            print_table(value, out);
        } else {
            char *text = plain(value);

            fprintf(out, "%*s%-*s %s\n", indent, "", 26 - indent, key, text);
            tess_free(text);
        }
    }
}

void tess_info_print(const json_t *json, FILE *out)
{
    print_object(json, 0, out);
}
