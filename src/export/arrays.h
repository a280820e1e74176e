/* arrays.h -- arrays in NumPy's format, one after the other, into a zip file or a folder. Local. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include "tessera/commit.h"

#include <stddef.h>
#include <stdint.h>

struct tess_error;
struct archive;

struct tess_arrays {
    char *path; /* final name; own */
    int folder; /* a file for each, not one for all */
    struct tess_commit commit; /* of the one file */
    struct archive *zip; /* own, by libarchive */
    char *aside; /* of the folder; own */
    void *file; /* FILE of the current array */
    int64_t left; /* bytes of the current array that are still to come */
};

/* PATH.npz is a file, any other a folder. To be released in either case. TESS_ECREATE. */
int tess_arrays_open(struct tess_arrays *arrays, const char *path, int force,
                     struct tess_error *error);
/* The next array: its type as NumPy writes it ("<f4", "|b1", "|S7"), bytes of an element, shape
 * (n_dims 0: a single number). Its bytes follow, in as many pieces as there are. */
struct tess_array {
    const char *name;
    char type[24];
    int64_t item; /* bytes */
    int n_dims;
    int64_t shape[3];
};
int tess_arrays_begin(struct tess_arrays *arrays, const struct tess_array *array,
                      struct tess_error *error);
int tess_arrays_put(struct tess_arrays *arrays, const void *bytes, size_t n,
                    struct tess_error *error);
/* All is there: it gets its name. */
int tess_arrays_finish(struct tess_arrays *arrays, struct tess_error *error);
/* What was not finished goes. */
void tess_arrays_release(struct tess_arrays *arrays);

#endif
