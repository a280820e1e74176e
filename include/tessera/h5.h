/* h5.h -- the one door to HDF5: files that know their path, and datasets read and written whole or
 * by rows, with our errors (file, object, HDF5's own innermost sentence).
 *
 * A file is opened by one process (comm MPI_COMM_NULL) or by all ranks of a communicator (MPI-IO).
 * On a file of a communicator every call that creates, writes or closes is collective over it and
 * agrees on its result; reads are local ("independent") unless they say otherwise. Types are given
 * as HDF5 memory types (H5T_NATIVE_FLOAT …) and are converted from whatever the file holds. Names
 * are paths from the root. Keep HDF5's own automatic error printing off: tess_h5_init. */
#ifndef TESSERA_H5_H
#define TESSERA_H5_H

#include <hdf5.h>
#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_h5 {
    hid_t file; /* H5I_INVALID_HID: closed */
    MPI_Comm comm; /* borrowed; MPI_COMM_NULL */
    char *path; /* own */
    int broken; /* a write by many ranks failed: HDF5 would wait for ever when closing it */
};

#define TESS_H5_INIT                                                                               \
    {                                                                                              \
        H5I_INVALID_HID, MPI_COMM_NULL, NULL, 0                                                    \
    }

/* Once, before MPI_Init: an HDF5 that starts later takes itself down within MPI_Finalize, and
 * crashes there after a file that could not be closed (a full disk). */
void tess_h5_init(void);

/* Is this the beginning of an HDF5 file? Local. */
int tess_h5_recognize(const char *head, size_t n_head);

/* TESS_EDATA if the file is missing, unreadable, truncated or not HDF5. Collective over comm. */
int tess_h5_open(struct tess_h5 *h5, const char *path, MPI_Comm comm, int writable,
                 struct tess_error *error);
/* A new file in place of any old one. Collective over comm. */
int tess_h5_create(struct tess_h5 *h5, const char *path, MPI_Comm comm, struct tess_error *error);
/* Writes what HDF5 still keeps in memory. Collective over comm, but the result is each rank's own.
 */
int tess_h5_flush(struct tess_h5 *h5, struct tess_error *error);
/* Flushes and closes; a closed one may be closed again. A broken one is left to the process's end.
 * Collective over comm. TESS_EIO if what was written did not reach the file. */
int tess_h5_close(struct tess_h5 *h5, struct tess_error *error);

/* Fill `error` with "PATH: NAME: WHAT: HDF5's reason"; returns the code. Local. */
int tess_h5_fail(const struct tess_h5 *h5, const char *name, const char *what, int code,
                 struct tess_error *error);

/* Is there an object of that name? 1 a dataset, 2 a group, 0 neither. Local. */
int tess_h5_kind(const struct tess_h5 *h5, const char *name);
/* Is it a dataset without a value (a null dataspace)? Local. */
int tess_h5_is_null(const struct tess_h5 *h5, const char *name);

/* What a dataset of ours must be. Sizes that a file claims are never trusted: readers take what is
 * expected, and refuse everything else (TESS_EDATA naming the dataset, the shape found and the one
 * that belongs there) before a byte is read, or memory taken. */
struct tess_h5_extent {
    int n_dims; /* 1 or 2; 0: one value */
    int64_t shape[2];
};
#define TESS_H5_SCALAR                                                                             \
    (struct tess_h5_extent)                                                                        \
    {                                                                                              \
        0,                                                                                         \
        {                                                                                          \
            1, 1                                                                                   \
        }                                                                                          \
    }
#define TESS_H5_LINE(n)                                                                            \
    (struct tess_h5_extent)                                                                        \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            (n), 1                                                                                 \
        }                                                                                          \
    }
#define TESS_H5_MATRIX(n, row)                                                                     \
    (struct tess_h5_extent)                                                                        \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            (n), (row)                                                                             \
        }                                                                                          \
    }

/* Is it there, of this shape, with its values in the file (h5_claim.h)? Local. */
int tess_h5_check(const struct tess_h5 *h5, const char *name, struct tess_h5_extent extent,
                  struct tess_error *error);
/* The length of a 1-D dataset whose length nothing else tells, as far as the file's bytes can hold
 * it; -1 and an error otherwise. Local. */
int64_t tess_h5_length(const struct tess_h5 *h5, const char *name, struct tess_error *error);

/* The whole of a dataset of exactly this extent. Local. */
int tess_h5_read(const struct tess_h5 *h5, const char *name, hid_t type,
                 struct tess_h5_extent extent, void *out, struct tess_error *error);
/* Rows, or elements, [first, first + n). */
struct tess_h5_range {
    int64_t first, n;
};
/* Rows [first, first + n) of a dataset of exactly this extent; large reads go in pieces. Local. */
struct tess_h5_rows {
    struct tess_h5_extent extent;
    int64_t first, n;
};
int tess_h5_read_rows(const struct tess_h5 *h5, const char *name, hid_t type,
                      struct tess_h5_rows rows, void *out, struct tess_error *error);
/* A 1-D dataset of strings that differ, fixed or variable length, as an (n, width) block padded
 * with NULs. Own of the caller. Local. */
int tess_h5_read_strings(const struct tess_h5 *h5, const char *name, int64_t *n, int *width,
                         char **block, struct tess_error *error);

/* Attributes of the object `name`. `string` is own of the caller. Absent: TESS_EDATA for a number,
 * *string = NULL for a text. Local, but for writing. */
int tess_h5_has_attribute(const struct tess_h5 *h5, const char *name, const char *attribute);
struct tess_h5_attribute {
    const char *object, *name; /* borrowed */
};
int tess_h5_read_attribute(const struct tess_h5 *h5, struct tess_h5_attribute attribute, hid_t type,
                           int64_t n, void *out, struct tess_error *error);
int tess_h5_read_string(const struct tess_h5 *h5, const char *name, const char *attribute,
                        char **string, struct tess_error *error);
/* Is that a file of ours whose root says this format? TESS_EIO alone is an error. Local. */
int tess_h5_is(const char *path, const char *format, struct tess_error *error);
int tess_h5_write_attribute(struct tess_h5 *h5, struct tess_h5_attribute attribute, hid_t type,
                            int64_t n, const void *data, struct tess_error *error);
/* Fixed-length UTF-8 scalar. */
int tess_h5_write_string(struct tess_h5 *h5, const char *name, const char *attribute,
                         const char *string, struct tess_error *error);
/* An array of n strings, also if n is 0 or 1. */
int tess_h5_write_string_list(struct tess_h5 *h5, const char *name, const char *attribute,
                              int64_t n, const char *const *string, struct tess_error *error);

/* The type of our strings: `width` bytes of UTF-8, padded with NULs; and h5py's of booleans, stored
 * as bytes. Own (tess_h5_type_close). Local. */
hid_t tess_h5_string_type(int width);
hid_t tess_h5_bool_type(void);
/* IEEE half precision, as NumPy's float16. Own. Local. */
hid_t tess_h5_half_type(void);
size_t tess_h5_type_size(hid_t type); /* bytes. Local */
void tess_h5_type_close(hid_t type);

/* A new group. Missing groups on the way are made; TESS_EIO if it is there already. */
int tess_h5_group(struct tess_h5 *h5, const char *name, struct tess_error *error);
/* An empty, contiguous dataset. Missing groups on the way are made. */
int tess_h5_define(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_extent extent,
                   struct tess_error *error);
/* Define and write a small dataset; of many ranks, rank 0's data counts. */
int tess_h5_write(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_extent extent,
                  const void *data, struct tess_error *error);
/* n fixed-length UTF-8 strings: `width` bytes each, `stride` apart. Borrowed. */
struct tess_h5_strings {
    int64_t n;
    int width, stride;
    const char *block;
};
/* A 1-D dataset of them. */
int tess_h5_write_strings(struct tess_h5 *h5, const char *name,
                          const struct tess_h5_strings *strings, struct tess_error *error);
/* A 1-D dataset of n texts, as wide as the longest; and one text (NULL: ""). Of many ranks, rank
 * 0's count; the others may give NULL. */
int tess_h5_write_texts(struct tess_h5 *h5, const char *name, int64_t n, const char *const *text,
                        struct tess_error *error);
int tess_h5_write_text(struct tess_h5 *h5, const char *name, const char *text,
                       struct tess_error *error);
/* Rows [first, first + n) of a defined dataset; each rank its own, n may be 0 and may differ. In
 * pieces of at most 256 MiB (or a row, if that is more). */
int tess_h5_write_rows(struct tess_h5 *h5, const char *name, hid_t type, struct tess_h5_range range,
                       const void *data, struct tess_error *error);
/* For who writes (stream.h) or reads (ahead.h) the values of a dataset himself: the byte of the
 * file at which they begin, one after the other as `type` has them in memory; -1 and TESS_EIO if
 * they do not lie so. Local. Before the file is closed all ranks must settle. */
int64_t tess_h5_place(const struct tess_h5 *h5, const char *name, hid_t type,
                      struct tess_error *error);
/* A handle of the caller's own (close) on the same file, for reading; -1 and TESS_EDATA if another
 * one has its path by now. Of a file of one process. Local. */
int tess_h5_own_handle(const struct tess_h5 *h5, struct tess_error *error);
/* All ranks are through with writing: do they agree that it went well? Collective. */
int tess_h5_settle(struct tess_h5 *h5, struct tess_error *error);

#endif
