/* vocab.h -- a finished vocabulary: distinct symbols in byte order, numbered 0 … n-1.
 *
 * In memory it is what it is on disk: n strings of fixed width, padded with NULs (parallel HDF5
 * cannot write variable-length ones). A symbol of full width has a NUL after it in memory only.
 * Local.
 */
#ifndef TESSERA_VOCAB_H
#define TESSERA_VOCAB_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;
struct tess_strings;

struct tess_vocab {
    int64_t n;
    int width; /* bytes of the longest symbol, at least 1 */
    char *text; /* (n, width + 1) NUL-padded; own */
    const char **symbol; /* (n) pointers into text; own */
};

/* Room for n symbols of this width, empty so far. Local. */
void tess_vocab_reserve(struct tess_vocab *vocab, int64_t n, int width);
/* From n distinct symbols in any order. order (n), may be NULL: order[number] = which input symbol
 * it was. TESS_BUG if two are equal. Local. */
void tess_vocab_init(struct tess_vocab *vocab, int64_t n, const char *const *symbol,
                     int64_t *order);
/* From the block on disk, (n, width) without the extra NUL, sorted already. TESS_EDATA if it is not
 * sorted and distinct: `what` names it in the sentence. To be released in either case. Local. */
int tess_vocab_init_block(struct tess_vocab *vocab, int64_t n, int width, const char *block,
                          const char *what, struct tess_error *error);
void tess_vocab_copy(struct tess_vocab *to, const struct tess_vocab *from);
void tess_vocab_release(struct tess_vocab *vocab);

/* The symbol's number, or -1. O(log n). `length` may be at most vocab->width. Local. */
int64_t tess_vocab_find(const struct tess_vocab *vocab, const char *symbol);
int64_t tess_vocab_find_n(const struct tess_vocab *vocab, const char *symbol, size_t length);

/* XXH3 (64 bits) of the symbols as they lie in memory, (n, width + 1): another width is another
 * hash. Local. */
uint64_t tess_vocab_hash(const struct tess_vocab *vocab);

/* "unknown WHAT 'a', 'b' … in SOURCE; the nearest known: …" as TESS_EDATA. Local. */
int tess_vocab_refuse(const struct tess_vocab *vocab, const struct tess_strings *unknown,
                      const char *what, const char *source, struct tess_error *error);

#endif
