/* h5ad.c -- where an AnnData's parts lie. */
#include "tessera/h5ad.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_set.h"

#include <math.h>
#include <string.h>

#define LOOKED_AT ((int64_t)4096) /* values of a matrix, to tell what it holds */
#define NAMED     40 /* in a list */

int tess_h5ad_kind(const struct tess_h5 *h5, const char *name)
{
    return tess_h5_is_null(h5, name) ? 0 : tess_h5_kind(h5, name);
}

char *tess_h5ad_path(const struct tess_h5ad_place *place, const char *name)
{
    return tess_format("%s%s", place->base, name);
}

void tess_h5ad_release(struct tess_h5ad_place *place)
{
    tess_free(place->base);
    tess_free(place->matrix);
    tess_free(place->var);
    *place = (struct tess_h5ad_place){0};
}

static int kind_of(const struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *name)
{
    char *path = tess_h5ad_path(place, name);
    int kind = tess_h5ad_kind(h5, path);

    tess_free(path);
    return kind;
}

int tess_h5ad_modalities(const struct tess_h5 *h5, struct tess_strings *names)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct tess_strings all = {0};
    size_t before = names->n;

    if (tess_h5_kind(h5, "X") == 0 && tess_h5_kind(h5, "mod") == 2)
        tess_h5_list(h5, "mod", &all, &unused);
    for (size_t i = 0; i < all.n; i++) {
        char *var = tess_format("mod/%s/var", all.item[i]);

        if (tess_h5_kind(h5, var))
            tess_strings_add(names, all.item[i]);
        tess_free(var);
    }
    tess_strings_release(&all);
    return names->n > before;
}

/* "", or the modality's "mod/NAME/". */
static int find_base(struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *modality,
                     struct tess_error *error)
{
    struct tess_strings names = {0};
    int is_mudata = tess_h5ad_modalities(h5, &names);
    char *known = tess_strings_join(&names, ", ", NAMED);

    if (!is_mudata && modality)
        tess_error_set(error, TESS_EDATA,
                       "%s: --modality %s: is no MuData file (.h5mu), it has no modalities",
                       h5->path, modality);
    else if (is_mudata && !modality)
        tess_error_set(error, TESS_EDATA,
                       "%s: is MuData (.h5mu), several AnnData in one file: choose one with "
                       "--modality; there are: %s",
                       h5->path, known);
    else if (modality && tess_strings_find(&names, modality) < 0)
        tess_error_set(error, TESS_EDATA, "%s: has no modality '%s'; there are: %s", h5->path,
                       modality, known);
    place->base = modality ? tess_format("mod/%s/", modality) : tess_strdup("");
    tess_free(known);
    tess_strings_release(&names);
    return error->code;
}

/* raw/X as today's files have it, or raw.X of anndata < 0.7; 0: there is none. */
static int find_raw(struct tess_h5ad_place *place, const struct tess_h5 *h5)
{
    static const char *const names[2][2] = {{"raw/X", "raw/var"}, {"raw.X", "raw.var"}};

    for (int i = 0; i < 2; i++)
        if (kind_of(place, h5, names[i][0])) {
            place->matrix = tess_strdup(names[i][0]);
            /* R writes raw/X without a table of its own */
            place->var = tess_strdup(kind_of(place, h5, names[i][1]) ? names[i][1] : "var");
            return 1;
        }
    return 0;
}

/* Names of everything but X that could be a matrix. */
static struct tess_strings list_layers(const struct tess_h5ad_place *place,
                                       const struct tess_h5 *h5)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct tess_h5ad_place raw = {.base = place->base};
    struct tess_strings all = {0}, names = {0};
    char *group = tess_h5ad_path(place, "layers");

    if (find_raw(&raw, h5)) /* a layer of that name comes before it */
        tess_strings_add(&names, kind_of(place, h5, "layers/raw") ? "raw/X" : "raw");
    if (tess_h5_kind(h5, group) == 2)
        tess_h5_list(h5, group, &all, &unused);
    for (size_t i = 0; i < all.n; i++) {
        char *layer = tess_format("%s/%s", group, all.item[i]);

        if (tess_h5ad_kind(h5, layer) && tess_strings_find(&names, all.item[i]) < 0)
            tess_strings_add(&names, all.item[i]);
        tess_free(layer);
    }
    tess_free(raw.matrix);
    tess_free(raw.var);
    tess_strings_release(&all);
    tess_free(group);
    return names;
}

static int refuse(const struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *layer,
                  struct tess_error *error)
{
    struct tess_strings names = list_layers(place, h5);
    char *known = tess_strings_join(&names, ", ", NAMED);

    if (layer)
        tess_error_set(error, TESS_EDATA, "%s: has no layer '%s'; %s%s", h5->path, layer,
                       names.n ? "there are: " : "it has no layers", known);
    else
        tess_error_set(error, TESS_EDATA, "%s: has no %sX%s%s", h5->path, place->base,
                       names.n ? ", but layers (choose one with --layer): "
                               : " and no layers: there are no values to read",
                       known);
    tess_free(known);
    tess_strings_release(&names);
    return error->code;
}

/* X, the layer, or raw/X; 0: there is none. */
static int find_matrix(struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *layer)
{
    char *name = layer ? tess_format("layers/%s", layer) : tess_strdup("X");

    if (kind_of(place, h5, name)) {
        place->matrix = name;
        place->var = tess_strdup("var");
        return 1;
    }
    tess_free(name);
    return layer && (strcmp(layer, "raw") == 0 || strcmp(layer, "raw/X") == 0) &&
           find_raw(place, h5);
}

int tess_h5ad_find(struct tess_h5ad_place *place, const struct tess_h5 *h5, const char *modality,
                   const char *layer, struct tess_error *error)
{
    *place = (struct tess_h5ad_place){0};
    if (find_base(place, h5, modality, error) == TESS_OK && !find_matrix(place, h5, layer))
        refuse(place, h5, layer, error);
    return error->code;
}

/* What a matrix's first values are: -1 negative ones among them, 1 counts, 0 something else. */
static int sign_of(const struct tess_h5_set *set, struct tess_error *error)
{
    int64_t columns = set->shape[1] < LOOKED_AT ? set->shape[1] : LOOKED_AT, rows;
    float *value = TESS_NEW(float, LOOKED_AT);
    int negative = 0, other = 0, counted = 0;

    rows = columns > 0 && LOOKED_AT / columns < set->shape[0] ? LOOKED_AT / columns : set->shape[0];
    if (columns > 0 && rows > 0)
        tess_h5_set_read(set, H5T_NATIVE_FLOAT, (int64_t[2]){0, 0}, (int64_t[2]){rows, columns},
                         value, error);
    for (int64_t i = 0; i < rows * columns && error->code == TESS_OK; i++) {
        negative |= value[i] < 0;
        counted |= value[i] > 0;
        other |= !(value[i] == floorf(value[i]));
    }
    tess_free(value);
    return negative ? -1 : counted && !other;
}

/* A matrix that cannot be read is none that we would name. */
static int holds_counts(const struct tess_h5ad_place *place, const struct tess_h5 *h5)
{
    struct tess_error unused = TESS_ERROR_INIT;
    struct tess_h5_set set = {0};
    char *path = tess_h5ad_path(place, place->matrix), *data = tess_format("%s/data", path);
    int counts =
        tess_h5_set_open(&set, h5, tess_h5_kind(h5, path) == 2 ? data : path, 0, &unused) ==
            TESS_OK &&
        (tess_h5_set_class(&set) == TESS_H5_REAL || tess_h5_set_class(&set) == TESS_H5_INTEGER) &&
        sign_of(&set, &unused) > 0;

    tess_h5_set_release(&set);
    tess_free(data);
    tess_free(path);
    return counts;
}

/* Only advice: that others cannot be read is no error. */
char *tess_h5ad_counts(const struct tess_h5ad_place *place, const struct tess_h5_set *values,
                       struct tess_error *error)
{
    struct tess_strings names, found = {0};
    char *text = NULL;

    if (sign_of(values, error) >= 0 || error->code != TESS_OK)
        return NULL;
    names = list_layers(place, values->h5);
    for (size_t i = 0; i < names.n; i++) {
        struct tess_h5ad_place other = {.base = tess_strdup(place->base)};

        if (find_matrix(&other, values->h5, names.item[i]) &&
            strcmp(other.matrix, place->matrix) != 0 && holds_counts(&other, values->h5)) {
            text = tess_format("%s (--layer %s)", other.matrix, names.item[i]);
            tess_strings_add(&found, text);
            tess_free(text);
        }
        tess_h5ad_release(&other);
    }
    text = found.n ? tess_strings_join(&found, ", ", NAMED) : NULL;
    tess_strings_release(&found);
    tess_strings_release(&names);
    return text;
}
