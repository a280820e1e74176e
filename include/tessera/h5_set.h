/* h5_set.h -- a dataset of somebody else's file, kept open and read in parts.
 *
 * Nothing that the file claims is trusted: sizes are held against the bytes that are really there
 * before memory is taken for them, filters that this library lacks are named, virtual and external
 * storage (which HDF5 fills with zeros where the other file is missing) is refused. Everything here
 * is local; the file was opened by one process. */
#ifndef TESSERA_H5_SET_H
#define TESSERA_H5_SET_H

#include "tessera/h5.h"
#include "tessera/text.h"

struct tess_h5_set {
    const struct tess_h5 *h5; /* borrowed */
    char *name; /* own */
    char *field; /* the member of a compound that is read; own or NULL */
    hid_t id, type; /* of the file, or of the field */
    int n_dims; /* at most 2; 0: one value */
    int64_t shape[2]; /* 1 where there is no such dimension */
    int64_t chunk[2]; /* the shape, if not chunked */
};

/* Opens `name` for reading along dimension `along` (0: rows), which sizes the cache of chunks.
 * TESS_EDATA if it is missing or unusable. */
int tess_h5_set_open(struct tess_h5_set *set, const struct tess_h5 *h5, const char *name, int along,
                     struct tess_error *error);
/* From now on read one member of a compound dataset. TESS_EDATA if it has none of that name. */
int tess_h5_set_choose(struct tess_h5_set *set, const char *field, struct tess_error *error);
/* A zeroed or released one may be released again. */
void tess_h5_set_release(struct tess_h5_set *set);

/* What its values are. */
enum tess_h5_class {
    TESS_H5_INTEGER,
    TESS_H5_REAL,
    TESS_H5_ENUM, /* booleans, for the most part */
    TESS_H5_TEXT,
    TESS_H5_COMPOUND,
    TESS_H5_OTHER
};
enum tess_h5_class tess_h5_set_class(const struct tess_h5_set *set);
/* "float32", "int64", "bool", "text", … for messages. */
const char *tess_h5_set_type_name(const struct tess_h5_set *set);
/* The members of a compound, added to `names`; none if it is no compound. */
void tess_h5_set_fields(const struct tess_h5_set *set, struct tess_strings *names);
/* The path of what a reference, its attribute of that name, refers to; own of the caller. NULL:
 * there is no such attribute; "/(a lost reference)": it leads nowhere. */
char *tess_h5_set_referred(const struct tess_h5_set *set, const char *attribute);

/* Elements [first, first + count) in each dimension, as HDF5 memory type `type`; of dimensions that
 * it lacks nothing counts. TESS_EDATA if it is smaller. */
int tess_h5_set_read(const struct tess_h5_set *set, hid_t type, const int64_t first[2],
                     const int64_t count[2], void *out, struct tess_error *error);

/* A function that takes text number `i`; NULL: missing (NaN). */
typedef void tess_text_sink(void *context, int64_t i, const char *text);

/* Elements [first, first + n) of a 1-D dataset of strings, numbers, booleans or enumerations as
 * text, in order: numbers at their shortest, booleans as "True" and "False", NaN missing, invalid
 * UTF-8 taken as Windows-1252. */
int tess_h5_set_texts(const struct tess_h5_set *set, int64_t first, int64_t n, tess_text_sink *sink,
                      void *context, struct tess_error *error);

/* Names of the links in a group, in their order by name; added to `names`. */
int tess_h5_list(const struct tess_h5 *h5, const char *group, struct tess_strings *names,
                 struct tess_error *error);

/* Names of an object's attributes, in their order by name; added to `names`. */
int tess_h5_list_attributes(const struct tess_h5 *h5, const char *object,
                            struct tess_strings *names, struct tess_error *error);

#endif
