/* sums.h -- hashes (XXH3, 64 bits) of a file's blocks, taken from the bytes while they are written:
 * what is known then need not be read back for the sidecar (checksums.h).
 *
 * Local; one thread at a time. */
#ifndef TESSERA_SUMS_H
#define TESSERA_SUMS_H

#include <stddef.h>
#include <stdint.h>

#define TESS_SUMS_FORMAT "tessera-sums 1" /* the first line of a sidecar */
#define TESS_SUMS_BLOCK  ((int64_t)4 << 20) /* bytes; the file's last block may be shorter */

/* Zeroes are none. */
struct tess_sums {
    int64_t n; /* whole blocks that are known */
    int64_t *block; /* (n) their numbers; own */
    uint64_t *sum; /* (n) own */
    size_t room; /* of both arrays */
    int64_t next; /* the byte behind those that came last */
    int open; /* do these begin a block that is not whole yet? */
    void *state; /* of that block's hash; own */
};

/* n bytes that stand at `offset` of the file, for good: no byte may come twice. A block is known if
 * all of it came in order, in any number of pieces, with nothing between them. */
void tess_sums_add(struct tess_sums *sums, int64_t offset, int64_t n, const void *bytes);
void tess_sums_release(struct tess_sums *sums);

/* Is a checksum of what was read the one that the file holds? Where inputs are made by a fuzzer,
 * which cannot guess checksums, all are: what follows them is to be tested, too. Local. */
static inline int tess_sums_match(uint64_t found, uint64_t wanted)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return (void)found, (void)wanted, 1;
#else
    return found == wanted;
#endif
}

#endif
