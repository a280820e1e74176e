/* recipe.c -- makes the changes that a recipe says. */
#include "recipe.h"

#include "fuzz.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS     5
#define MOST      (1 << 20) /* bytes of values that are touched */
#define MOST_DIMS 4

static const struct {
    const char *name;
    hid_t *type;
} types[] = {{"i8", &H5T_NATIVE_INT8_g},   {"u8", &H5T_NATIVE_UINT8_g},
             {"i64", &H5T_NATIVE_INT64_g}, {"u64", &H5T_NATIVE_UINT64_g},
             {"f32", &H5T_NATIVE_FLOAT_g}, {"f64", &H5T_NATIVE_DOUBLE_g},
             {"i32", &H5T_NATIVE_INT32_g}};

/* 0 of what is none. */
static long long number_in(const char *text)
{
    return strtoll(text, NULL, 10);
}

/* One of the types above, texts, or what is seldom seen; to be closed. */
static hid_t type_of(const char *name)
{
    hid_t type;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return H5Tcopy(*types[i].type);
    if (strcmp(name, "compound") == 0) {
        type = H5Tcreate(H5T_COMPOUND, 12);
        H5Tinsert(type, "a", 0, H5T_NATIVE_INT32);
        H5Tinsert(type, "b", 4, H5T_NATIVE_DOUBLE);
        return type;
    }
    if (strcmp(name, "list") == 0)
        return H5Tvlen_create(H5T_NATIVE_INT32);
    if (strcmp(name, "reference") == 0)
        return H5Tcopy(H5T_STD_REF_OBJ);
    type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, strcmp(name, "text") == 0 ? H5T_VARIABLE : 7);
    return type;
}

static hid_t space_of(const char *text)
{
    hsize_t size[MOST_DIMS];
    int n = 0;

    if (strcmp(text, "null") == 0)
        return H5Screate(H5S_NULL);
    for (; *text && n < MOST_DIMS; text += *text == ',') {
        char *end;

        size[n] = strtoull(text, &end, 10);
        n += end != text;
        text = end != text ? end : text + 1;
    }
    return n == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(n, size, NULL);
}

struct copy {
    hid_t to;
};

/* An attribute of what was there before. */
static herr_t copy_attribute(hid_t from, const char *name, const H5A_info_t *info, void *closure)
{
    const struct copy *copy = closure;
    hid_t old = H5Aopen(from, name, H5P_DEFAULT), type = H5Aget_type(old),
          space = H5Aget_space(old);
    hid_t new = H5Acreate2(copy->to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    char value[4096];

    (void)info;
    if (new >= 0 &&
        H5Sget_simple_extent_npoints(space) * (hssize_t)H5Tget_size(type) <
            (hssize_t)sizeof value &&
        H5Aread(old, type, value) >= 0)
        H5Awrite(new, type, value);
    H5Aclose(new);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(old);
    return 0;
}

/* Another dataset in the place of an object, whose attributes it takes over. */
static void replace(hid_t file, const char *object, hid_t type, hid_t space, int chunked)
{
    hid_t old = H5Oopen(file, object, H5P_DEFAULT), list = H5Pcreate(H5P_DATASET_CREATE), new;
    hsize_t size[MOST_DIMS], chunk[MOST_DIMS];
    int n = H5Sget_simple_extent_dims(space, size, NULL);

    for (int i = 0; i < n && i < MOST_DIMS; i++)
        chunk[i] = size[i] < 1 ? 1 : size[i] < 64 ? size[i] : 64;
    if (chunked && n > 0)
        H5Pset_chunk(list, n, chunk);
    new = H5Dcreate_anon(file, type, space, list, H5P_DEFAULT);
    if (new >= 0 && old >= 0) {
        struct copy copy = {new};

        H5Aiterate2(old, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, copy_attribute, &copy);
        H5Oclose(old);
        old = H5I_INVALID_HID;
        H5Ldelete(file, object, H5P_DEFAULT);
        H5Olink(new, file, object, H5P_DEFAULT, H5P_DEFAULT);
    }
    H5Oclose(old);
    H5Dclose(new);
    H5Pclose(list);
}

/* Values of a dataset of numbers (as doubles, or 64 bits where they are whole) or of texts: all, or
 * one of them, become another. */
static void change(hid_t file, const char *object, long long place, const char *value)
{
    hid_t set = H5Dopen2(file, object, H5P_DEFAULT), type = H5Dget_type(set);
    hid_t space = H5Dget_space(set);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    size_t size = H5Tget_size(type);
    int class = (int)H5Tget_class(type);
    double real = strtod(value, NULL);
    long long whole = strtoll(value, NULL, 0);
    char *all = NULL;
    hid_t memory = H5Tcopy(class == H5T_STRING    ? type
                           : class == H5T_INTEGER ? H5T_NATIVE_LLONG
                                                  : H5T_NATIVE_DOUBLE);

    if (class != H5T_STRING)
        size = 8;
    if (n > 0 && n < MOST && size < MOST && n * (hssize_t)size < MOST &&
        (all = calloc((size_t)n, size)) &&
        H5Dread(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, all) >= 0) {
        for (hssize_t i = 0; i < n; i++) {
            if (place >= 0 && i != place % n)
                continue;
            if (class != H5T_STRING)
                memcpy(all + 8 * i, class == H5T_INTEGER ? (void *)&whole : (void *)&real, 8);
            else if (H5Tis_variable_str(type))
                memcpy(all + i * (hssize_t)size, &value, sizeof value);
            else
                memcpy(all + i * (hssize_t)size, value, strnlen(value, size));
        }
        H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, all);
    }
    free(all);
    H5Tclose(memory);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(set);
}

static void attribute(hid_t file, const char *object, const char *name, const char *type_name,
                      const char *value)
{
    hid_t of = H5Oopen(file, object, H5P_DEFAULT), type = type_of(type_name);
    hid_t space = H5Screate(H5S_SCALAR), new;
    double real = strtod(value, NULL);
    long long whole = strtoll(value, NULL, 0);

    H5Adelete(of, name);
    new = H5Acreate2(of, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0)
        H5Awrite(new, type, &value);
    else if (H5Tget_class(type) == H5T_INTEGER)
        H5Awrite(new, H5T_NATIVE_LLONG, &whole);
    else if (H5Tget_class(type) == H5T_FLOAT)
        H5Awrite(new, H5T_NATIVE_DOUBLE, &real);
    H5Aclose(new);
    H5Sclose(space);
    H5Tclose(type);
    H5Oclose(of);
}

static void trade(hid_t file, const char *one, const char *other)
{
    H5Lmove(file, one, file, "fuzz-aside", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, other, file, one, H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "fuzz-aside", file, other, H5P_DEFAULT, H5P_DEFAULT);
}

/* A change of objects; `word` has WORDS texts, those that are missing are empty. */
static void change_object(hid_t file, char *const *word)
{
    if (strcmp(word[0], "delete") == 0)
        H5Ldelete(file, word[1], H5P_DEFAULT);
    else if (strcmp(word[0], "link") == 0) {
        H5Ldelete(file, word[1], H5P_DEFAULT);
        H5Lcreate_soft(word[2], file, word[1], H5P_DEFAULT, H5P_DEFAULT);
    } else if (strcmp(word[0], "type") == 0 || strcmp(word[0], "claim") == 0) {
        int claim = word[0][0] == 'c';
        hid_t old = claim ? H5Dopen2(file, word[1], H5P_DEFAULT) : H5I_INVALID_HID;
        hid_t type = claim ? H5Dget_type(old) : type_of(word[2]);
        hid_t space = space_of(word[claim ? 2 : 3]);

        /* what is written whole takes room on the disk */
        replace(file, word[1], type, space, claim || H5Sget_simple_extent_npoints(space) > MOST);
        H5Sclose(space);
        H5Tclose(type);
        H5Dclose(old);
    } else if (strcmp(word[0], "fill") == 0)
        change(file, word[1], -1, word[2]);
    else if (strcmp(word[0], "put") == 0 || strcmp(word[0], "text") == 0)
        change(file, word[1], llabs(number_in(word[2]) % 1000000007), word[3]);
    else if (strcmp(word[0], "move") == 0)
        trade(file, word[1], word[2]);
    else if (strcmp(word[0], "attr") == 0)
        attribute(file, word[1], word[2], word[3], word[4]);
    else if (strcmp(word[0], "unattr") == 0)
        H5Adelete_by_name(file, word[1], word[2], H5P_DEFAULT);
}

static void change_bytes(const char *path, char *const *word)
{
    FILE *file = fopen(path, "r+b");
    long long at = number_in(word[1]), size;

    FUZZ_CHECK(file);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    at = size > 0 ? (at % size + size) % size : 0;
    if (strcmp(word[0], "byte") == 0 && size > 0) {
        fseek(file, (long)at, SEEK_SET);
        fputc((int)strtol(word[2], NULL, 10) & 255, file);
    }
    fclose(file);
    if (strcmp(word[0], "cut") == 0)
        FUZZ_CHECK(truncate(path, at) == 0);
}

/* The words of a line, cut in place; what follows the line. */
static char *cut_line(char *line, char **word)
{
    static char nothing[1];
    char *end = line + strcspn(line, "\n"), *next = *end ? end + 1 : end;

    *end = '\0';
    for (int i = 0; i < WORDS; i++) {
        word[i] = line ? line : nothing;
        line = line ? strchr(line, '\t') : NULL;
        if (line)
            *line++ = '\0';
    }
    return next;
}

/* Objects first, while the file is one that HDF5 opens. */
void fuzz_recipe_apply(const char *path, const char *recipe)
{
    for (int pass = 0; pass < 2; pass++) {
        char *text = fuzz_text((const uint8_t *)recipe, strlen(recipe)), *word[WORDS];
        hid_t file = pass == 0 ? H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT) : H5I_INVALID_HID;

        for (char *line = text; *line;) {
            int bytes;

            line = cut_line(line, word);
            bytes = strcmp(word[0], "byte") == 0 || strcmp(word[0], "cut") == 0;
            if (pass == 0 && !bytes && file >= 0)
                change_object(file, word);
            else if (pass == 1 && bytes)
                change_bytes(path, word);
        }
        if (file >= 0)
            H5Fclose(file);
        free(text);
    }
}
