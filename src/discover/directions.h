/* directions.h -- vectors of perturbations as directions: centred, of one length, so that a dot
 * product is the mean of the members' cosines. Local to the folder. */
#ifndef DIRECTIONS_H
#define DIRECTIONS_H

#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_model;
struct tess_vocab;

/* Who is who among n perturbations. */
struct tess_kinds {
    int64_t n;
    const char *model; /* its path, for messages; borrowed */
    const struct tess_vocab *vocab; /* their symbols; borrowed */
    struct tess_strings name; /* of the types; own */
    int32_t *type; /* (n) own */
    const uint8_t *trained; /* (n) borrowed */
};
void tess_kinds_init(struct tess_kinds *kinds, const struct tess_model *model);
/* Is it trained, and of that type (NULL: any but control)? */
int tess_kinds_has(const struct tess_kinds *kinds, int64_t i, const char *type);
/* TESS_EDATA naming those there are, if there is no such type; `option` is what it was given to. */
int tess_kinds_check(const struct tess_kinds *kinds, const char *option, const char *type,
                     struct tess_error *error);
void tess_kinds_release(struct tess_kinds *kinds);

/* Where vectors come from: all n, of `width` numbers, in parts that begin at begin[0 .. n_parts]
 * and have a length of their own each (the members). */
struct tess_origin {
    int64_t n, width;
    int n_parts;
    const int64_t *begin; /* (n_parts + 1) */
    const void *closure;
    /* Rows [first, first + n) into out (n, width). Local. */
    int (*make)(const void *closure, int64_t first, int64_t n, float *out,
                struct tess_error *error);
};

struct tess_directions {
    struct tess_origin origin;
    const struct tess_kinds *kinds; /* borrowed */
    int center; /* enum tess_neighbors_center */
    double *mean; /* (types, width); own */
};

/* The means are of the trained ones. Bits do not depend on the number of ranks. To be released in
 * either case. Collective over comm. */
int tess_directions_init(struct tess_directions *directions, const struct tess_origin *origin,
                         const struct tess_kinds *kinds, int center, MPI_Comm comm,
                         struct tess_error *error);
/* Rows [first, first + n) into out (n, width). A vector without length is zeroes.
 * TESS_EDATA if one is not finite. Local. */
int tess_directions_make(const struct tess_directions *directions, int64_t first, int64_t n,
                         float *out, struct tess_error *error);
/* n rows with these numbers, ascending. Local. */
int tess_directions_pick(const struct tess_directions *directions, int64_t n, const int64_t *row,
                         float *out, struct tess_error *error);
void tess_directions_release(struct tess_directions *directions);

#endif
