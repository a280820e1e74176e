/* writer_h5.h -- what the kinds of output that are HDF5 share: datasets that rank 0 fills block by
 * block, and rows that any rank puts where they belong. All of it lies in one piece of the file
 * each, and goes through the writer's stream. */
#ifndef WRITER_H5_H
#define WRITER_H5_H

#include "tessera/h5.h"
#include "tessera/writer.h"

/* n items, of which `make` makes [first, first + n) in order. Borrowed. */
struct tess_writer_items {
    int64_t n;
    hid_t type;
    void (*make)(const void *closure, int64_t first, int64_t n, void *out); /* out: zeroes */
    const void *closure;
};
/* A new line of items, made and written by rank 0. Collective. */
int tess_writer_h5_items(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                         const struct tess_writer_items *items, struct tess_error *error);
/* The same of texts, as wide as the longest. Collective. */
int tess_writer_h5_texts(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                         const struct tess_writer_texts *texts, struct tess_error *error);

/* The categories of a column, or its words. Local. */
struct tess_writer_texts tess_writer_texts_of(const struct tess_writer_column *column);
/* The width of the longest of texts. Local. */
int tess_writer_texts_width(const struct tess_writer_texts *texts);
/* Texts [first, first + n) into out (n, width), which is zeroes. Local. */
void tess_writer_texts_take(const struct tess_writer_texts *texts, int64_t first, int64_t n,
                            int width, char *out);
/* Values [first, first + n) of a column, of `size` bytes each, into `out`. Local. */
void tess_writer_column_take(const struct tess_writer_column *column, int64_t first, int64_t n,
                             size_t size, void *out);

/* Defines a matrix at `path` and notes where it lies. Collective. */
int tess_writer_h5_define(struct tess_writer *writer, struct tess_h5 *h5, const char *path,
                          const struct tess_writer_matrix *matrix, struct tess_error *error);
/* The put_rows of kinds whose matrices were noted. Local. */
int tess_writer_h5_put_rows(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                            const void *value, struct tess_error *error);

#endif
