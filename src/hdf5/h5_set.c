/* h5_set.c -- parts of other people's datasets, with every claim of the file checked first. */
#include "tessera/h5_set.h"

#include "h5_claim.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CACHE_MIN   ((size_t)1 << 20)
#define CACHE_MAX   ((size_t)1 << 30)
#define PIECE_BYTES ((int64_t)1 << 20) /* of text at a time */

struct texts { /* one call of tess_h5_set_texts */
    const struct tess_h5_set *set;
    tess_text_sink *sink;
    void *context;
    hid_t memory; /* type */
    int64_t n_piece; /* elements read at a time */
};

static int refuse(const struct tess_h5_set *set, const char *what, struct tess_error *error)
{
    return tess_h5_fail(set->h5, set->name, what, TESS_EDATA, error);
}

/* A band of chunks `along` the other dimension must fit the cache: else each of them would be
 * unpacked again for every read. Such a dataset is opened anew, with a larger one. Its hash table
 * has 20 slots for each chunk of the band (H5Pset_chunk_cache advises 10 to 100), and 1.0 lets
 * chunks go first that were read to their end. */
static void widen_cache(struct tess_h5_set *set, int along)
{
    int across = along == 0 ? 1 : 0;
    double bytes = (double)set->chunk[along] * (double)H5Tget_size(set->type);
    double n = 1;
    hid_t list, wide;

    if (set->n_dims == 0 || set->chunk[along] == 0 || set->chunk[across] == 0)
        return;
    n = ceil((double)set->shape[across] / (double)set->chunk[across]);
    bytes *= n * (double)set->chunk[across];
    if (bytes <= (double)CACHE_MIN)
        return;
    list = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(list, n < 1e5 ? (size_t)(n * 20) | 1 : 2000003,
                       bytes < (double)CACHE_MAX ? (size_t)bytes + CACHE_MIN : CACHE_MAX, 1.0);
    wide = H5Dopen2(set->h5->file, set->name, list);
    H5Pclose(list);
    if (wide >= 0) {
        H5Dclose(set->id);
        set->id = wide;
    }
}

/* The claim is judged before anything of its size is done, as widening the cache is. */
int tess_h5_set_open(struct tess_h5_set *set, const struct tess_h5 *h5, const char *name, int along,
                     struct tess_error *error)
{
    struct tess_h5_claim claim;

    *set = (struct tess_h5_set){.h5 = h5, .name = tess_strdup(name), .id = H5I_INVALID_HID};
    set->type = H5I_INVALID_HID;
    if (tess_fail_here(error, name))
        return error->code;
    if (tess_h5_kind(h5, name) != 1)
        return tess_error_set(error, TESS_EDATA, "%s: %s: is missing or no dataset", h5->path,
                              name);
    set->id = H5Dopen2(h5->file, name, H5P_DEFAULT);
    if (set->id >= 0)
        set->type = H5Dget_type(set->id);
    if (set->type < 0)
        return refuse(set, "cannot be opened", error);
    if (tess_h5_claim_read(&claim, h5, name, set->id, error) != TESS_OK)
        return error->code;
    set->n_dims = claim.n_dims;
    memcpy(set->shape, claim.shape, sizeof set->shape);
    memcpy(set->chunk, claim.chunk, sizeof set->chunk);
    widen_cache(set, along);
    return TESS_OK;
}

int tess_h5_set_choose(struct tess_h5_set *set, const char *field, struct tess_error *error)
{
    int member =
        H5Tget_class(set->type) == H5T_COMPOUND ? H5Tget_member_index(set->type, field) : -1;
    hid_t type = member < 0 ? H5I_INVALID_HID : H5Tget_member_type(set->type, (unsigned)member);

    if (type < 0) {
        H5Eclear2(H5E_DEFAULT);
        return tess_error_set(error, TESS_EDATA, "%s: %s: has no field '%s'", set->h5->path,
                              set->name, field);
    }
    H5Tclose(set->type);
    set->type = type;
    set->field = tess_strdup(field);
    return TESS_OK;
}

void tess_h5_set_release(struct tess_h5_set *set)
{
    if (set->name && set->type >= 0)
        H5Tclose(set->type);
    if (set->name && set->id >= 0)
        H5Dclose(set->id);
    tess_free(set->name);
    tess_free(set->field);
    *set = (struct tess_h5_set){.id = H5I_INVALID_HID, .type = H5I_INVALID_HID};
}

/* The memory type by which HDF5 hands out `type`, or the one field of it. */
static hid_t memory_type(const struct tess_h5_set *set, hid_t type)
{
    hid_t wrapped;

    if (!set->field)
        return H5Tcopy(type);
    wrapped = H5Tcreate(H5T_COMPOUND, H5Tget_size(type));
    if (wrapped >= 0)
        H5Tinsert(wrapped, set->field, 0, type);
    return wrapped;
}

/* A field is read through a compound of that one member, which HDF5 finds by its name. */
int tess_h5_set_read(const struct tess_h5_set *set, hid_t type, const int64_t first[2],
                     const int64_t count[2], void *out, struct tess_error *error)
{
    hsize_t start[2], length[2], n = 1;
    hid_t memory, from, to;

    for (int i = 0; i < 2; i++) {
        int64_t at = i < set->n_dims ? first[i] : 0;

        start[i] = (hsize_t)at;
        length[i] = (hsize_t)(i < set->n_dims ? count[i] : 1);
        n *= length[i];
        if (at < 0 || (int64_t)length[i] < 0 || at > set->shape[i] - (int64_t)length[i])
            return tess_error_set(error, TESS_EDATA,
                                  "%s: %s: has %" PRId64 " values where %" PRId64 " are needed: "
                                  "the file is damaged",
                                  set->h5->path, set->name, set->shape[i], at + (int64_t)length[i]);
    }
    if (n == 0)
        return TESS_OK;
    memory = memory_type(set, type);
    from = H5Dget_space(set->id);
    to = H5Screate_simple(1, &n, NULL);
    if (set->n_dims > 0)
        H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, length, NULL);
    if (memory < 0 || H5Dread(set->id, memory, to, from, H5P_DEFAULT, out) < 0)
        refuse(set, "cannot be read", error);
    H5Sclose(to);
    H5Sclose(from);
    if (memory >= 0)
        H5Tclose(memory);
    return error->code;
}

static int read_piece(const struct texts *texts, int64_t first, int64_t n, void *out,
                      struct tess_error *error)
{
    return tess_h5_set_read(texts->set, texts->memory, (int64_t[2]){first, 0}, (int64_t[2]){n, 1},
                            out, error);
}

static void give(const struct texts *texts, int64_t i, const char *text)
{
    char *valid = text ? tess_text_utf8(text) : NULL;

    texts->sink(texts->context, i, valid ? valid : text);
    tess_free(valid);
}

/* The texts are memory of HDF5, which H5Dvlen_reclaim gives back. One that was never written is a
 * NULL and stands for "". */
static int variable_piece(const struct texts *texts, int64_t first, int64_t n, void *buffer,
                          struct tess_error *error)
{
    hsize_t length = (hsize_t)n;
    hid_t space, memory;
    char **text = buffer;

    memset(text, 0, (size_t)n * sizeof text[0]);
    read_piece(texts, first, n, buffer, error);
    if (error->code != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < n; i++)
        give(texts, first + i, text[i] ? text[i] : "");
    space = H5Screate_simple(1, &length, NULL);
    memory = memory_type(texts->set, texts->memory);
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, text);
    H5Tclose(memory);
    H5Sclose(space);
    return TESS_OK;
}

static int fixed_piece(const struct texts *texts, int64_t first, int64_t n, void *buffer,
                       struct tess_error *error)
{
    size_t width = H5Tget_size(texts->memory);

    if (read_piece(texts, first, n, buffer, error) == TESS_OK)
        for (int64_t i = 0; i < n; i++)
            give(texts, first + i, (char *)buffer + (size_t)i * width);
    return error->code;
}

/* Numbers of any width come as 8 bytes: double, int64 or uint64 (text_type). */
static int number_piece(const struct texts *texts, int64_t first, int64_t n, void *buffer,
                        struct tess_error *error)
{
    int single = H5Tget_size(texts->set->type) <= sizeof(float);
    H5T_class_t class = H5Tget_class(texts->set->type);
    int is_signed = class != H5T_FLOAT && H5Tget_sign(texts->set->type) != H5T_SGN_NONE;
    char text[32];

    if (read_piece(texts, first, n, buffer, error) != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < n; i++) {
        double x = ((double *)buffer)[i];
        int64_t whole = ((int64_t *)buffer)[i];

        if (class == H5T_FLOAT)
            tess_text_number(x, single, text);
        else if (is_signed)
            snprintf(text, sizeof text, "%" PRId64, whole);
        else
            snprintf(text, sizeof text, "%" PRIu64, (uint64_t)whole);
        texts->sink(texts->context, first + i, class == H5T_FLOAT && isnan(x) ? NULL : text);
    }
    return TESS_OK;
}

/* HDF5 hands out the value in the type of the file, and converts it in place: hence the room. */
static int64_t member_value(hid_t type, unsigned member)
{
    union {
        int64_t whole;
        char bytes[64];
    } value = {0};
    hid_t super = H5Tget_super(type);

    if (super >= 0 && H5Tget_size(super) <= sizeof value &&
        H5Tget_member_value(type, member, &value) >= 0)
        H5Tconvert(super, H5T_NATIVE_INT64, 1, &value, NULL, H5P_DEFAULT);
    if (super >= 0)
        H5Tclose(super);
    return value.whole;
}

/* Names of the members; h5py's booleans are an enumeration of FALSE and TRUE. */
static int enum_piece(const struct texts *texts, int64_t first, int64_t n, void *buffer,
                      struct tess_error *error)
{
    int n_members = H5Tget_nmembers(texts->set->type);
    int64_t *value = TESS_NEW(int64_t, n_members < 0 ? 0 : n_members), *code = buffer;
    struct tess_strings name = {0};

    for (int k = 0; k < n_members; k++) {
        char *member = H5Tget_member_name(texts->set->type, (unsigned)k);
        int is_true = member && strcmp(member, "TRUE") == 0;

        tess_strings_add(&name, is_true                                  ? "True"
                                : member && strcmp(member, "FALSE") == 0 ? "False"
                                : member                                 ? member
                                                                         : "");
        H5free_memory(member);
        value[k] = member_value(texts->set->type, (unsigned)k);
    }
    if (read_piece(texts, first, n, buffer, error) == TESS_OK)
        for (int64_t i = 0; i < n; i++) {
            char text[32];
            int k = 0;

            while (k < n_members && value[k] != code[i])
                k++;
            snprintf(text, sizeof text, "%" PRId64, code[i]);
            give(texts, first + i, k < n_members ? name.item[k] : text);
        }
    tess_strings_release(&name);
    tess_free(value);
    return error->code;
}

/* The memory type for text, and how many elements to read at a time. */
static hid_t text_type(const struct tess_h5_set *set)
{
    H5T_class_t class = H5Tget_class(set->type);
    hid_t type;

    if (class == H5T_FLOAT)
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    if (class == H5T_INTEGER)
        return H5Tcopy(H5Tget_sign(set->type) == H5T_SGN_NONE ? H5T_NATIVE_UINT64
                                                              : H5T_NATIVE_INT64);
    if (class == H5T_ENUM)
        return H5Tcopy(H5T_NATIVE_INT64);
    if (class != H5T_STRING)
        return H5I_INVALID_HID;
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type,
                H5Tis_variable_str(set->type) > 0 ? H5T_VARIABLE : H5Tget_size(set->type) + 1);
    H5Tset_cset(type, H5Tget_cset(set->type));
    return type;
}

/* In pieces of about 1 MiB; what texts of variable length point to comes on top of that. */
int tess_h5_set_texts(const struct tess_h5_set *set, int64_t first, int64_t n, tess_text_sink *sink,
                      void *context, struct tess_error *error)
{
    struct texts texts = {set, sink, context, text_type(set), 1};
    H5T_class_t class = H5Tget_class(set->type);
    int64_t width;
    void *buffer;

    if (texts.memory < 0 || set->n_dims > 1) {
        if (texts.memory >= 0)
            H5Tclose(texts.memory);
        return tess_error_set(error, TESS_EDATA, "%s: %s: holds neither text nor numbers",
                              set->h5->path, set->name);
    }
    width = (int64_t)H5Tget_size(texts.memory);
    texts.n_piece = width < PIECE_BYTES ? PIECE_BYTES / width : 1;
    buffer = tess_alloc((size_t)texts.n_piece, (size_t)width);
    for (int64_t at = 0; at < n && error->code == TESS_OK; at += texts.n_piece) {
        int64_t take = n - at < texts.n_piece ? n - at : texts.n_piece;

        if (class == H5T_ENUM)
            enum_piece(&texts, first + at, take, buffer, error);
        else if (class != H5T_STRING)
            number_piece(&texts, first + at, take, buffer, error);
        else if (H5Tis_variable_str(set->type) > 0)
            variable_piece(&texts, first + at, take, buffer, error);
        else
            fixed_piece(&texts, first + at, take, buffer, error);
    }
    tess_free(buffer);
    H5Tclose(texts.memory);
    return error->code;
}

enum tess_h5_class tess_h5_set_class(const struct tess_h5_set *set)
{
    switch (H5Tget_class(set->type)) {
    case H5T_INTEGER:
        return TESS_H5_INTEGER;
    case H5T_FLOAT:
        return TESS_H5_REAL;
    case H5T_ENUM:
        return TESS_H5_ENUM;
    case H5T_STRING:
        return TESS_H5_TEXT;
    case H5T_COMPOUND:
        return TESS_H5_COMPOUND;
    default:
        return TESS_H5_OTHER;
    }
}

void tess_h5_set_fields(const struct tess_h5_set *set, struct tess_strings *names)
{
    int n = tess_h5_set_class(set) == TESS_H5_COMPOUND ? H5Tget_nmembers(set->type) : 0;

    for (int i = 0; i < n; i++) {
        char *name = H5Tget_member_name(set->type, (unsigned)i);

        if (name)
            tess_strings_add(names, name);
        H5free_memory(name);
    }
}

/* Object references of the old kind (H5R_OBJECT), which h5py writes to this day. */
char *tess_h5_set_referred(const struct tess_h5_set *set, const char *attribute)
{
    hid_t at = H5I_INVALID_HID, space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    char name[1024] = "";
    hobj_ref_t reference;

    if (H5Aexists(set->id, attribute) > 0)
        at = H5Aopen(set->id, attribute, H5P_DEFAULT);
    if (at >= 0) {
        space = H5Aget_space(at);
        type = H5Aget_type(at);
    }
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
        H5Tget_class(type) == H5T_REFERENCE && H5Aread(at, H5T_STD_REF_OBJ, &reference) >= 0 &&
        H5Rget_name(set->id, H5R_OBJECT, &reference, name, sizeof name) <= 0)
        name[0] = '\0';
    H5Eclear2(H5E_DEFAULT);
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (at >= 0)
        H5Aclose(at);
    return at >= 0 ? tess_strdup(name[0] ? name : "/(a lost reference)") : NULL;
}

const char *tess_h5_set_type_name(const struct tess_h5_set *set)
{
    static const char *const integer[2][4] = {{"uint8", "uint16", "uint32", "uint64"},
                                              {"int8", "int16", "int32", "int64"}};
    size_t size = H5Tget_size(set->type);
    int power = size <= 1 ? 0 : size <= 2 ? 1 : size <= 4 ? 2 : 3;

    switch (H5Tget_class(set->type)) {
    case H5T_INTEGER:
        return integer[H5Tget_sign(set->type) != H5T_SGN_NONE][power];
    case H5T_FLOAT:
        return size <= 2 ? "float16" : size <= 4 ? "float32" : size <= 8 ? "float64" : "float128";
    case H5T_ENUM:
        return "bool";
    case H5T_STRING:
        return "text";
    default:
        return "compound or other values";
    }
}

static herr_t note_link(hid_t group, const char *name, const H5L_info_t *info, void *names)
{
    (void)group;
    (void)info;
    tess_strings_add(names, name);
    return 0;
}

int tess_h5_list(const struct tess_h5 *h5, const char *group, struct tess_strings *names,
                 struct tess_error *error)
{
    if (H5Literate_by_name(h5->file, group, H5_INDEX_NAME, H5_ITER_INC, NULL, note_link, names,
                           H5P_DEFAULT) < 0)
        tess_h5_fail(h5, group, "cannot be listed", TESS_EDATA, error);
    return error->code;
}

static herr_t note_attribute(hid_t object, const char *name, const H5A_info_t *info, void *names)
{
    (void)object;
    (void)info;
    tess_strings_add(names, name);
    return 0;
}

int tess_h5_list_attributes(const struct tess_h5 *h5, const char *object,
                            struct tess_strings *names, struct tess_error *error)
{
    if (H5Aiterate_by_name(h5->file, object, H5_INDEX_NAME, H5_ITER_INC, NULL, note_attribute,
                           names, H5P_DEFAULT) < 0)
        tess_h5_fail(h5, object, "its attributes cannot be listed", TESS_EDATA, error);
    return error->code;
}
