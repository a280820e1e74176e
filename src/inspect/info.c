/* info.c -- what a file holds. */
#include "tessera/info.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/frame.h"
#include "tessera/h5_guard.h"
#include "tessera/h5_set.h"
#include "tessera/h5ad.h"
#include "tessera/store.h"
#include "tessera/summary.h"

#include <inttypes.h>
#include <string.h>

/* Kinds, by an attribute of the root and what its text begins with. */
static const struct {
    const char *attribute, *value;
} kinds[] = {
    [TESS_INFO_STORE] = {"format", "tessera-store"},
    [TESS_INFO_CHECKPOINT] = {"format", "tessera-checkpoint"},
    [TESS_INFO_ANNDATA] = {"encoding-type", "anndata"},
};
#define N_KINDS (int)(sizeof kinds / sizeof kinds[0])

int tess_info_kind(const char *path, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    int kind = -1;

    tess_h5_guard_start(path);
    tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error);
    for (int i = 0; i < N_KINDS && kind < 0 && error->code == TESS_OK; i++) {
        char *value = NULL;

        tess_h5_read_string(&h5, "/", kinds[i].attribute, &value, error);
        if (value && strncmp(value, kinds[i].value, strlen(kinds[i].value)) == 0)
            kind = i;
        tess_free(value);
    }
    /* AnnData before 0.8 is known by its obs, MuData by its modalities */
    if (kind < 0 && error->code == TESS_OK &&
        ((tess_h5_kind(&h5, "obs") && tess_h5_kind(&h5, "var")) || tess_h5_kind(&h5, "mod")))
        kind = TESS_INFO_ANNDATA;
    if (kind < 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is neither a store, nor a checkpoint, nor AnnData; 'tessera check' "
                       "reads other inputs",
                       path);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return kind;
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

static json_t *strings_json(const struct tess_strings *strings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < strings->n; i++)
        json_array_append_new(list, json_string(strings->item[i]));
    return list;
}

/* Names in a group, without what is null. */
static json_t *list_json(const struct tess_h5 *h5, const char *group, struct tess_error *error)
{
    struct tess_strings names = {0};
    json_t *list = json_array();

    if (tess_h5_kind(h5, group) == 2)
        tess_h5_list(h5, group, &names, error);
    for (size_t i = 0; i < names.n; i++) {
        char *path = tess_format("%s/%s", group, names.item[i]);

        if (tess_h5ad_kind(h5, path))
            json_array_append_new(list, json_string(names.item[i]));
        tess_free(path);
    }
    tess_strings_release(&names);
    return list;
}

/* Rows of obs or var below `base`, and the names of its columns. */
static int64_t frame_json(const struct tess_h5 *h5, const char *base, const char *name, json_t *all,
                          struct tess_error *error)
{
    struct tess_frame frame = {0};
    char *key = tess_format("%s_columns", name), *path = tess_format("%s%s", base, name);
    int64_t n = -1;

    if (tess_frame_open(&frame, h5, path, error) == TESS_OK) {
        n = frame.n;
        json_object_set_new(all, key, strings_json(&frame.column));
    }
    tess_frame_release(&frame);
    tess_free(path);
    tess_free(key);
    return n;
}

/* "csr_matrix float32", or "none". What cannot be read is said in its place, and is no error: the
 * rest of the file is still worth showing. */
static json_t *matrix_json(const struct tess_h5 *h5, const char *name)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5_set set = {0};
    int kind = tess_h5ad_kind(h5, name);
    char *encoding = NULL, *data = kind == 2 ? tess_format("%s/data", name) : tess_strdup(name);
    json_t *json = NULL;

    if (!kind)
        json = json_string("none");
    else if (tess_h5_set_open(&set, h5, data, 0, &error) == TESS_OK) {
        tess_h5_read_string(h5, name, "encoding-type", &encoding, &error);
        json = json_sprintf("%s %s",
                            encoding    ? encoding
                            : kind == 2 ? "sparse"
                                        : "dense",
                            tess_h5_set_type_name(&set));
    }
    tess_h5_set_release(&set);
    tess_free(encoding);
    tess_free(data);
    return json ? json : json_string("unreadable");
}

static void text_sink(void *context, int64_t i, const char *text)
{
    if (i == 0 && text)
        *(json_t **)context = json_string(text);
}

/* Single texts and numbers below a group, as nested objects; of others their size. Four levels
 * deep: links of HDF5 may form a circle. */
static json_t *uns_json(const struct tess_h5 *h5, const char *group, int depth,
                        struct tess_error *error)
{
    struct tess_strings names = {0};
    json_t *all = json_object();

    if (tess_h5_list(h5, group, &names, error) != TESS_OK)
        return all;
    for (size_t i = 0; i < names.n; i++) {
        char *path = tess_format("%s/%s", group, names.item[i]);
        struct tess_error mine = TESS_ERROR_INIT;
        struct tess_h5_set set = {0};
        json_t *value = NULL;

        if (tess_h5ad_kind(h5, path) == 0 && tess_h5_kind(h5, path))
            value = json_string("none"); /* null */
        else if (tess_h5_kind(h5, path) == 2 && depth < 4)
            value = uns_json(h5, path, depth + 1, error);
        else if (tess_h5_kind(h5, path) == 1 &&
                 tess_h5_set_open(&set, h5, path, 0, &mine) == TESS_OK) {
            if (set.shape[0] * set.shape[1] == 1)
                tess_h5_set_texts(&set, 0, 1, text_sink, &value, &mine);
            else
                value = json_sprintf("%lld values", (long long)(set.shape[0] * set.shape[1]));
        }
        json_object_set_new(all, names.item[i], value ? value : json_string("…"));
        tess_h5_set_release(&set);
        tess_free(path);
    }
    tess_strings_release(&names);
    return all;
}

/* What the AnnData below `base` holds: "" is the file itself, "mod/NAME/" a modality. */
static void anndata_json(const struct tess_h5 *h5, const char *base, json_t *all,
                         struct tess_error *error)
{
    char *x = tess_format("%sX", base), *raw = tess_format("%sraw/X", base);
    char *layers = tess_format("%slayers", base), *uns = tess_format("%suns", base);
    int64_t n_obs = frame_json(h5, base, "obs", all, error);
    int64_t n_var = frame_json(h5, base, "var", all, error);

    json_object_set_new(all, "rows", json_integer(n_obs));
    json_object_set_new(all, "readouts", json_integer(n_var));
    json_object_set_new(all, "x", matrix_json(h5, x));
    if (tess_h5ad_kind(h5, raw))
        json_object_set_new(all, "raw", matrix_json(h5, raw));
    json_object_set_new(all, "layers", list_json(h5, layers, error));
    if (tess_h5_kind(h5, uns) == 2)
        json_object_set_new(all, "uns", uns_json(h5, uns, 0, error));
    tess_free(uns);
    tess_free(layers);
    tess_free(raw);
    tess_free(x);
}

/* Several AnnData, each under its name, beside the table of all their rows. */
static void mudata_json(const struct tess_h5 *h5, const struct tess_strings *names, json_t *all,
                        struct tess_error *error)
{
    json_t *modalities = json_object();

    if (tess_h5_kind(h5, "obs"))
        json_object_set_new(all, "rows", json_integer(frame_json(h5, "", "obs", all, error)));
    for (size_t i = 0; i < names->n && error->code == TESS_OK; i++) {
        char *base = tess_format("mod/%s/", names->item[i]);
        json_t *one = json_object();

        anndata_json(h5, base, one, error);
        json_object_set_new(modalities, names->item[i], one);
        tess_free(base);
    }
    json_object_set_new(all, "modalities", modalities);
}

json_t *tess_info_anndata(const char *path, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_strings names = {0};
    json_t *all = json_object();

    tess_h5_guard_start(path);
    if (tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error) == TESS_OK) {
        int is_mudata = tess_h5ad_modalities(&h5, &names);

        json_object_set_new(all, "file", json_string(path));
        json_object_set_new(all, "kind", json_string(is_mudata ? "MuData" : "AnnData"));
        if (is_mudata)
            mudata_json(&h5, &names, all, error);
        else
            anndata_json(&h5, "", all, error);
    }
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    tess_strings_release(&names);
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
