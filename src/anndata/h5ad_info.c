/* h5ad_info.c -- what an AnnData or MuData file holds. */
#include "tessera/h5ad.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/frame.h"
#include "tessera/h5_guard.h"

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

/* Single texts and numbers below a group, as nested objects; of others their size. The depth is
 * limited since links of HDF5 may form a circle. */
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

json_t *tess_h5ad_info(const char *path, struct tess_error *error)
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
