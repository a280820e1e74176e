/* alloc.h -- memory. Small allocations do not fail: running out ends the job with a sentence.
 * Blocks are 64-byte aligned (one cache line, one vector register), from 8 MiB on to a huge page of
 * 2 MiB, and zeroed. Sizes are counted in 64 bits and checked for overflow. Local. */
#ifndef TESSERA_ALLOC_H
#define TESSERA_ALLOC_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;

/* Blocks from 4 MiB on go back to the system when they are freed, whatever was allocated before
 * them: what a command takes then does not depend on where its heap happens to begin. What the user
 * set (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_) stands. Before anything large is allocated;
 * does nothing where the C library has no such limits. Local. */
void tess_alloc_begin(void);

/* n elements of `size` bytes, zeroed; never NULL (n = 0 gives a block that may be freed). */
void *tess_alloc(size_t n, size_t size) __attribute__((malloc));

/* The same for blocks that grow with the data: on failure fills `error` (TESS_EOS), naming `what`
 * and the size, and returns NULL. Local. */
void *tess_alloc_large(size_t n, size_t size, const char *what, struct tess_error *error);

/* Change a block from tess_alloc to n elements of `size`; contents up to `old_n` elements stay, the
 * rest is zero. `block` may be NULL. */
void *tess_realloc(void *block, size_t old_n, size_t n, size_t size);

void tess_free(void *block);

/* A copy of a string; own. */
char *tess_strdup(const char *text);

/* printf into a string of its own. */
char *tess_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A growing array `block` (may be NULL) of room for *room elements, now for at least `need`: where
 * it lies now; *room becomes what it has. New elements are zero. */
void *tess_grow(void *block, size_t *room, size_t need, size_t size);

#define TESS_NEW(type, n) ((type *)tess_alloc((size_t)(n), sizeof(type)))

/* int from a 64-bit number that must fit (MPI, BLAS and HDF5 take int): a bug if it does not. */
int tess_int(int64_t x);

#endif
