/* vectors.h -- the rows of a model's table (or what is made of them, composition.h) as vectors,
 * those of an ensemble's members side by side. Local to the folder.
 *
 * Raw they are the rows themselves; effective they are what the network sees of them: projected by
 * the table's block of the first layer (W_p p; cp: of the left side, W_c c of a context). Rows of a
 * table that stands right of a dot product meet no layer: they are their own effective vectors. */
#ifndef VECTORS_H
#define VECTORS_H

#include "tessera/model.h"

#include <stdint.h>

struct tess_error;

struct tess_vectors_member;

struct tess_vectors {
    int64_t n; /* rows */
    int64_t width; /* of a vector: that of all members */
    int n_members;
    struct tess_vectors_member *member; /* own */
};

/* Every rank opens the checkpoints by itself. model: its head; borrowed. TESS_EDATA. To be released
 * in either case. Local. */
int tess_vectors_open(struct tess_vectors *vectors, const struct tess_model *model,
                      enum tess_embedding table, int effective, struct tess_error *error);
/* Where member m's numbers begin; of n_members: the width. Local. */
int64_t tess_vectors_begin(const struct tess_vectors *vectors, int m);
/* out (n, width): rows [first, first + n). The bits of a row depend on its number alone. Best from
 * multiples of TESS_VECTORS_TILE on. TESS_EDATA if the file is damaged. Local. */
#define TESS_VECTORS_TILE 64
int tess_vectors_make(const struct tess_vectors *vectors, int64_t first, int64_t n, float *out,
                      struct tess_error *error);
void tess_vectors_release(struct tess_vectors *vectors);

#endif
