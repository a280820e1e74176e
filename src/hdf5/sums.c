/* sums.c -- hashes of blocks, from bytes that come in pieces. */
#include "tessera/sums.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>
#include <xxhash.h>

/* Without memory for it a block is not known, which costs reading it: this may run in a thread that
 * cannot end the program. */
static int has_room(struct tess_sums *sums)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    size_t room = sums->room ? 2 * sums->room : 64, n = (size_t)sums->n;
    int64_t *block;
    uint64_t *sum;

    if (n < sums->room)
        return 1;
    block = tess_alloc_large(room, sizeof *block, "numbers of blocks", &ignored);
    sum = block ? tess_alloc_large(room, sizeof *sum, "sums of blocks", &ignored) : NULL;
    if (!sum) {
        tess_free(block);
        return 0;
    }
    if (n > 0) {
        memcpy(block, sums->block, n * sizeof *block);
        memcpy(sum, sums->sum, n * sizeof *sum);
    }
    tess_free(sums->block);
    tess_free(sums->sum);
    sums->block = block;
    sums->sum = sum;
    sums->room = room;
    return 1;
}

static void note(struct tess_sums *sums, int64_t block, uint64_t sum)
{
    if (!has_room(sums))
        return;
    sums->block[sums->n] = block;
    sums->sum[sums->n++] = sum;
}

/* Bytes of one block. */
static void add_part(struct tess_sums *sums, int64_t offset, int64_t n, const char *bytes)
{
    int64_t at = offset % TESS_SUMS_BLOCK;

    if (at == 0) {
        XXH3_64bits_reset(sums->state);
        sums->open = 1;
    } else if (offset != sums->next)
        sums->open = 0;
    if (sums->open)
        XXH3_64bits_update(sums->state, bytes, (size_t)n);
    if (sums->open && at + n == TESS_SUMS_BLOCK)
        note(sums, offset / TESS_SUMS_BLOCK, XXH3_64bits_digest(sums->state));
    sums->next = offset + n;
}

void tess_sums_add(struct tess_sums *sums, int64_t offset, int64_t n, const void *bytes)
{
    const char *from = bytes;

    if (!sums->state)
        sums->state = XXH3_createState();
    if (!sums->state)
        return;
    for (int64_t take; n > 0; n -= take, offset += take, from += take) {
        take = TESS_SUMS_BLOCK - offset % TESS_SUMS_BLOCK;
        take = take < n ? take : n;
        add_part(sums, offset, take, from);
    }
}

void tess_sums_release(struct tess_sums *sums)
{
    XXH3_freeState(sums->state);
    tess_free(sums->block);
    tess_free(sums->sum);
    *sums = (struct tess_sums){0};
}
