/* tuples.h -- distinct tuples of symbols' numbers, numbered in order of first appearance: what an
 * intern (intern.h) is to texts, for the many millions that rows have. Local. */
#ifndef TESSERA_TUPLES_H
#define TESSERA_TUPLES_H

#include <stddef.h>
#include <stdint.h>

struct tess_tuples {
    int64_t width, n;
    int32_t *code; /* (n, width) own */
    size_t room;
    int64_t n_slots, last;
    int64_t *slot; /* an open hash table of numbers, -1: free; own */
};

/* Tuples of `width` numbers, 0 or more; none yet. */
void tess_tuples_init(struct tess_tuples *tuples, int64_t width);
/* The number of a tuple (width); a new one gets number n. */
int64_t tess_tuples_add(struct tess_tuples *tuples, const int32_t *code);
void tess_tuples_release(struct tess_tuples *tuples);

#endif
