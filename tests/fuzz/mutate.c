/* mutate.c -- recipes out of recipes (recipe.h): what libFuzzer changes are lines of meaning, not
 * bytes. */
#include "recipe.h"

#include "fuzz.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_NAMES 400
#define MOST_LINES 12

static char *objects[MOST_NAMES], *attributes[MOST_NAMES];
static int n_objects, n_attributes;

static const char *const types[] = {"i8",  "u8",   "i32",   "i64",      "u64",  "f32",
                                    "f64", "text", "fixed", "compound", "list", "reference"};
static const char *const sizes[] = {"",
                                    "null",
                                    "0",
                                    "1",
                                    "2",
                                    "3",
                                    "7",
                                    "100",
                                    "0,0",
                                    "1,1",
                                    "3,2",
                                    "2,3",
                                    "1,0",
                                    "0,5",
                                    "2147483648",
                                    "4294967297",
                                    "2,2,2",
                                    "1000000,1000000",
                                    "9223372036854775807",
                                    "3000000000,3000000000",
                                    "1000000000000"};
static const char *const numbers[] = {"0",
                                      "1",
                                      "-1",
                                      "2",
                                      "3",
                                      "255",
                                      "2147483647",
                                      "-2147483648",
                                      "4294967296",
                                      "9223372036854775807",
                                      "-9223372036854775808",
                                      "1e308",
                                      "-1e308",
                                      "1e-320",
                                      "nan",
                                      "inf",
                                      "0.5",
                                      "1000000"};
static const char *const texts[] = {"",
                                    "A",
                                    "control",
                                    "\x1b[31m",
                                    "\xff\xfe",
                                    "A+B",
                                    "csr_matrix",
                                    "array",
                                    "csc_matrix",
                                    "dataframe",
                                    "categorical",
                                    "string-array",
                                    "nan",
                                    "tessera-store 1",
                                    "tessera-store 99",
                                    "0.2.0",
                                    "_index",
                                    "/",
                                    "..",
                                    "{\"a\": [1",
                                    "model:\n  kind: x",
                                    "obs/_index"};
#define PICK(of) (of)[rand_r(seed) % (sizeof(of) / sizeof(of)[0])]

static void add(char **names, int *n, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(names[i], name) == 0)
            return;
    if (*n < MOST_NAMES && !strpbrk(name, "\t\n"))
        names[(*n)++] = strdup(name);
}

static herr_t take_attribute(hid_t at, const char *name, const H5A_info_t *info, void *closure)
{
    (void)at;
    (void)info;
    (void)closure;
    add(attributes, &n_attributes, name);
    return 0;
}

#if H5_VERSION_GE(1, 12, 0)
typedef H5O_info2_t object_info;
#else
typedef H5O_info_t object_info;
#endif

static herr_t take_object(hid_t at, const char *name, const object_info *info, void *closure)
{
    hid_t object = H5Oopen(at, name, H5P_DEFAULT);

    (void)info;
    (void)closure;
    add(objects, &n_objects, strcmp(name, ".") == 0 ? "/" : name);
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, take_attribute, NULL);
    H5Oclose(object);
    return 0;
}

void fuzz_recipe_learn(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);

    FUZZ_CHECK(file >= 0);
#if H5_VERSION_GE(1, 12, 0)
    H5Ovisit3(file, H5_INDEX_NAME, H5_ITER_INC, take_object, NULL, H5O_INFO_BASIC);
#else
    H5Ovisit(file, H5_INDEX_NAME, H5_ITER_INC, take_object, NULL);
#endif
    H5Fclose(file);
    FUZZ_CHECK(n_objects > 0);
}

static int write_line(char *out, size_t room, unsigned *seed)
{
    const char *object = objects[rand_r(seed) % (unsigned)n_objects];
    const char *other = objects[rand_r(seed) % (unsigned)n_objects];
    const char *attribute =
        n_attributes ? attributes[rand_r(seed) % (unsigned)n_attributes] : "encoding-type";
    int place = rand_r(seed) % 40;

    switch (rand_r(seed) % 14) {
    case 0:
        return snprintf(out, room, "delete\t%s\n", object);
    case 1:
        return snprintf(out, room, "link\t%s\t%s\n", object, other);
    case 2:
        return snprintf(out, room, "type\t%s\t%s\t%s\n", object, PICK(types), PICK(sizes));
    case 3:
    case 4:
        return snprintf(out, room, "claim\t%s\t%s\n", object, PICK(sizes));
    case 5:
        return snprintf(out, room, "fill\t%s\t%s\n", object, PICK(numbers));
    case 6:
    case 7:
        return snprintf(out, room, "put\t%s\t%d\t%s\n", object, place, PICK(numbers));
    case 8:
        return snprintf(out, room, "text\t%s\t%d\t%s\n", object, place, PICK(texts));
    case 9:
        return snprintf(out, room, "move\t%s\t%s\n", object, other);
    case 10:
        return snprintf(out, room, "attr\t%s\t%s\t%s\t%s\n", object, attribute, PICK(types),
                        rand_r(seed) % 2 ? PICK(numbers) : PICK(texts));
    case 11:
        return snprintf(out, room, "unattr\t%s\t%s\n", object, attribute);
    case 12:
        return snprintf(out, room, "cut\t%d\n", rand_r(seed) % 60000);
    default:
        return snprintf(out, room, "byte\t%d\t%d\n", rand_r(seed) % 60000 - 4000,
                        rand_r(seed) % 256);
    }
}

static int n_lines(const char *text, size_t n)
{
    int lines = 0;

    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Where line k begins. */
static size_t line_at(const char *text, size_t n, int k)
{
    size_t at = 0;

    for (; k > 0 && at < n; at++)
        k -= text[at] == '\n';
    return at;
}

size_t fuzz_recipe_mutate(char *recipe, size_t n, size_t room, unsigned start)
{
    unsigned own = start, *seed = &own;
    char line[1024];
    int lines = n_lines(recipe, n), length = write_line(line, sizeof line, seed);

    if (length < 0 || length >= (int)sizeof line)
        return n;
    if (lines > 0 && (lines >= MOST_LINES || rand_r(seed) % 3 == 0)) { /* one goes */
        int k = rand_r(seed) % lines;
        size_t from = line_at(recipe, n, k), to = line_at(recipe, n, k + 1);

        memmove(recipe + from, recipe + to, n - to);
        n -= to - from;
    }
    if (n + (size_t)length <= room) { /* one comes */
        size_t at = line_at(recipe, n, rand_r(seed) % (lines + 1));

        memmove(recipe + at + length, recipe + at, n - at);
        memcpy(recipe + at, line, (size_t)length);
        n += (size_t)length;
    }
    return n;
}
